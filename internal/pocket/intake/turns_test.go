package intake_test

import (
	"context"
	"errors"
	"runtime/debug"
	"testing"

	"dicelab/internal/pocket/intake"
)

// Fewer queries run at once where the program has little memory.
func TestTurns(t *testing.T) {
	usual := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(usual)
	debug.SetMemoryLimit(160 << 20)
	for limit, want := range map[int64]int{0: 1, usual: 4, 1 << 30: 4, 300 << 20: 2, 1 << 20: 1} {
		turns := intake.NewTurns(limit)
		for range want {
			if err := turns.Take(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := turns.Take(ended); cap(turns) != want || !errors.Is(err, context.Canceled) {
			t.Errorf("limit %d MiB: %d turns, want %d; one more: %v", limit>>20, cap(turns), want, err)
		}
		turns.Leave()
		if err := turns.Take(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
