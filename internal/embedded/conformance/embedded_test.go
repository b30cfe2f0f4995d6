package conformance_test

import (
	"context"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/embedded"
	"dicelab/internal/embedded/conformance"
	"dicelab/internal/embedded/embeddedtest"
	"dicelab/internal/embedded/metrics"
)

// patience limits the time that scrape and rules may take on a busy machine.
const patience = time.Minute

// TestEmbedded checks the embedded stack against the responses of the real servers.
func TestEmbedded(t *testing.T) {
	base := conformance.Base(time.Now())
	service := httptest.NewServer(conformance.Exposition(base))
	t.Cleanup(service.Close)
	endpoint := strings.TrimPrefix(service.URL, "http://")
	rules, err := os.ReadFile("../../../stack/prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	at := embeddedtest.Start(t, embedded.Options{
		Rules: rules, Targets: []metrics.Target{{Job: conformance.Job, Address: endpoint}},
	})
	stack := conformance.Stack{OTLP: at.OTLP, Prometheus: at.Prometheus, Tempo: at.Tempo, Loki: at.Loki}
	if err := conformance.Send(t.Context(), stack, base); err != nil {
		t.Fatal(err)
	}
	arrive(t, stack, base)
	for _, q := range queries(t) {
		t.Run(q.Name, func(t *testing.T) {
			want, err := conformance.GoldenEmbedded(q)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := conformance.Ask(t.Context(), stack, q, base)
			if err != nil {
				t.Fatal(err)
			}
			got, err := conformance.Normalise(q, answer, base, endpoint)
			if err != nil {
				t.Fatalf("%v: %.1000s", err, answer.Body)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the embedded stack answers otherwise (-recorded +embedded):\n%s", diff)
			}
		})
	}
}

// arrive waits until the data set has arrived.
func arrive(t *testing.T, in conformance.Stack, base time.Time) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last string // the part that was missing at the last attempt
	for {
		problem, err := conformance.Missing(ctx, in, base)
		switch {
		case err == nil && problem == "":
			return
		case err != nil && ctx.Err() == nil:
			t.Fatal(err)
		case err == nil:
			last = problem
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the data set is not there within %v: %s", patience, last)
		}
	}
}

func queries(t *testing.T) []conformance.Query {
	t.Helper()
	list, err := conformance.Queries()
	if err != nil {
		t.Fatal(err)
	}
	return list
}
