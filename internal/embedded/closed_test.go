package embedded_test

import (
	"context"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dicelab/internal/embedded"
	"dicelab/internal/embedded/embeddedtest"
)

// A stack that is stopped under load answers the requests that it has accepted, and leaves
// nothing open: no goroutine, no file, no connection.
func TestStopUnderLoad(t *testing.T) {
	before := openFiles(t)
	dir := t.TempDir()
	stack := embedded.New(embedded.Options{Dir: dir})
	if err := stack.OpenStore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := stack.OpenMetrics(t.Context()); err != nil {
		t.Fatal(err)
	}
	at, stop, err := listen(t.Context(), stack, http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	client := &http.Client{Transport: transport}
	acks := make(chan acknowledged, 1_000_000)
	var wg sync.WaitGroup
	enough := make(chan struct{})
	var once sync.Once
	for sender := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				a := acknowledged{0, sender, n, sender%2 == 1}
				if !a.send(t.Context(), at, client, time.Now()) {
					return
				}
				if acks <- a; len(acks) > 300 {
					once.Do(func() { close(enough) })
				}
				if n%20 == 0 {
					_, _ = post(t.Context(), client, at.Loki+"/loki/api/v1/labels", "application/x-www-form-urlencoded", nil) // may be refused by now
				}
			}
		})
	}
	<-enough
	if err := stop(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	for _, end := range []func(context.Context) error{stack.LastScrape, stack.CloseMetrics, stack.CloseStore} {
		if err := end(t.Context()); err != nil {
			t.Error(err)
		}
	}
	transport.CloseIdleConnections()
	close(acks)
	var all []acknowledged
	for a := range acks {
		all = append(all, a)
	}
	verify(t, dir, all, func(int) time.Time { return time.Time{} })
	if err := goleak.Find(embeddedtest.EngineGoroutines()...); err != nil { // tries again for a while
		t.Error(err)
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d files are open, %d were before", after, before)
	}
}

// openFiles counts the descriptors of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
