package explorer_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/embedded/senders"
	"dicelab/internal/explorer"
	"dicelab/internal/grafana"
	"dicelab/internal/query"
)

// sendersHandler returns an explorer over a list of senders, and a lab that nothing else
// is asked of.
func sendersHandler(t *testing.T, list string) http.Handler {
	t.Helper()
	client, err := query.NewSenders(query.Config{URL: list})
	if err != nil {
		t.Fatal(err)
	}
	p, err := query.NewPrometheus(query.Config{URL: unreachable})
	if err != nil {
		t.Fatal(err)
	}
	l, err := query.NewLoki(query.Config{URL: unreachable})
	if err != nil {
		t.Fatal(err)
	}
	tempo, err := query.NewTempo(query.Config{URL: unreachable})
	if err != nil {
		t.Fatal(err)
	}
	h, err := explorer.NewHandler(explorer.Options{
		Prometheus: p, Loki: l, Tempo: tempo, Senders: client, Now: now, Dashboard: grafana.Stage2(), Checklist: newFakeChecks(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// The page of senders shows what the stack's own list has, with links to what was sent.
func TestSenders(t *testing.T) {
	at := now().Add(-90 * time.Second)
	table := senders.New(senders.Options{Now: func() time.Time { return at }})
	server := httptest.NewServer(table)
	defer server.Close()
	h := sendersHandler(t, server.URL)
	contains(t, page(t, h, "/senders", 200).text(), "Nothing has been sent yet.")

	table.Received("shop", senders.Traces, 1234, 5<<20)
	table.Received("shop", senders.Logs, 1, 10)
	table.Received("sh.op", senders.Metrics, 2, 10)
	table.Refused("shop", senders.Logs, 3, fmt.Errorf("line too long: <b>%s</b>", "x"))
	table.Refused("", senders.Metrics, 1, fmt.Errorf("decoding the export failed"))
	p := page(t, h, "/senders", 200)
	var rows []string
	for _, row := range p.all("tr")[1:] {
		rows = append(rows, row.text())
	}
	since := at.Format("15:04:05.000")
	want := []string{
		"unknown: could not be read or stored metrics 0 0 B " + since + " 1 min 30 s ago ✕ 1",
		"1 × decoding the export failed",
		"sh.op metrics 2 10 B " + since + " 1 min 30 s ago 0",
		"shop logs 1 10 B " + since + " 1 min 30 s ago ✕ 3",
		"3 × line too long: <b>x</b>",
		"shop traces 1,234 5.0 MiB " + since + " 1 min 30 s ago 0",
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if got := params(t, p.link(t, "traces"), "/traces").Get("service"); got != "shop" {
		t.Errorf("traces of %q", got)
	}
	if got := params(t, p.link(t, "logs"), "/logs").Get("q"); got != `{service_name="shop"}` {
		t.Errorf("logs of %q", got)
	}
	if got := params(t, p.link(t, "metrics"), "/metrics").Get("q"); got != `{job=~"(.+/)?sh\\.op"}` {
		t.Errorf("metrics of %q", got)
	}
	if got := p.link(t, "Senders"); got != "/senders" {
		t.Errorf("the navigation leads to %s", got)
	}
	server.Close()
	contains(t, page(t, h, "/senders", 502).text(), "the list of senders cannot be reached")
}

// Without a list of senders, as over servers of one's own, there is no such page.
func TestNoSenders(t *testing.T) {
	page(t, handler(t, unreachable, unreachable, unreachable), "/senders", 404)
}
