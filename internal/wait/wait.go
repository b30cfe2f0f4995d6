// Package wait is the one way to wait: for a condition to become true (Until), for
// it to stay true (Never), for time to pass (Sleep). Each returns when its context
// ends.
package wait

import (
	"context"
	"errors"
	"time"
)

// Bounds of the pause between two attempts.
const (
	first = 10 * time.Millisecond
	last  = 500 * time.Millisecond
)

// Final marks an error that no further attempt can change: Until returns err at
// once.
func Final(err error) error { return &finalError{err} }

type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// Until calls attempt, at least once, until it returns no error or a Final one. If
// ctx ends first, Until returns the error of the last attempt that ctx did not cut
// short.
func Until(ctx context.Context, attempt func(context.Context) error) error {
	var before error
	for pause := first; ; pause = min(pause*3/2, last) {
		err := attempt(ctx)
		if final, ok := errors.AsType[*finalError](err); ok {
			return final.error
		}
		if err == nil {
			return nil
		}
		if before == nil || ctx.Err() == nil {
			before = err
		}
		if Sleep(ctx, pause) != nil {
			return before
		}
	}
}

// Never calls attempt for d, at least twice, and returns its first error: what must
// not come has come. If ctx ends first, Never returns its cause.
func Never(ctx context.Context, d time.Duration, attempt func(context.Context) error) error {
	end := time.Now().Add(d)
	for {
		over := !time.Now().Before(end)
		if err := attempt(ctx); err != nil || over {
			return err
		}
		if err := Sleep(ctx, min(last, time.Until(end))); err != nil {
			return err
		}
	}
}

// Sleep waits for d and returns nil, or returns the cause of ctx if that ends
// first, or has ended. It does not wait if d is 0 or less.
func Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
