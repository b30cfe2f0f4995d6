//go:build stack

package stacktest_test

import (
	"context"
	"errors"
	"flag"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"dicelab/internal/embedded"
	"dicelab/internal/embedded/conformance"
	"dicelab/internal/embedded/embeddedtest"
	"dicelab/internal/embedded/metrics"
	"dicelab/internal/lab/native"
	"dicelab/stack"
)

var update = flag.Bool("update", false, "record what the real servers answer to the list of queries (make conformance)")

// still is the time for which responses must stay the same to be compared: Tempo needs a second or
// two to move a trace from its newest to its complete ones.
const still = 3 * time.Second

// TestConformance sends the data set to the real servers and to the embedded
// stack, and sends both every query of the list. They must agree, except where the
// list names a difference. The golden files, with which "make test" compares the
// embedded stack, must equal the responses. With -update it writes them.
func TestConformance(t *testing.T) {
	t.Parallel()
	list, err := conformance.Queries()
	if err != nil {
		t.Fatal(err)
	}
	base := conformance.Base(time.Now())
	service := httptest.NewServer(conformance.Exposition(base))
	t.Cleanup(service.Close)
	endpoint := strings.TrimPrefix(service.URL, "http://")
	rules, err := stack.Configs.ReadFile("prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	embedded := conformance.Stack(embeddedtest.Start(t, embedded.Options{
		Rules: rules, Targets: []metrics.Target{{Job: conformance.Job, Address: endpoint}},
	}))
	servers := startServers(t, stack.Configs, native.Target{Job: conformance.Job, Address: endpoint})
	for _, name := range []string{stack.Prometheus, stack.Tempo, stack.Collector, stack.Loki} { // lines are pushed, so there is no Alloy
		servers.start(t, name)
	}
	real := conformance.Stack{
		OTLP: servers.url(native.OTLPHTTP), Prometheus: servers.url(native.Prometheus), Tempo: servers.url(native.Tempo), Loki: servers.url(native.Loki),
	}
	answers := func(of conformance.Stack, name string) map[string]string {
		began := time.Now()
		if err := conformance.Send(t.Context(), of, base); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		until(t, "the data set is there, "+name, began, func(ctx context.Context) (string, error) {
			return conformance.Missing(ctx, of, base)
		})
		var last map[string]string
		since := began
		until(t, "answers hold still, "+name, began, func(ctx context.Context) (string, error) {
			now, err := ask(ctx, of, list, base, endpoint)
			if err != nil {
				return "", err
			}
			diff := gocmp.Diff(last, now)
			if diff != "" {
				last, since = now, time.Now()
			}
			if time.Since(since) < still {
				return "they change: " + diff, nil
			}
			return "", nil
		})
		return last
	}
	want, got := answers(real, "real servers"), answers(embedded, "embedded stack")
	agree := 0
	for _, q := range list {
		if want[q.Name] == got[q.Name] {
			agree++
		}
		if *update {
			continue
		}
		if err := compare(q, want[q.Name], got[q.Name]); err != nil {
			t.Errorf("%s: %v", q.Name, err)
		}
	}
	if *update {
		if err := conformance.Record("../embedded/conformance", list, want, got); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("conformance: %d of %d agree", agree, len(list))
}

// ask sends every query of the list.
func ask(ctx context.Context, of conformance.Stack, list []conformance.Query, base time.Time, endpoint string) (map[string]string, error) {
	out := map[string]string{}
	for _, q := range list {
		answer, err := conformance.Ask(ctx, of, q, base)
		if err != nil {
			return nil, err
		}
		if out[q.Name], err = conformance.Normalise(q, answer, base, endpoint); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// compare returns an error if the responses of the real servers and the embedded stack differ
// from the list or the golden files.
func compare(q conformance.Query, real, embedded string) error {
	golden, err1 := conformance.Golden(q)
	goldenEmbedded, err2 := conformance.GoldenEmbedded(q)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if diff := gocmp.Diff(golden, real); diff != "" {
		return errors.New("the real servers answer otherwise than recorded; \"make conformance\" records anew (-recorded +real):\n" + diff)
	}
	if q.Differs != "" && real == embedded {
		return errors.New("the list says that the embedded stack differs, and it does not: take \"differs\" off, and the line in docs/differences.md")
	}
	if diff := gocmp.Diff(goldenEmbedded, embedded); diff != "" {
		return errors.New("the embedded stack answers otherwise (-recorded +embedded):\n" + diff)
	}
	return nil
}
