package main_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dicelab/internal/contract"
	"dicelab/internal/grafana"
	"dicelab/internal/grafana/grafanatest"
	"dicelab/stack"
)

// Every query of every panel of the dashboard, and every link between signals,
// finds something on the embedded stack once dice were rolled.
func TestDashboardOnTheEmbeddedStack(t *testing.T) {
	t.Parallel()
	l := startLab(t, t.TempDir(), nil, "--max-delay", "50ms", "--error-rate", "0.5", "--traffic")
	files, err := grafana.Load(stack.Configs)
	if err != nil {
		t.Fatal(err)
	}
	// A trace ID that begins with zeros is as good as any other.
	const zeros = "00a1b2c377b34da6a3ce929d0e0e4755"
	continueTrace(t, l, zeros)
	rolled := l.roll(t, contract.DieFair).TraceID
	failed := ""
	eventually(t, "rolling until a die fails", func() error {
		a, err := l.tryRoll(contract.DieRisky)
		if err == nil && a.Roll > 0 {
			err = errors.New("it has not failed yet")
		}
		failed = a.TraceID
		return err
	})
	servers := grafanatest.Servers{Prometheus: l.prometheus(t), Loki: l.loki(t), Tempo: l.tempo(t)}

	queries, err := files.Dashboard.Queries(grafanatest.Settings())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queries {
		eventually(t, fmt.Sprintf("panel %q asks %s", q.Panel.Title, q.Expr), func() error {
			// A rate needs a counter that moves while it is looked at.
			if _, err := l.tryRoll(contract.DieRisky); err != nil {
				return err
			}
			return servers.Ask(t.Context(), q)
		})
	}
	for _, id := range []string{zeros, rolled, failed} {
		eventually(t, "following the links of the trace "+id, func() error { return servers.Follow(t.Context(), files.DataSources, id, 2) })
	}
	for _, metric := range []string{contract.MetricHTTPDuration, contract.MetricBackendDuration, contract.MetricSpanLatency} {
		eventually(t, "following exemplars of "+metric, func() error { return servers.Exemplars(t.Context(), files.DataSources, metric+"_bucket") })
	}
}

// continueTrace makes a roll within a trace that its caller began.
func continueTrace(t *testing.T, l *running, id string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, l.url(t, contract.ServiceFrontend)+"/roll", strings.NewReader(url.Values{"die": {contract.DieFair}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set(contract.HeaderTraceparent, "00-"+id+"-00f067aa0ba902b7-01")
	resp, err := l.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("rolling within the trace %s: %s, %v", id, resp.Status, err)
	}
}
