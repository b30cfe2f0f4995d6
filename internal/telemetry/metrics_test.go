package telemetry_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"dicelab/internal/contract"
	"dicelab/internal/telemetry"
)

// series lists every series of the HTTP metrics with its value, or its count and
// sum. Durations are left out of the values: they are chance.
func (b *bench) series() map[string]string {
	b.t.Helper()
	families, err := b.Registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	found := map[string]string{}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "http_") {
			continue
		}
		for _, m := range family.GetMetric() {
			key := family.GetName()
			for _, label := range m.GetLabel() {
				key += " " + label.GetName() + "=" + label.GetValue()
			}
			switch {
			case m.GetCounter() != nil:
				found[key] = fmt.Sprint(m.GetCounter().GetValue())
			case family.GetName() == contract.MetricHTTPDuration:
				found[key] = fmt.Sprint(m.GetHistogram().GetSampleCount())
			default:
				found[key] = fmt.Sprint(m.GetHistogram().GetSampleCount(), " ", m.GetHistogram().GetSampleSum())
			}
		}
	}
	return found
}

// requests returns http_requests_total by "handler method status", without the series
// that exist from the start and have not moved.
func (b *bench) requests() map[string]float64 {
	b.t.Helper()
	families, err := b.Registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	found := map[string]float64{}
	for _, family := range families {
		if family.GetName() != contract.MetricHTTPRequests {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if n := m.GetCounter().GetValue(); n != 0 {
				found[labels[contract.LabelHandler]+" "+labels[contract.LabelMethod]+" "+labels[contract.LabelStatus]] = n
			}
		}
	}
	return found
}

// dropped returns dicelab_spans_dropped_total for one reason.
func (b *bench) dropped(reason string) float64 {
	b.t.Helper()
	families, err := b.Registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != contract.MetricSpansDropped {
			continue
		}
		for _, m := range family.GetMetric() {
			if len(m.GetLabel()) == 1 && m.GetLabel()[0].GetName() == contract.LabelReason && m.GetLabel()[0].GetValue() == reason {
				return m.GetCounter().GetValue()
			}
		}
	}
	b.t.Fatalf("no %s{%s=%q}", contract.MetricSpansDropped, contract.LabelReason, reason)
	return math.NaN()
}

func TestMetricsOfRequests(t *testing.T) {
	b := start(t)
	status := 200
	echo := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		if status != 204 {
			_, _ = io.WriteString(w, strings.Repeat("x", 100))
		}
	}
	handler := b.Handler([]telemetry.Route{
		traced("POST /roll", echo),
		{Pattern: "GET /{$}", Watch: telemetry.Counted, Handler: http.HandlerFunc(echo)},
	}, unguarded)
	send := func(s int, method, path, body string) {
		status = s
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, path, strings.NewReader(body)))
	}
	send(200, "POST", "/roll", "die=fair")
	send(204, "POST", "/roll", "")
	send(302, "POST", "/roll", "die=fair")
	send(422, "POST", "/roll", "die=round")
	send(499, "POST", "/roll", "")
	send(500, "POST", "/roll", "")
	send(200, "GET", "/", "")
	send(200, "HEAD", "/", "")
	send(200, "GET", "/roll", "")   // 405
	send(200, "GET", "/beside", "") // 404
	send(200, "get", "/", "")       // 405: methods are case-sensitive
	send(200, "BREW", "/", "")

	want := map[string]string{
		"http_requests_total handler=/roll method=POST status=2xx": "2",
		"http_requests_total handler=/roll method=POST status=3xx": "1",
		"http_requests_total handler=/roll method=POST status=4xx": "2",
		"http_requests_total handler=/roll method=POST status=5xx": "1",
		"http_requests_total handler=/ method=GET status=2xx":      "1",
		"http_requests_total handler=/ method=HEAD status=2xx":     "1",
		"http_requests_total handler=none method=GET status=4xx":   "2",
		"http_requests_total handler=none method=other status=4xx": "2",

		"http_request_duration_seconds handler=/roll method=POST": "6",
		"http_request_duration_seconds handler=/ method=GET":      "1",
		"http_request_duration_seconds handler=/ method=HEAD":     "1",
		"http_request_duration_seconds handler=none method=GET":   "2",
		"http_request_duration_seconds handler=none method=other": "2",

		"http_request_size_bytes handler=/roll":  "6 25",
		"http_request_size_bytes handler=/":      "2 0",
		"http_request_size_bytes handler=none":   "4 0",
		"http_response_size_bytes handler=/roll": "6 500",
		"http_response_size_bytes handler=/":     "2 200",
	}
	got := b.series()
	delete(got, "http_response_size_bytes handler=none") // the problem documents' texts
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}

// TestSeriesExistFromTheStart: a rate over a counter that begins at 1 would not
// show the first failure.
func TestSeriesExistFromTheStart(t *testing.T) {
	b := start(t)
	none := func(http.ResponseWriter, *http.Request) {}
	b.Handler([]telemetry.Route{
		traced("GET /roll", none), traced("BREW /pot", none),
		{Pattern: "GET /docs", Watch: telemetry.Counted, Handler: http.HandlerFunc(none)},
	}, unguarded)
	want := map[string]string{}
	for _, handler := range []string{"/roll method=GET", "/pot method=other"} {
		for _, class := range []string{"2xx", "4xx", "5xx"} {
			want["http_requests_total handler="+handler+" status="+class] = "0"
		}
		want["http_request_duration_seconds handler="+handler] = "0"
		path, _, _ := strings.Cut(handler, " ")
		want["http_request_size_bytes handler="+path] = "0 0"
		want["http_response_size_bytes handler="+path] = "0 0"
	}
	if diff := cmp.Diff(want, b.series()); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}

func TestDurationBuckets(t *testing.T) {
	b := start(t)
	b.Handler([]telemetry.Route{traced("GET /roll", func(http.ResponseWriter, *http.Request) {})}, unguarded).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/roll", nil))
	var bounds []float64
	for _, bucket := range b.histogram(contract.MetricHTTPDuration).GetBucket() {
		bounds = append(bounds, bucket.GetUpperBound())
	}
	if diff := cmp.Diff([]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, bounds); diff != "" {
		t.Errorf("buckets (-want +got):\n%s", diff)
	}
}

// histogram returns the one series of a histogram.
func (b *bench) histogram(name string) *dto.Histogram {
	b.t.Helper()
	families, err := b.Registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name && len(family.GetMetric()) == 1 {
			return family.GetMetric()[0].GetHistogram()
		}
	}
	b.t.Fatalf("no single series of %s", name)
	return nil
}

func TestMetricsAreLintClean(t *testing.T) {
	b := start(t)
	b.do(http.MethodGet, b.serve(traced("GET /roll", func(http.ResponseWriter, *http.Request) {}))+"/roll", nil)
	problems, err := testutil.GatherAndLint(b.Registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestLabelsAreBounded: whatever is asked for, the number of series is that of
// the routes, the known methods and the classes of status.
func TestLabelsAreBounded(t *testing.T) {
	b := start(t)
	handler := b.Handler([]telemetry.Route{traced("GET /roll", func(http.ResponseWriter, *http.Request) {})}, unguarded)
	send := func(method, path string) {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, path, nil))
	}
	send("GET", "/roll?die=fair")
	send("GET", "/nowhere")
	send("BREW", "/roll")
	before := len(b.series())
	for i := range 1000 {
		send(fmt.Sprintf("BREW%d", i), "/roll")
		send(fmt.Sprintf("BREW%d", i), fmt.Sprintf("/pot/%d", i))
		send("GET", fmt.Sprintf("/nowhere/%d", i))
		send("GET", fmt.Sprintf("/roll?die=%d", i))
	}
	if after := len(b.series()); after != before {
		t.Errorf("%d series, %d before", after, before)
	}
	want := map[string]float64{"/roll GET 2xx": 1001, "none GET 4xx": 1001, "none other 4xx": 2001}
	if diff := cmp.Diff(want, b.requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// exemplars returns the distinct exemplars of the text that /metrics gives, by
// metric name, in OpenMetrics.
func (b *bench) exemplars() map[string][]string {
	b.t.Helper()
	resp, text := b.do(http.MethodGet, b.serve(telemetry.Route{Pattern: "GET /metrics", Watch: telemetry.Silent, Handler: b.MetricsHandler()})+"/metrics", nil,
		"Accept", "application/openmetrics-text; version=1.0.0")
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/openmetrics-text; version=1.0.0") {
		b.t.Fatalf("content type %q", kind)
	}
	if !strings.HasSuffix(text, "# EOF\n") {
		b.t.Error("OpenMetrics text does not end with # EOF")
	}
	found := map[string][]string{}
	for line := range strings.Lines(text) {
		name, exemplar, ok := strings.Cut(line, " # ")
		if !ok || strings.HasPrefix(line, "# ") {
			continue
		}
		name = name[:strings.IndexAny(name, "{ ")]
		exemplar, _, _ = strings.Cut(exemplar, " ")
		found[name] = append(found[name], exemplar)
	}
	return found
}

func TestExemplarsLeadToTheTrace(t *testing.T) {
	for _, tt := range []struct {
		name    string
		env     [2]string
		faults  []string
		headers []string
		want    bool
	}{
		{name: "sampled", want: true},
		{name: "sampled by the caller", headers: []string{contract.HeaderTraceparent, "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"}, want: true},
		{name: "not sampled by the caller", headers: []string{contract.HeaderTraceparent, "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00"}},
		{name: "sampler off", env: [2]string{"OTEL_TRACES_SAMPLER", "always_off"}},
		{name: "SDK off", env: [2]string{"OTEL_SDK_DISABLED", "true"}},
		{name: "SDK off and sampled by the caller", env: [2]string{"OTEL_SDK_DISABLED", "true"},
			headers: []string{contract.HeaderTraceparent, "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"}},
		{name: "no exporter", env: [2]string{"OTEL_TRACES_EXPORTER", "none"}},
		{name: "fault no-exemplars", faults: []string{"no-exemplars"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.env[0] != "" {
				t.Setenv(tt.env[0], tt.env[1])
			}
			b := start(t, tt.faults...)
			own := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "own_total", Help: "A service's own."}, []string{"die"})
			values := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "own_value", Help: "A service's own.", Buckets: []float64{6}}, []string{"die"})
			b.Registry.MustRegister(own, values)
			url := b.serve(traced("GET /roll", func(_ http.ResponseWriter, r *http.Request) {
				b.Count(r.Context(), own.WithLabelValues("fair"))
				b.Observe(r.Context(), values.WithLabelValues("fair"), 4)
			}))
			b.do(http.MethodGet, url+"/roll", nil, tt.headers...)
			got := b.exemplars()
			if testutil.ToFloat64(own) != 1 || b.histogram("own_value").GetSampleSum() != 4 {
				t.Errorf("counter %v, sum %v; want 1 and 4", testutil.ToFloat64(own), b.histogram("own_value").GetSampleSum())
			}
			b.stop()
			want := map[string][]string{}
			if tt.want {
				exemplar := []string{`{trace_id="` + b.sink.Named(contract.SpanRollerRoll).TraceID + `"}`}
				want = map[string][]string{
					"own_total": exemplar, "own_value_bucket": exemplar,
					"http_requests_total": exemplar, "http_request_duration_seconds_bucket": exemplar,
					"http_request_size_bytes_bucket": exemplar, "http_response_size_bytes_bucket": exemplar,
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("exemplars (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetricsAsPrometheusText(t *testing.T) {
	b := start(t)
	url := b.serve(telemetry.Route{Pattern: "GET /metrics", Watch: telemetry.Silent, Handler: b.MetricsHandler()})
	resp, text := b.do(http.MethodGet, url+"/metrics", nil)
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Errorf("content type %q", kind)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewBufferString(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total", contract.MetricSpansDropped} {
		if families[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}
