package telemetry

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/contract"
)

// MetricsHandler shows the registry as Prometheus text or, when asked for it, as
// OpenMetrics: exemplars exist only there.
func (t *Telemetry) MetricsHandler() http.Handler {
	return promhttp.HandlerFor(t.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true, Registry: t.Registry})
}

// Exemplar is the trace in ctx, at a moment. It is none where there is no trace to
// find: nothing is recorded of an unsampled request.
func (t *Telemetry) Exemplar(ctx context.Context, at time.Time) Exemplar {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsSampled() || !t.recording || t.faults.State().NoExemplars {
		return Exemplar{}
	}
	return Exemplar{sc.TraceID(), at}
}

// httpMetrics are the metrics of every request, as FastAPI's instrumentator
// names them.
type httpMetrics struct {
	requests     *CounterVec
	duration     *HistogramVec
	requestSize  *HistogramVec
	responseSize *HistogramVec

	mu    sync.RWMutex
	known map[seriesKey]*series
}

// seriesKey has the labels handler and method; both are bounded.
type seriesKey struct{ handler, method string }

// series are those that one request moves.
type series struct {
	requests                            [10]atomic.Pointer[Counter] // by class of status, 2 for 2xx; made when needed
	duration, requestSize, responseSize *Histogram
}

// of finds the series of a handler and method, made if they are new.
func (m *httpMetrics) of(handler, method string) *series {
	key := seriesKey{handler, method}
	m.mu.RLock()
	s, ok := m.known[key]
	m.mu.RUnlock()
	if ok {
		return s
	}
	s = &series{
		duration: m.duration.With(handler, method), requestSize: m.requestSize.With(handler), responseSize: m.responseSize.With(handler),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[key] = s
	return s
}

// request is the counter of a class of status.
func (m *httpMetrics) request(s *series, handler, method string, class int) *Counter {
	c := s.requests[class].Load()
	if c == nil {
		c = m.requests.With(handler, method, strconv.Itoa(class)+"xx")
		s.requests[class].Store(c)
	}
	return c
}

func newHTTPMetrics(reg prometheus.Registerer) *httpMetrics {
	sizes := prometheus.ExponentialBuckets(64, 4, 8) // 64 B to 1 MiB
	m := &httpMetrics{
		known: map[seriesKey]*series{},
		requests: NewCounterVec(prometheus.CounterOpts{
			Name: contract.MetricHTTPRequests, Help: "Requests answered, by handler, method and class of status.",
		}, []string{contract.LabelHandler, contract.LabelMethod, contract.LabelStatus}),
		duration: NewHistogramVec(prometheus.HistogramOpts{
			Name: contract.MetricHTTPDuration, Help: "Time from request to answer, in seconds.", Buckets: prometheus.DefBuckets,
		}, []string{contract.LabelHandler, contract.LabelMethod}),
		requestSize: NewHistogramVec(prometheus.HistogramOpts{
			Name: contract.MetricHTTPRequestSize, Help: "Size of request bodies, in bytes.", Buckets: sizes,
		}, []string{contract.LabelHandler}),
		responseSize: NewHistogramVec(prometheus.HistogramOpts{
			Name: contract.MetricHTTPResponseSize, Help: "Size of response bodies, in bytes.", Buckets: sizes,
		}, []string{contract.LabelHandler}),
	}
	reg.MustRegister(m.requests, m.duration, m.requestSize, m.responseSize)
	return m
}

// prepare makes the series of a route exist before its first request: a rate
// over a counter that begins at 1 would not show the first failure.
func (m *httpMetrics) prepare(handler, pattern string) {
	method, _, ok := strings.Cut(pattern, " ")
	if !ok {
		return // it takes every method
	}
	method = methodLabel(method)
	s := m.of(handler, method)
	for _, class := range []int{2, 4, 5} {
		m.request(s, handler, method, class)
	}
}

func (t *Telemetry) observeRequest(ctx context.Context, handler, method string, status int, end time.Time, took time.Duration, in, out int64) {
	method = methodLabel(method)
	s := t.http.of(handler, method)
	from := t.Exemplar(ctx, end)
	t.http.request(s, handler, method, status/100).Inc(from) // net/http takes 100 to 999
	s.duration.Observe(took.Seconds(), from)
	s.requestSize.Observe(float64(in), from)
	s.responseSize.Observe(float64(out), from)
}

// methodLabel keeps the label bounded. A method's name is case-sensitive.
func methodLabel(method string) string {
	if known, _ := knownMethod(method); known != method {
		return contract.MethodOther
	}
	return method
}
