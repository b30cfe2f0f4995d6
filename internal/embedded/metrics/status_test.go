package metrics_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/metrics"
)

// TestStatus asks for what Prometheus shows of itself.
func TestStatus(t *testing.T) {
	noLeaks(t)
	roller := newService(t)
	roller.roll()
	l := start(t, metrics.Options{Targets: []metrics.Target{{Job: contract.ServiceRoller, Address: roller.addr()}}})
	l.wait("dice_rolls_total", "1")

	var flags map[string]string
	l.get("/api/v1/status/flags", nil, &flags)
	if flags["query.lookback-delta"] != "5m" || flags["storage.tsdb.retention.time"] != "15d" || flags["storage.tsdb.retention.size"] != "536870912B" {
		t.Errorf("flags: %v", flags)
	}
	var config struct{ YAML string }
	l.get("/api/v1/status/config", nil, &config)
	if !strings.Contains(config.YAML, "job_name: "+contract.ServiceRoller) {
		t.Errorf("the configuration has no job %s:\n%s", contract.ServiceRoller, config.YAML)
	}
	var head struct{ HeadStats struct{ NumSeries int } }
	if l.get("/api/v1/status/tsdb", nil, &head); head.HeadStats.NumSeries < 5 {
		t.Errorf("the head has %d series, want those of a scrape", head.HeadStats.NumSeries)
	}
	var info struct {
		StorageRetention    string
		ReloadConfigSuccess bool
	}
	if l.get("/api/v1/status/runtimeinfo", nil, &info); info.StorageRetention != "15d or 536870912B" || !info.ReloadConfigSuccess {
		t.Errorf("runtime information: %+v", info)
	}
	var pools struct{ ScrapePools []string }
	if l.get("/api/v1/scrape_pools", nil, &pools); len(pools.ScrapePools) != 1 || pools.ScrapePools[0] != contract.ServiceRoller {
		t.Errorf("scrape pools: %v", pools)
	}
	var formatted string
	if l.get("/api/v1/format_query", url.Values{"query": {"sum by(a)(b)"}}, &formatted); formatted != "sum by (a) (b)" {
		t.Errorf("formatted: %q", formatted)
	}
	var parsed struct{ Type string }
	if l.get("/api/v1/parse_query", url.Values{"query": {"sum(b)"}}, &parsed); parsed.Type != "aggregation" {
		t.Errorf("parsed: %+v", parsed)
	}
	var metadata []struct{ Type string }
	if l.get("/api/v1/targets/metadata", url.Values{"metric": {"dice_rolls"}}, &metadata); len(metadata) != 1 || metadata[0].Type != "counter" {
		t.Errorf("metadata of targets: %v", metadata)
	}
	for _, path := range []string{"/api/v1/alertmanagers", "/api/v1/status/walreplay", "/api/v1/features", "/api/v1/notifications"} {
		if code := l.get(path, nil, nil); code != http.StatusOK {
			t.Errorf("%s: status %d", path, code)
		}
	}
}

// TestFederate reads the last samples as another Prometheus scrapes them.
func TestFederate(t *testing.T) {
	noLeaks(t)
	roller := newService(t)
	roller.roll()
	l := start(t, metrics.Options{Targets: []metrics.Target{{Job: contract.ServiceRoller, Address: roller.addr()}}})
	l.wait("dice_rolls_total", "1")
	body := l.body(http.MethodGet, "/federate?"+url.Values{"match[]": {"dice_rolls_total", "up"}}.Encode(), nil, http.StatusOK)
	line := `dice_rolls_total{die_type="fair",instance="` + roller.addr() + `",job="dice-roller",result="success"} 1 `
	if !strings.HasPrefix(body, "# TYPE dice_rolls_total untyped\n"+line) || !strings.Contains(body, "\n# TYPE up untyped\nup{") {
		t.Errorf("got\n%swant\n%s… and up", body, line)
	}
	l.body(http.MethodGet, "/federate?match[]=%7B", nil, http.StatusBadRequest)
}

// TestRemoteRead reads a series as another Prometheus does.
func TestRemoteRead(t *testing.T) {
	noLeaks(t)
	roller := newService(t)
	roller.roll()
	l := start(t, metrics.Options{Targets: []metrics.Target{{Job: contract.ServiceRoller, Address: roller.addr()}}})
	l.wait("dice_rolls_total", "1")
	request := func(kind prompb.LabelMatcher_Type, value string) []byte {
		plain, err := (&prompb.ReadRequest{Queries: []*prompb.Query{{
			StartTimestampMs: time.Now().Add(-time.Minute).UnixMilli(), EndTimestampMs: time.Now().UnixMilli(),
			Matchers: []*prompb.LabelMatcher{{Type: kind, Name: "__name__", Value: value}},
		}}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return snappy.Encode(nil, plain)
	}
	body := l.body(http.MethodPost, "/api/v1/read", request(prompb.LabelMatcher_EQ, "dice_rolls_total"), http.StatusOK)
	plain, err := snappy.Decode(nil, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	var got prompb.ReadResponse
	if err := got.Unmarshal(plain); err != nil {
		t.Fatal(err)
	}
	if len(got.Results) != 1 || len(got.Results[0].Timeseries) != 1 || got.Results[0].Timeseries[0].Samples[0].Value != 1 {
		t.Errorf("got %v, want one series that begins with 1", got.Results)
	}
	for name, bad := range map[string][]byte{
		"not snappy":       []byte("text"),
		"a large pattern":  request(prompb.LabelMatcher_RE, strings.Repeat("(a?){100}", 20)),
		"large after that": snappy.Encode(nil, make([]byte, 1<<20+1)),
	} {
		if text := l.body(http.MethodPost, "/api/v1/read", bad, http.StatusBadRequest); text == "" {
			t.Errorf("%s: no reason", name)
		}
	}
}

// body returns the response to a request, which must have a status.
func (l *lab) body(method, path string, body []byte, status int) string {
	l.t.Helper()
	r, err := http.NewRequestWithContext(l.t.Context(), method, l.web.URL+path, bytes.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	if resp.StatusCode != status {
		l.t.Errorf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, status, text)
	}
	return string(text)
}
