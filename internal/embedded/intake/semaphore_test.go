package intake_test

import (
	"context"
	"errors"
	"runtime/debug"
	"testing"

	"dicelab/internal/embedded/intake"
)

// Fewer queries run at once if the program has little memory.
func TestSemaphore(t *testing.T) {
	usual := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(usual)
	debug.SetMemoryLimit(160 << 20)
	for limit, want := range map[int64]int{0: 1, usual: 4, 1 << 30: 4, 300 << 20: 2, 1 << 20: 1} {
		semaphore := intake.NewSemaphore(limit)
		for range want {
			if err := semaphore.Acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := semaphore.Acquire(ended); cap(semaphore) != want || !errors.Is(err, context.Canceled) {
			t.Errorf("limit %d MiB: %d at once, want %d; one more: %v", limit>>20, cap(semaphore), want, err)
		}
		semaphore.Release()
		if err := semaphore.Acquire(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
