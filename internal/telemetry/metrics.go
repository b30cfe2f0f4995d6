package telemetry

import (
	"context"
	"net/http"
	"strconv"
	"strings"
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

// Inc adds one to a counter, with the trace in ctx as exemplar.
func (t *Telemetry) Inc(ctx context.Context, c prometheus.Counter) { inc(c, t.exemplar(ctx)) }

// Observe records a value in a histogram, with the trace in ctx as exemplar.
func (t *Telemetry) Observe(ctx context.Context, h prometheus.Observer, value float64) {
	observe(h, value, t.exemplar(ctx))
}

func inc(c prometheus.Counter, exemplar prometheus.Labels) {
	if exemplar == nil {
		c.Inc()
		return
	}
	c.(prometheus.ExemplarAdder).AddWithExemplar(1, exemplar)
}

func observe(h prometheus.Observer, value float64, exemplar prometheus.Labels) {
	if exemplar == nil {
		h.Observe(value)
		return
	}
	h.(prometheus.ExemplarObserver).ObserveWithExemplar(value, exemplar)
}

// exemplar is nil where there is no trace to find: nothing is recorded of an
// unsampled request.
func (t *Telemetry) exemplar(ctx context.Context) prometheus.Labels {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsSampled() || !t.recording || t.faults.State().NoExemplars {
		return nil
	}
	return prometheus.Labels{contract.FieldTraceID: sc.TraceID().String()}
}

// httpMetrics are the metrics of every request, as FastAPI's instrumentator
// names them.
type httpMetrics struct {
	requests     *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	requestSize  *prometheus.HistogramVec
	responseSize *prometheus.HistogramVec
}

func newHTTPMetrics(reg prometheus.Registerer) *httpMetrics {
	sizes := prometheus.ExponentialBuckets(64, 4, 8) // 64 B to 1 MiB
	m := &httpMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: contract.MetricHTTPRequests, Help: "Requests answered, by handler, method and class of status.",
		}, []string{contract.LabelHandler, contract.LabelMethod, contract.LabelStatus}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: contract.MetricHTTPDuration, Help: "Time from request to answer, in seconds.", Buckets: prometheus.DefBuckets,
		}, []string{contract.LabelHandler, contract.LabelMethod}),
		requestSize: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: contract.MetricHTTPRequestSize, Help: "Size of request bodies, in bytes.", Buckets: sizes,
		}, []string{contract.LabelHandler}),
		responseSize: prometheus.NewHistogramVec(prometheus.HistogramOpts{
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
	for _, class := range []string{"2xx", "4xx", "5xx"} {
		m.requests.WithLabelValues(handler, method, class)
	}
	m.duration.WithLabelValues(handler, method)
	m.requestSize.WithLabelValues(handler)
	m.responseSize.WithLabelValues(handler)
}

func (t *Telemetry) observeRequest(ctx context.Context, handler, method string, status int, took time.Duration, in, out int64) {
	method = methodLabel(method)
	exemplar := t.exemplar(ctx)
	inc(t.http.requests.WithLabelValues(handler, method, statusClass(status)), exemplar)
	observe(t.http.duration.WithLabelValues(handler, method), took.Seconds(), exemplar)
	observe(t.http.requestSize.WithLabelValues(handler), float64(in), exemplar)
	observe(t.http.responseSize.WithLabelValues(handler), float64(out), exemplar)
}

// methodLabel keeps the label bounded. A method's name is case-sensitive.
func methodLabel(method string) string {
	if known, _ := knownMethod(method); known != method {
		return contract.MethodOther
	}
	return method
}

// statusClass is "2xx" for 200 to 299, and so on.
func statusClass(status int) string { return strconv.Itoa(status/100) + "xx" }
