package embedded_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"dicelab/internal/embedded/store"
)

// What was acknowledged before the process was killed is there afterwards, once. The
// test kills it fifty times, at random moments, with the same file.
func TestKilled(t *testing.T) {
	const rounds, senders = 50, 3
	dir := t.TempDir()
	client := newClient(t)
	began := time.Now().Truncate(time.Second)
	at := func(round int) time.Time { return began.Add(time.Duration(round-rounds) * time.Second) } // each has a second of its own
	var all []acknowledged
	for round := range rounds {
		c := startChild(t, dir)
		acks := make(chan acknowledged, 100_000)
		first := make(chan struct{})
		var once sync.Once
		var wg sync.WaitGroup
		for sender := range senders {
			wg.Go(func() {
				for n := 0; ; n++ {
					a := acknowledged{round, sender, n, n%2 == 1}
					if !a.send(t.Context(), c.addresses, client, at(round)) {
						return
					}
					acks <- a
					once.Do(func() { close(first) })
				}
			})
		}
		<-first
		time.Sleep(rand.N(60 * time.Millisecond)) // not to wait for something, but to hit anything
		c.kill()
		wg.Wait()
		close(acks)
		var these []acknowledged
		for a := range acks {
			these = append(these, a)
		}
		all = append(all, these...)
		if round == rounds-1 {
			these = all
		}
		verify(t, dir, these, at)
		if t.Failed() {
			t.Fatalf("after %d rounds", round+1)
		}
	}
	t.Logf("%d exports and lines were acknowledged", len(all))
}

// acknowledged is a span, or a line, that was acknowledged.
type acknowledged struct {
	round, sender, n int
	line             bool
}

func (a acknowledged) text() string { return fmt.Sprintf("%d/%d/%d", a.round, a.sender, a.n) }

// send sends the span or line and reports whether it was acknowledged.
func (a acknowledged) send(ctx context.Context, to addresses, client *http.Client, at time.Time) bool {
	if a.line {
		got, err := to.push(ctx, client, "s", a.text(), at)
		return err == nil && got.status == http.StatusNoContent
	}
	got, err := to.export(ctx, client, exportOf(idOf(a.round, a.sender, a.n), at, text("n", a.text())))
	return err == nil && got.status == http.StatusOK
}

// verify opens the store and checks that everything is there that was acknowledged.
func verify(t *testing.T, dir string, acks []acknowledged, at func(round int) time.Time) {
	t.Helper()
	s, err := store.Open(t.Context(), dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	first := acks[0].round
	lines := make(map[string]int)
	if err := s.Lines(t.Context(), store.LineQuery{From: at(first)}, func(l store.Line) bool {
		lines[l.Text]++
		return true
	}); err != nil {
		t.Fatal(err)
	}
	for _, a := range acks {
		if a.line {
			if n := lines[a.text()]; n != 1 {
				t.Errorf("line %s was acknowledged and is there %d times", a.text(), n)
			}
			continue
		}
		got, err := s.Trace(t.Context(), idOf(a.round, a.sender, a.n))
		if err != nil || len(got.Spans) != 1 || got.Spans[0].Attributes[0].GetValue().GetStringValue() != a.text() {
			t.Errorf("span %s was acknowledged, and there is %v, %v", a.text(), got.Spans, err)
		}
	}
}
