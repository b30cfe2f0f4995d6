package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// run is one run of a lab.
type run struct {
	parts  []Part
	report *Report
	grace  time.Duration
	since  time.Time

	caller context.Context
	ctx    context.Context // ends when the lab shall stop; the cause says why
	cancel context.CancelCauseFunc
	killed chan struct{} // closed by the second signal
	over   chan struct{} // closed when Run returns

	up []running // in the order in which they were started
}

// running is a part that is up.
type running struct {
	Part
	ended chan error // receives Run's error, until it is reported
}

// awaitEnd waits until Run has returned.
func (u running) awaitEnd(ctx context.Context) error {
	select {
	case err := <-u.ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("it still runs: %w", context.Cause(ctx))
	}
}

func (l *Lab) newRun(ctx context.Context, signals <-chan os.Signal) *run {
	r := &run{
		parts: l.Parts, report: l.Report, grace: l.Grace, since: time.Now(), caller: ctx,
		killed: make(chan struct{}), over: make(chan struct{}),
	}
	if r.report == nil {
		r.report = NewReport(io.Discard, false)
	}
	if r.grace == 0 {
		r.grace = DefaultGrace
	}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	go r.listen(signals)
	return r
}

func (r *run) release() {
	close(r.over)
	r.cancel(nil)
}

// listen turns the first signal into a stop and the second into a kill.
func (r *run) listen(signals <-chan os.Signal) {
	select {
	case s := <-signals:
		r.cancel(&askedError{signal: s})
	case <-r.over:
		return
	}
	select {
	case <-signals:
		close(r.killed)
	case <-r.over:
	}
}

// failure returns the error for which the lab stops, or nil if it was asked to.
func (r *run) failure() error {
	cause := context.Cause(r.ctx)
	if _, asked := errors.AsType[*askedError](cause); asked || cause == context.Cause(r.caller) {
		return nil
	}
	return cause
}

// start brings the parts up one by one. It returns nil also when it was
// interrupted.
func (r *run) start() error {
	r.report.begin(r.parts)
	for _, p := range r.parts {
		if r.ctx.Err() != nil {
			return nil
		}
		since := time.Now()
		err := r.startPart(p)
		cause := context.Cause(r.ctx)
		switch {
		case err == nil:
			r.report.ready(p, time.Since(since))
			r.watch(p)
		case cause != nil && (errors.Is(err, cause) || errors.Is(err, context.Canceled)):
			return nil // it gave up because the context ended
		default:
			r.report.failed(p)
			return err
		}
	}
	return nil
}

// startPart starts one part and waits for it, but not longer than until the lab
// is killed.
func (r *run) startPart(p Part) error {
	if p.Start == nil {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- p.Start(r.ctx) }()
	select {
	case err := <-done:
		return err
	case <-r.killed:
		p.kill()
		return context.Cause(r.ctx)
	}
}

// watch ends the lab when the part ends by itself.
func (r *run) watch(p Part) {
	ended := make(chan error, 1)
	r.up = append(r.up, running{Part: p, ended: ended})
	if p.Run == nil {
		ended <- nil
		return
	}
	go func() {
		err := p.Run()
		if r.ctx.Err() == nil {
			// This is the reason unless another part was quicker. Then it is one more error of
			// stopping, and must not be reported twice.
			why := endedError(p.Name, err)
			r.cancel(why)
			if context.Cause(r.ctx) == why {
				err = nil
			}
		}
		ended <- err
	}()
}
