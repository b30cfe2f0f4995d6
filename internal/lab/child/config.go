package child

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"
)

// Config describes a child. Name, Path, ReadyURL and Stdout are required.
type Config struct {
	// Name of the service, as reports and errors spell it.
	Name string
	// Path of the program, and its arguments without the program's name.
	Path string
	Args []string
	// Env is the whole environment of the child, nothing is added but the two
	// variables by which Watch and Listen know their parent.
	Env []string
	// Listener, if set, becomes the child's; the child owns it from New on.
	Listener *net.TCPListener
	// ReadyURL answers 200 when the child may receive traffic.
	ReadyURL string
	// ReadyTimeout bounds how long a run may take to become ready; 0 means 30 s.
	ReadyTimeout time.Duration
	// Stdout reads one run's stdout. It is called once a run, in a goroutine of
	// its own, and should read to the end. When it returns early without an
	// error the rest is thrown away, so that the child never blocks on a full
	// pipe; with an error the child is ended and Wait returns that error.
	Stdout func(io.Reader) error
	// Stderr receives each line of the child's stderr, headed by its name, in
	// one Write a line; nil means nowhere. The last TailLines are kept for
	// errors either way.
	Stderr io.Writer
	// Notify is called at every start and end, unless it is nil. It must not block and must not
	// call the child.
	Notify func(Event)
	// Policy limits restarts of the child; the zero value means
	// DefaultPolicy.
	Policy Policy
}

const defaultReadyTimeout = 30 * time.Second

func (c Config) withDefaults() (Config, error) {
	var errs []error
	for _, field := range []struct{ name, value string }{
		{"name", c.Name}, {"path", c.Path}, {"ready URL", c.ReadyURL},
	} {
		if strings.TrimSpace(field.value) == "" {
			errs = append(errs, fmt.Errorf("configuring child %q: its %s is missing", c.Name, field.name))
		}
	}
	if u, err := url.Parse(c.ReadyURL); err != nil || u.Host == "" {
		errs = append(errs, fmt.Errorf("configuring child %q: ready URL %q is not absolute", c.Name, c.ReadyURL))
	}
	if c.Stdout == nil {
		errs = append(errs, fmt.Errorf("configuring child %q: no reader of its stdout", c.Name))
	}
	if c.ReadyTimeout == 0 {
		c.ReadyTimeout = defaultReadyTimeout
	}
	if c.Stderr == nil {
		c.Stderr = io.Discard
	}
	if c.Notify == nil {
		c.Notify = func(Event) {}
	}
	if c.Policy == (Policy{}) {
		c.Policy = DefaultPolicy()
	}
	return c, errors.Join(errs...)
}

// Event is one change in a child's life.
type Event struct {
	Name string
	Pid  int // of the run that the event is about
	// Ready: the run is ready. Otherwise the run has ended.
	Ready bool
	// Err is why the run ended ("signal: killed", "exit status 1").
	Err error
	// RestartIn is the delay until the next run.
	RestartIn time.Duration
}

// EndedError is the end of a child that is not started again.
type EndedError struct {
	Name     string
	Reason   error    // "exit status 1", "signal: killed", or why it was not ready
	Restarts int      // how often it had been started again within the policy's window
	Lines    []string // the last lines of its stderr, oldest first
}

// Error returns the name of the child, the reason of its end and its last lines, indented.
func (e *EndedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s ended (%v)", e.Name, e.Reason)
	if e.Restarts > 0 {
		fmt.Fprintf(&b, " again after %d restarts", e.Restarts)
	}
	if len(e.Lines) == 0 {
		b.WriteString("; it wrote nothing to stderr")
		return b.String()
	}
	b.WriteString("; its last lines:")
	for _, line := range e.Lines {
		b.WriteString("\n  " + line)
	}
	return b.String()
}

// Unwrap returns the reason.
func (e *EndedError) Unwrap() error { return e.Reason }
