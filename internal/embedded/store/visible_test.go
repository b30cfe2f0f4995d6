package store_test

import (
	"fmt"
	"sync"
	"testing"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/store"
)

// What was acknowledged is in the answer of every query that begins afterwards, also
// if many begin at the same time.
func TestQueriesAtOnceSeeWhatWasStored(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	for round := range 50 {
		stored := line(0, contract.ServiceRoller, contract.LevelInfo, fmt.Sprint(round), traceA, spanA)
		if err := s.AppendLines(t.Context(), []store.Line{stored}); err != nil {
			t.Fatal(err)
		}
		var queries sync.WaitGroup
		for range 4 {
			queries.Go(func() {
				n := 0
				if err := s.Lines(t.Context(), store.LineQuery{}, func(store.Line) bool { n++; return true }); err != nil || n != round+1 {
					t.Errorf("%d of %d lines, %v", n, round+1, err)
				}
			})
		}
		queries.Wait()
	}
}
