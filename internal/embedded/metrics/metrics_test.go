package metrics_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/goleak"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/metrics"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	// interval is also what a scrape may take, on a machine that is busy with
	// other tests.
	interval = 100 * time.Millisecond
	// pause is between two looks for something to appear.
	pause = 20 * time.Millisecond
	// patience bounds each wait for something to appear.
	patience = 20 * time.Second
)

// noLeaks fails the test if it leaves a new goroutine behind.
func noLeaks(t testing.TB) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t, before)
	})
}

// service is a target like those of the lab: client_golang's metrics, with exemplars.
type service struct {
	*httptest.Server
	rolls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	accept   chan string // the Accept header of the first scrape
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{
		rolls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: contract.MetricDiceRolls, Help: "Rolls."},
			[]string{contract.LabelDieType, contract.LabelResult}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: contract.MetricHTTPDuration, Help: "Duration.", Buckets: []float64{.1, 1}},
			[]string{contract.LabelHandler}),
		accept: make(chan string, 1),
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(s.rolls, s.duration)
	h := promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.accept <- r.Header.Get("Accept"):
		default:
		}
		h.ServeHTTP(w, r)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *service) addr() string { return strings.TrimPrefix(s.URL, "http://") }

// roll counts one roll, with an exemplar.
func (s *service) roll() {
	exemplar := prometheus.Labels{contract.FieldTraceID: traceID}
	s.rolls.WithLabelValues(contract.DieFair, contract.ResultSuccess).(prometheus.ExemplarAdder).AddWithExemplar(1, exemplar)
	s.duration.WithLabelValues("/roll").(prometheus.ExemplarObserver).ObserveWithExemplar(.25, exemplar)
}

// lab is a running Server behind HTTP.
type lab struct {
	t      *testing.T
	server *metrics.Server
	web    *httptest.Server
	stop   func() // ends Run and checks what it returns
}

// start runs a server until the test ends or stop is called.
func start(t *testing.T, o metrics.Options) *lab {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Interval == 0 {
		o.Interval = interval
	}
	server, err := metrics.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx) }()
	web := httptest.NewServer(server.Handler())
	stopped := false
	l := &lab{t: t, server: server, web: web, stop: func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	}}
	t.Cleanup(func() {
		l.stop()
		web.Close()
		if err := server.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

// answer is the envelope of Prometheus's responses.
type answer struct {
	Status    string          `json:"status"`
	Data      json.RawMessage `json:"data"`
	ErrorType string          `json:"errorType"`
	Error     string          `json:"error"`
}

// get reads an endpoint of the API into data and returns the status code.
func (l *lab) get(path string, params url.Values, data any) int {
	l.t.Helper()
	return l.do(http.MethodGet, path+"?"+params.Encode(), "", data)
}

func (l *lab) do(method, path, form string, data any) int {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), method, l.web.URL+path, strings.NewReader(form))
	if err != nil {
		l.t.Fatal(err)
	}
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	// Every request looks as if it came from a page: a Prometheus API that is
	// not set up for that panics.
	req.Header.Set("Origin", "http://elsewhere.example")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	if got := res.Header.Get("Access-Control-Allow-Origin"); got != "" {
		l.t.Errorf("%s %s allows origin %q, want none", method, path, got)
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		l.t.Fatalf("%s %s: %v in %q", method, path, err, body)
	}
	if data != nil && a.Status == "success" {
		if err := json.Unmarshal(a.Data, data); err != nil {
			l.t.Fatalf("%s %s: %v in %s", method, path, err, a.Data)
		}
	}
	return res.StatusCode
}

// sample is one series of an instant query.
type sample struct {
	Metric map[string]string `json:"metric"`
	Value  [2]any            `json:"value"`
}

// query returns the result of an instant query, now.
func (l *lab) query(expr string) []sample {
	l.t.Helper()
	var data struct {
		Result []sample `json:"result"`
	}
	if code := l.get("/api/v1/query", url.Values{"query": {expr}}, &data); code != http.StatusOK {
		l.t.Fatalf("query %s: status %d", expr, code)
	}
	return data.Result
}

// wait polls until an instant query has one series of the value, and returns its
// labels.
func (l *lab) wait(expr, value string) map[string]string {
	l.t.Helper()
	var last []sample
	until(l.t, func() bool {
		last = l.query(expr)
		return len(last) == 1 && last[0].Value[1] == value
	}, func() any { return last })
	return last[0].Metric
}

// until polls until ok.
func until(t *testing.T, ok func() bool, last func() any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not there after %s; last: %v", patience, last())
		}
	}
}
