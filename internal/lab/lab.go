// Package lab runs what "dicelab up" consists of, in order.
//
// A lab is a list of parts. They start in the order of the list, each when the
// one before it is ready. They stop in an order that loses nothing:
//
//	services    refuse new work and finish what is under way   (Drain, last first)
//	recorders   read the final values                          (Collect)
//	services    exit; their output is read to the end          (Stop, last first)
//	the others  close                                          (Stop, last first)
//
// The rules: whatever ends by itself ends the lab, and its error is the lab's.
// The first signal stops the lab in order, the second kills it. No step of
// stopping waits longer than Grace, and every error is reported, joined.
//
// The package also holds what must be settled before anything starts: addresses
// (Listen), the data directory (OpenDir), the environment of the services
// (Environ).
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"dicelab/internal/lab/child"
)

// DefaultGrace bounds each step of stopping. It is above the five seconds after
// which the front end gives a roll up, so that a roll under way is answered.
const DefaultGrace = 10 * time.Second

// ErrKilled is returned if a second signal ended the lab, not in order.
var ErrKilled = errors.New("killed by a second signal; what was not yet stored is lost")

// Part is one thing that the lab runs. A nil function means that there is
// nothing to do. After Start has returned nil the others may be called in any
// state, also when the part has ended by itself.
type Part struct {
	Name string
	// URL is the address to open or to send to; "" if there is none.
	URL string
	// Service: it emits telemetry, so it stops before what records it.
	Service bool
	// Start returns when the part is ready. It must heed ctx. If it returns an
	// error, which should name the part, nothing of the part is left running, and
	// nothing else is called.
	Start func(ctx context.Context) error
	// Run returns when the part has ended: nil after Stop or Kill. Otherwise it
	// ends the lab. nil: the part cannot end by itself.
	Run func() error
	// Drain refuses new work and returns when none is under way.
	Drain func(ctx context.Context) error
	// Collect is called when all services are drained and still answer: the
	// last scrape.
	Collect func(ctx context.Context) error
	// Stop ends the part before ctx does and releases what it holds.
	Stop func(ctx context.Context) error
	// Kill ends at once whatever would outlive this process. It does not wait.
	Kill func()
}

func (p Part) kill() {
	if p.Kill != nil {
		p.Kill()
	}
}

// Lab runs parts. The zero Grace means DefaultGrace.
type Lab struct {
	Parts  []Part
	Report *Report // nil: nothing is printed
	Grace  time.Duration
	// Opened is called once when every part is ready; nil means nothing to do.
	Opened func()
}

// Signals delivers what ends a lab: Ctrl-C, SIGTERM, and SIGHUP, the end of the
// terminal. Call stop when the lab has ended.
func Signals() (signals <-chan os.Signal, stop func()) {
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	return ch, func() { signal.Stop(ch) }
}

// Run runs the lab until ctx ends, a signal arrives or a part ends by itself.
// It returns nil if the lab was asked to end and did so in order.
func (l *Lab) Run(ctx context.Context, signals <-chan os.Signal) error {
	r := l.newRun(ctx, signals)
	defer r.release()
	err := r.start()
	if err == nil && r.ctx.Err() == nil {
		r.report.opened(time.Since(r.since))
		if l.Opened != nil {
			l.Opened()
		}
		r.report.howToStop()
		<-r.ctx.Done()
	}
	err = errors.Join(err, r.failure())
	r.report.stopping(err)
	return errors.Join(err, r.stop(), r.report.Err())
}

// askedError is the cause of an end that a signal asked for.
type askedError struct{ signal os.Signal }

func (e *askedError) Error() string { return "asked to end by " + e.signal.String() }

// endedError returns the error of a part that ended without being asked to.
func endedError(name string, err error) error {
	if err == nil {
		return fmt.Errorf("%s ended without being asked to", name)
	}
	if _, named := errors.AsType[*child.EndedError](err); named {
		return err
	}
	return fmt.Errorf("running %s: %w", name, err)
}
