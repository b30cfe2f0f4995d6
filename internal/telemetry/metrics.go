package telemetry

import (
	"cmp"
	"net/http"
	"strconv"

	"github.com/felixge/httpsnoop"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dicelab/internal/contract"
)

// MetricsHandler serves the registry as Prometheus text or, if the client asks
// for it, as OpenMetrics: exemplars exist only there.
func (t *Telemetry) MetricsHandler() http.Handler {
	return promhttp.HandlerFor(t.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true, Registry: t.Registry})
}

// httpMetrics are the metrics of every request, with the names of FastAPI's
// instrumentator.
type httpMetrics struct {
	requests     *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	requestSize  *prometheus.HistogramVec
	responseSize *prometheus.HistogramVec
}

func newHTTPMetrics(reg prometheus.Registerer) httpMetrics {
	sizes := prometheus.ExponentialBuckets(64, 4, 8) // 64 B to 1 MiB
	m := httpMetrics{
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
func (m httpMetrics) prepare(handler, method string) {
	for _, status := range []int{200, 400, 500} {
		m.requests.WithLabelValues(handler, methodLabel(method), statusClass(status))
	}
	m.duration.WithLabelValues(handler, methodLabel(method))
	m.requestSize.WithLabelValues(handler)
	m.responseSize.WithLabelValues(handler)
}

func (t *Telemetry) observeRequest(handler string, r *http.Request, answer httpsnoop.Metrics) {
	status := cmp.Or(answer.Code, http.StatusOK) // net/http's answer if a handler sets none
	method := methodLabel(r.Method)
	trace := t.exemplar(r.Context())
	count(t.http.requests.WithLabelValues(handler, method, statusClass(status)), trace)
	observe(t.http.duration.WithLabelValues(handler, method), answer.Duration.Seconds(), trace)
	observe(t.http.requestSize.WithLabelValues(handler), float64(max(r.ContentLength, 0)), trace)
	observe(t.http.responseSize.WithLabelValues(handler), float64(answer.Written), trace)
}

func statusClass(status int) string { return strconv.Itoa(status/100) + "xx" }

// methodLabel keeps the label bounded: it returns a method of RFC 9110 or RFC
// 5789, which are case-sensitive, or contract.MethodOther.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	default:
		return contract.MethodOther
	}
}
