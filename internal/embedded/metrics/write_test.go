package metrics_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/metrics"
	"dicelab/internal/embedded/senders"
)

// serveWrites serves a server that scrapes nothing, and lists the senders.
func serveWrites(t *testing.T, o metrics.Options) (*lab, *senders.Table) {
	t.Helper()
	o.Senders = senders.New(senders.Options{})
	l := &lab{t: t, server: open(t, o)}
	l.web = httptest.NewServer(l.server.Handler())
	t.Cleanup(l.web.Close)
	return l, o.Senders
}

// Prometheus's own client writes samples and exemplars in both versions.
func TestRemoteWrite(t *testing.T) {
	noLeaks(t)
	now := time.Now().UnixMilli()
	for _, tt := range []struct {
		version remoteapi.WriteMessageType
		message any
	}{
		{remoteapi.WriteV1MessageType, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
			Labels:    []prompb.Label{{Name: "__name__", Value: "orders_total"}, {Name: "job", Value: "shop"}},
			Samples:   []prompb.Sample{{Value: 3, Timestamp: now - 1000}, {Value: 4, Timestamp: now}},
			Exemplars: []prompb.Exemplar{{Labels: []prompb.Label{{Name: "trace_id", Value: traceID}}, Value: 1, Timestamp: now}},
		}}}},
		{remoteapi.WriteV2MessageType, &writev2.Request{
			Symbols: []string{"", "__name__", "orders_total", "job", "shop", "trace_id", traceID},
			Timeseries: []writev2.TimeSeries{{
				LabelsRefs: []uint32{1, 2, 3, 4}, Samples: []writev2.Sample{{Value: 3, Timestamp: now - 1000}, {Value: 4, Timestamp: now}},
				Exemplars: []writev2.Exemplar{{LabelsRefs: []uint32{5, 6}, Value: 1, Timestamp: now}},
			}},
		}},
	} {
		l, list := serveWrites(t, metrics.Options{})
		client, err := remoteapi.NewAPI(l.web.URL, remoteapi.WithAPIHTTPClient(l.web.Client()))
		if err != nil {
			t.Fatal(err)
		}
		stats, err := client.Write(t.Context(), tt.version, tt.message)
		if err != nil || tt.version == remoteapi.WriteV2MessageType && stats.Samples != 2 {
			t.Fatalf("%s: %+v, %v", tt.version, stats, err)
		}
		if got := l.query(`orders_total{job="shop"} + count_over_time(orders_total[1m])`); len(got) != 1 || got[0].Value[1] != "6" {
			t.Errorf("%s: %+v, want 4 and 2 samples", tt.version, got)
		}
		var exemplars []struct {
			Exemplars []struct {
				Labels map[string]string `json:"labels"`
			} `json:"exemplars"`
		}
		l.get("/api/v1/query_exemplars", url.Values{"query": {"orders_total"}, "start": {stamp(time.Now().Add(-time.Hour))}, "end": {stamp(time.Now())}}, &exemplars)
		if len(exemplars) != 1 || exemplars[0].Exemplars[0].Labels["trace_id"] != traceID {
			t.Errorf("%s: exemplars %+v", tt.version, exemplars)
		}
		if got := list.List(); len(got) != 1 || got[0].Service != "shop" || got[0].Signal != senders.Metrics || got[0].Items != 2 {
			t.Errorf("%s: senders %+v", tt.version, got)
		}
	}
}

// A write that cannot be read or stored is refused with the reason, and says whether to
// send it again.
func TestRemoteWriteRefusals(t *testing.T) {
	noLeaks(t)
	series := func(at int64, labels ...string) []byte {
		ts := prompb.TimeSeries{Samples: []prompb.Sample{{Value: 1, Timestamp: at}}}
		for i := 0; i < len(labels); i += 2 {
			ts.Labels = append(ts.Labels, prompb.Label{Name: labels[i], Value: labels[i+1]})
		}
		body, err := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{ts}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	now := time.Now().UnixMilli()
	var many []string
	for i := range 70 {
		many = append(many, fmt.Sprintf("l%02d", i), "x")
	}
	for _, tt := range []struct {
		name   string
		body   []byte
		budget int64
		status int
		text   string
	}{
		{name: "not compressed", body: []byte("nonsense"), status: http.StatusBadRequest, text: "a remote write is compressed with snappy"},
		{name: "too large", body: snappy.Encode(nil, make([]byte, 17<<20)), status: http.StatusRequestEntityTooLarge, text: "more than 16777216 bytes: send fewer samples"},
		{name: "many empty series", body: snappy.Encode(nil, bytes.Repeat([]byte{0x0a, 0}, 1<<20)), status: http.StatusRequestEntityTooLarge, text: "send fewer samples"},
		{name: "no room", body: snappy.Encode(nil, series(now, "__name__", "x")), budget: 100, status: http.StatusServiceUnavailable, text: "send it again later"},
		{name: "broken", body: snappy.Encode(nil, []byte{0x0a, 9}), status: http.StatusBadRequest, text: "unexpected EOF"},
		{name: "too old", body: snappy.Encode(nil, series(1, "__name__", "x", "job", "j")), status: http.StatusBadRequest, text: "too old sample"},
		{name: "too new", body: snappy.Encode(nil, series(now+3_600_000, "__name__", "x", "job", "j")), status: http.StatusBadRequest, text: "out of bounds"},
		{name: "too many labels", body: snappy.Encode(nil, series(now, append([]string{"__name__", "x", "job", "j"}, many...)...)), status: http.StatusBadRequest, text: "at most 64 of 16384 are allowed"},
		{name: "too long a label", body: snappy.Encode(nil, series(now, "__name__", "x", "job", "j", "l", strings.Repeat("x", 17<<10))), status: http.StatusBadRequest, text: "at most 64 of 16384 are allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := metrics.Options{}
			if tt.budget > 0 {
				o.Budget = intake.NewBudget(tt.budget)
			}
			l, list := serveWrites(t, o)
			if tt.name == "too old" { // a sample of the same series that is newer
				post(t, l, snappy.Encode(nil, series(now, "__name__", "x", "job", "j")))
			}
			status, text := post(t, l, tt.body)
			if status != tt.status || !strings.Contains(text, tt.text) {
				t.Errorf("status %d, %q, want %d with %q", status, text, tt.status, tt.text)
			}
			if got := list.List(); len(got) == 0 || got[len(got)-1].Refused != 1 {
				t.Errorf("senders %+v, want one refusal", got)
			}
		})
	}
}

func post(t *testing.T, l *lab, body []byte) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.web.URL+"/api/v1/write", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	res, err := l.web.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, b.String()
}

// gauge returns n series of a gauge, each with a label of some length, as of at.
func gauge(n, length int, at time.Time) pmetric.Metrics {
	md := pmetric.NewMetrics()
	resource := md.ResourceMetrics().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "many")
	m := resource.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("g")
	for i := range n {
		p := m.SetEmptyGauge
		if i > 0 {
			p = m.Gauge
		}
		dp := p().DataPoints().AppendEmpty()
		dp.SetTimestamp(pcommon.NewTimestampFromTime(at))
		dp.SetIntValue(int64(i))
		dp.Attributes().PutStr("l", fmt.Sprintf("%d%s", i, strings.Repeat("x", length)))
	}
	return md
}

// The labels of all series are bounded together: new series beyond are rejected with
// their number, and series that exist go on.
func TestSeriesAreBounded(t *testing.T) {
	noLeaks(t)
	l, _ := serveWrites(t, metrics.Options{})
	now := time.Now()
	rejected, _, err := l.server.AppendMetrics(t.Context(), gauge(2200, 16_000, now))
	if err != nil || len(rejected) != 1 || rejected[0].Service != "many" || rejected[0].Items < 2200-32<<20/16_000 || rejected[0].Items > 200 {
		t.Fatalf("%+v, %v", rejected, err)
	}
	if reason := rejected[0].Reason.Error(); !strings.Contains(reason, "and at most 50000 of 33554432 are kept: the new series of \"g\" is refused; use fewer values of labels") {
		t.Errorf("the reason is %q", reason)
	}
	if again, _, err := l.server.AppendMetrics(t.Context(), gauge(1000, 16_000, now.Add(time.Second))); err != nil || len(again) != 0 {
		t.Errorf("series that exist: %+v, %v", again, err)
	}
}

// Samples that come late are stored if they are at most half an hour older than the
// newest of their series.
func TestLateSamples(t *testing.T) {
	noLeaks(t)
	l, _ := serveWrites(t, metrics.Options{})
	now := time.Now()
	for _, tt := range []struct {
		ago      time.Duration
		rejected int
	}{{0, 0}, {time.Minute, 0}, {29 * time.Minute, 0}, {2 * time.Hour, 1}} {
		rejected, _, err := l.server.AppendMetrics(t.Context(), gauge(1, 0, now.Add(-tt.ago)))
		if err != nil || len(rejected) != tt.rejected {
			t.Errorf("%s ago: %+v, %v, want %d rejected", tt.ago, rejected, err, tt.rejected)
		}
	}
	if got := l.query("count_over_time(g[40m])"); len(got) != 1 || got[0].Value[1] != "3" {
		t.Errorf("%+v, want 3 samples", got)
	}
}

// A target of one's own is scraped at its path, with exemplars, and fails if it has series
// for which there is no room.
func TestForeignTarget(t *testing.T) {
	noLeaks(t)
	large := make(chan struct{})
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/own/path" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
		fmt.Fprintf(w, "# TYPE orders counter\norders_total 5 # {trace_id=%q} 1\n", traceID)
		select {
		case <-large:
			fmt.Fprintf(w, "# TYPE big gauge\nbig{l=%q} 1\n", strings.Repeat("x", 17<<10))
		default:
		}
		fmt.Fprint(w, "# EOF\n")
	}))
	defer target.Close()
	l := start(t, metrics.Options{Targets: []metrics.Target{{Job: "shop", Address: strings.TrimPrefix(target.URL, "http://"), Path: "/own/path", Foreign: true}}})
	if metric := l.wait("orders_total", "5"); metric["job"] != "shop" {
		t.Errorf("labels %v", metric)
	}
	var exemplars []json.RawMessage
	l.get("/api/v1/query_exemplars", url.Values{"query": {"orders_total"}, "start": {stamp(time.Now().Add(-time.Hour))}, "end": {stamp(time.Now())}}, &exemplars)
	if len(exemplars) != 1 || !strings.Contains(string(exemplars[0]), traceID) {
		t.Errorf("exemplars %s", exemplars)
	}
	close(large)
	l.wait("up", "0")
	var data struct {
		Active []struct {
			LastError string `json:"lastError"`
		} `json:"activeTargets"`
	}
	l.get("/api/v1/targets", nil, &data)
	if len(data.Active) != 1 || !strings.Contains(data.Active[0].LastError, "at most 64 of 16384 are allowed") {
		t.Errorf("targets: %+v, want the reason", data)
	}
}
