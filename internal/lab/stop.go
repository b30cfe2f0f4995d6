package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// stop ends what is up, in the order of the package comment. A step that fails
// does not keep the next from being taken.
func (r *run) stop() error {
	var errs []error
	services, others := r.lastFirst(true), r.lastFirst(false)
	for _, u := range services {
		errs = append(errs, r.step("draining", u.Part, u.Drain))
	}
	for _, u := range others {
		errs = append(errs, r.step("reading the last values for", u.Part, u.Collect))
	}
	for _, u := range append(services, others...) {
		since := time.Now()
		err := r.step("stopping", u.Part, u.Stop)
		if err == nil {
			err = r.step("stopping", u.Part, u.awaitEnd)
		}
		if err == nil && !r.isKilled() {
			r.report.stopped(u.Part, time.Since(since))
		}
		errs = append(errs, err)
	}
	if r.isKilled() {
		for _, u := range r.up {
			u.kill()
		}
		errs = append(errs, ErrKilled)
	}
	return errors.Join(errs...)
}

// lastFirst returns the parts that are up and are services, or are not, the one
// that was started last first.
func (r *run) lastFirst(service bool) []running {
	var out []running
	for _, u := range slices.Backward(r.up) {
		if u.Service == service {
			out = append(out, u)
		}
	}
	return out
}

// step takes one step of stopping one part: for at most the grace period, and
// not at all once the lab is killed. The context is a fresh one: that of the
// run has ended.
func (r *run) step(doing string, p Part, f func(context.Context) error) error {
	if f == nil || r.isKilled() {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), r.grace, fmt.Errorf("not done within %v", r.grace))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	var err error
	select {
	case err = <-done:
	case <-r.killed:
		return nil
	case <-ctx.Done():
		// It has a moment to notice the end of its context and to return its own error.
		select {
		case err = <-done:
		case <-r.killed:
			return nil
		case <-time.After(heedGrace):
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", doing, p.Name, err)
	}
	return nil
}

// heedGrace is the time that a step has to notice that its own time is over.
const heedGrace = time.Second

func (r *run) isKilled() bool {
	select {
	case <-r.killed:
		return true
	default:
		return false
	}
}
