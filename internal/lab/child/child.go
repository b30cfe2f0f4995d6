// Package child runs one service as a supervised process, and holds the other
// end of the same wire: what the service does when a lab started it.
//
// The parent's rules:
//   - A child runs in a process group of its own, so that Ctrl-C reaches the
//     lab alone and the lab decides the order in which things stop.
//   - Its stdin is a pipe that only the parent holds. When the parent is gone,
//     even by kill -9, the kernel closes it, and the child ends (Watch).
//   - Its port is bound by the parent and handed over as an open descriptor
//     (Listen). The port is known and held before anything starts, ":0" works,
//     and while a dead child is replaced callers wait in the kernel's queue
//     instead of being refused.
//   - Its stdout is read to the end, whatever happens, and one run of the child
//     is one reader: a line torn by a crash is never glued to the next run's.
//   - A child that ends is started again, within limits (Policy); every end is
//     reported (Event), none is hidden.
//
// A program that knows nothing of this wire runs behind Guard. Linux and macOS.
package child

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Child is one supervised process. Its methods may be called from any
// goroutine. Start it once.
type Child struct {
	cfg      Config
	listener *os.File // nil without a listener; handed to every run

	ready chan struct{} // closed when it was ready for the first time
	quit  chan struct{} // closed when no further run may start
	done  chan struct{} // closed when the supervisor has returned
	err   error         // the supervisor's verdict, set before done closes

	mu      sync.Mutex
	started bool
	ending  bool  // quit is closed
	killed  bool  // Kill was called
	failure error // why the supervisor ended the current run itself
	proc    *process
}

// New checks cfg and takes over its listener: from here on the child closes it,
// also when New fails. Nothing is started yet.
func New(cfg Config) (*Child, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, errors.Join(err, closeListener(cfg.Listener))
	}
	c := &Child{cfg: cfg, ready: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{})}
	if cfg.Listener == nil {
		return c, nil
	}
	c.listener, err = cfg.Listener.File()
	if err = errors.Join(err, cfg.Listener.Close()); err != nil {
		return nil, fmt.Errorf("preparing the listener of %s: %w", cfg.Name, err)
	}
	return c, nil
}

func closeListener(l *net.TCPListener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// Start starts the child and returns once it is ready. When it returns an error
// no process is left, and Wait returns at once.
func (c *Child) Start(ctx context.Context) error {
	c.mu.Lock()
	if c.started {
		c.mu.Unlock()
		return fmt.Errorf("starting %s: it was started before", c.cfg.Name)
	}
	c.started = true
	c.mu.Unlock()
	go func() {
		c.err = errors.Join(c.supervise(), c.closeFile())
		close(c.done)
	}()
	select {
	case <-c.ready:
		return nil
	case <-c.done:
		if c.err != nil {
			return c.err
		}
		return fmt.Errorf("starting %s: it was stopped before it was ready", c.cfg.Name)
	case <-ctx.Done():
		c.Kill()
		<-c.done
		return fmt.Errorf("starting %s: %w", c.cfg.Name, context.Cause(ctx))
	}
}

// Wait blocks until the child has ended for good. It returns nil after Stop and
// Kill, and otherwise an *EndedError or the error of the stdout consumer.
func (c *Child) Wait() error {
	<-c.done
	return c.verdict(false)
}

// verdict returns the error with which the child ended, to Stop if the child was asked to end, and
// to Wait if it ended by itself. So it is reported once.
func (c *Child) verdict(asked bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending != asked {
		return nil
	}
	return c.err
}

// Drain asks the child to take no new work, and returns when the requests under way have been
// answered; probes and metrics are answered on. A child that is not running has none under way.
// From here on a child that ends stays down. The child must have put a Gate before its handler. The
// caller names the child in the error, as with Stop.
func (c *Child) Drain(ctx context.Context) error {
	p := c.end()
	if p == nil {
		return nil
	}
	if err := p.order(orderDrain); err != nil {
		if p.gone() {
			return nil
		}
		return fmt.Errorf("writing the order: %w", err)
	}
	return awaitDrained(ctx, c.cfg.ReadyURL, p.exited)
}

// Stop asks the child to end (SIGTERM), and kills its group when ctx ends
// first. It returns when the process is gone and its output has been read to
// the end; an error reports that it had to be killed or ended in failure.
func (c *Child) Stop(ctx context.Context) error {
	p := c.end()
	if !c.wasStarted() {
		return c.closeFile()
	}
	// The parent's descriptor goes first: as long as the port is open, callers wait for an accept
	// that never comes, instead of being refused.
	err := c.closeFile()
	if p != nil {
		err = errors.Join(err, p.terminate())
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		c.Kill()
		<-c.done
		err = errors.Join(err, errors.New("it did not end in time and was killed"))
	}
	return errors.Join(err, c.verdict(true))
}

// Kill ends the child's process group at once. It does not wait.
func (c *Child) Kill() {
	p := c.end()
	c.mu.Lock()
	c.killed = true
	c.mu.Unlock()
	if p != nil {
		p.kill()
	}
}

// Pid returns the process ID of the current run, 0 when none is running.
func (c *Child) Pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proc == nil {
		return 0
	}
	return c.proc.cmd.Process.Pid
}

// end forbids further runs and returns the current one, if any.
func (c *Child) end() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending && !c.isDone() {
		c.ending = true
		close(c.quit)
	}
	return c.proc
}

func (c *Child) isDone() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (c *Child) wasStarted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.started
}

// closeFile closes the parent's copy of the listener, once.
func (c *Child) closeFile() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listener == nil {
		return nil
	}
	err := c.listener.Close()
	c.listener = nil
	return err
}

// supervise runs the child until it may not be started again.
func (c *Child) supervise() error {
	restarts := NewRestarts(c.cfg.Policy)
	for {
		p, err := c.launch()
		if p == nil || err != nil {
			return err
		}
		reason := c.attend(p)
		c.mu.Lock()
		failure, ending, killed := c.failure, c.ending, c.killed
		c.proc = nil
		c.mu.Unlock()
		switch {
		case failure != nil:
			return failure
		case killed:
			return nil
		case ending && stoppedAsAsked(reason):
			return nil
		case ending || c.hopeless(reason):
			return &EndedError{Name: c.cfg.Name, Reason: reason, Lines: p.tail.Lines()}
		}
		delay, again := restarts.Ended(time.Now(), time.Since(p.since))
		if !again {
			return &EndedError{Name: c.cfg.Name, Reason: reason, Restarts: restarts.Count(), Lines: p.tail.Lines()}
		}
		c.cfg.Notify(Event{Name: c.cfg.Name, Pid: p.cmd.Process.Pid, Err: reason, RestartIn: delay})
		select {
		case <-time.After(delay):
		case <-c.quit:
			return nil
		}
	}
}

// launch starts a run, or returns nil when none may start any more.
func (c *Child) launch() (*process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return nil, nil
	}
	p, err := start(&c.cfg, c.listener, c.fail)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.cfg.Name, err)
	}
	c.proc = p
	return p, nil
}

// attend watches one run: it reports readiness and returns why the run ended.
func (c *Child) attend(p *process) error {
	ctx, cancel := context.WithCancel(context.Background())
	probe := make(chan error, 1)
	go func() {
		err := awaitReady(ctx, c.cfg.ReadyURL, c.cfg.ReadyTimeout)
		switch {
		case err == nil:
			c.nowReady(p)
		case ctx.Err() == nil:
			p.kill()
		default:
			err = nil // the run ended first, and that is its own reason
		}
		probe <- err
	}()
	reason := p.wait()
	cancel()
	if err := <-probe; err != nil {
		return err
	}
	return reason
}

func (c *Child) nowReady(p *process) {
	if !c.wasReady() {
		close(c.ready)
	}
	c.cfg.Notify(Event{Name: c.cfg.Name, Pid: p.cmd.Process.Pid, Ready: true})
}

func (c *Child) wasReady() bool {
	select {
	case <-c.ready:
		return true
	default:
		return false
	}
}

// hopeless reports whether another run would fail as well: a service that exits with status 2
// (usage) before it was ever ready does so again.
func (c *Child) hopeless(reason error) bool {
	status, ok := errors.AsType[exitStatus](reason)
	return ok && status.code() == exitUsage && !c.wasReady()
}

// fail ends the child for good because its output cannot be delivered. A
// service without readable log lines must not look healthy.
func (c *Child) fail(p *process, err error) {
	c.mu.Lock()
	if c.failure == nil {
		c.failure = err
	}
	c.mu.Unlock()
	p.kill()
}

// stoppedAsAsked reports whether a run ended as requested: by itself, or by the default action of
// SIGTERM if it had no handler yet.
//
// Any other fault of such a run, say in its output, is an error all the same.
func stoppedAsAsked(reason error) bool {
	status, ok := reason.(exitStatus)
	return ok && (status.code() == 0 || status.signal() == syscall.SIGTERM)
}
