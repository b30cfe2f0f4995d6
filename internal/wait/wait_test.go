package wait_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"dicelab/internal/wait"
)

var errNotYet = errors.New("not yet")

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts, began := 0, time.Now()
		err := wait.Until(t.Context(), func(context.Context) error {
			if attempts++; attempts < 4 {
				return errNotYet
			}
			return nil
		})
		// 10, 15 and 22.5 ms pass between four attempts.
		if took := time.Since(began); err != nil || attempts != 4 || took != 47500*time.Microsecond {
			t.Errorf("%v after %d attempts in %v", err, attempts, took)
		}
	})
}

func TestUntilIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		attempts := 0
		err := wait.Until(ctx, func(context.Context) error { attempts++; return errNotYet })
		if !errors.Is(err, errNotYet) || attempts != 10 {
			t.Errorf("%v after %d attempts", err, attempts)
		}
		attempts = 0
		err = wait.Until(ctx, func(context.Context) error { attempts++; return errNotYet })
		if !errors.Is(err, errNotYet) || attempts != 1 {
			t.Errorf("after the end of its time: %v after %d attempts, want one", err, attempts)
		}
	})
}

// What an attempt reports because its time ended hides what it reported before.
func TestUntilReturnsWhatWasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		attempts := 0
		err := wait.Until(ctx, func(ctx context.Context) error {
			if attempts++; attempts == 1 {
				return errNotYet
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, errNotYet) {
			t.Errorf("%v, want what the first attempt saw", err)
		}
	})
}

func TestUntilAFinalError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		err := wait.Until(t.Context(), func(context.Context) error { attempts++; return wait.Final(errNotYet) })
		if !errors.Is(err, errNotYet) || attempts != 1 {
			t.Errorf("%v after %d attempts", err, attempts)
		}
	})
}

func TestNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts, began := 0, time.Now()
		err := wait.Never(t.Context(), 2*time.Second, func(context.Context) error { attempts++; return nil })
		if took := time.Since(began); err != nil || attempts != 5 || took != 2*time.Second {
			t.Errorf("%v after %d attempts in %v", err, attempts, took)
		}
		err = wait.Never(t.Context(), 2*time.Second, func(context.Context) error { return errNotYet })
		if !errors.Is(err, errNotYet) {
			t.Errorf("what came was reported as %v", err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errNotYet)
		if err := wait.Never(ctx, time.Hour, func(context.Context) error { return nil }); !errors.Is(err, errNotYet) {
			t.Errorf("with a context that has ended: %v", err)
		}
	})
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := wait.Sleep(t.Context(), time.Minute); err != nil || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errNotYet)
		for _, d := range []time.Duration{time.Minute, 0, -1} {
			if err := wait.Sleep(ctx, d); !errors.Is(err, errNotYet) {
				t.Errorf("%v with a context that has ended: %v", d, err)
			}
			if err := wait.Sleep(t.Context(), min(d, 0)); err != nil {
				t.Errorf("%v: %v", min(d, 0), err)
			}
		}
	})
}
