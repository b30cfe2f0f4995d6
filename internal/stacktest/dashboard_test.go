//go:build stack

package stacktest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/grafana"
	"dicelab/internal/grafana/grafanatest"
	"dicelab/stack"
)

// Every query of every panel of the dashboard, and every link between signals,
// finds something on the real servers once dice were rolled.
func TestDashboard(t *testing.T) {
	t.Parallel()
	at := free(t)
	r := start(t, at, "--data="+t.TempDir(), "--max-delay=50ms", "--error-rate=0.5", "--traffic")
	r.open(t)
	files, err := grafana.Load(stack.Configs)
	if err != nil {
		t.Fatal(err)
	}
	// A trace ID that begins with zeros: Tempo writes it without them here and there.
	const zeros = "00a1b2c377b34da6a3ce929d0e0e4755"
	began := time.Now()
	var rolled string
	until(t, "rolling", began, func(ctx context.Context) (problem string, err error) {
		if _, err := roll(ctx, at.url("frontend"), contract.DieFair, "00-"+zeros+"-00f067aa0ba902b7-01"); err != nil {
			return "", err
		}
		rolled, err = roll(ctx, at.url("frontend"), contract.DieFair, "")
		return "", err
	})
	read := at.readers(t)
	servers := grafanatest.Servers{Prometheus: read.prometheus, Loki: read.loki, Tempo: read.tempo}

	queries, err := files.Dashboard.Queries(grafanatest.Settings())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queries {
		until(t, fmt.Sprintf("panel %q, %s", q.Panel.Title, q.RefID), began, func(ctx context.Context) (problem string, err error) {
			// Half of the risky rolls fail, which is none of this test's errors.
			_, _ = roll(ctx, at.url("frontend"), contract.DieRisky, "")
			return "", servers.Ask(ctx, q)
		})
	}
	for _, id := range []string{zeros, rolled} {
		until(t, "links of "+id, began, func(ctx context.Context) (problem string, err error) {
			return "", servers.Follow(ctx, files.DataSources, id, 2)
		})
	}
	for _, metric := range []string{contract.MetricHTTPDuration, contract.MetricBackendDuration, contract.MetricSpanLatency} {
		until(t, "exemplars of "+metric, began, func(ctx context.Context) (problem string, err error) {
			return "", servers.Exemplars(ctx, files.DataSources, metric+"_bucket")
		})
	}
	if code := r.stop(t); code != 0 {
		t.Errorf("exit status %d", code)
	}
}
