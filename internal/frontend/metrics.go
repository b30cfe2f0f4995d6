package frontend

import (
	"github.com/prometheus/client_golang/prometheus"

	"dicelab/internal/contract"
)

// metrics are the front end's own, besides those of every HTTP service.
type metrics struct {
	clicks   *prometheus.CounterVec
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// newMetrics registers them. The series of clicks and durations exist from the
// start, so that a rate over the first click is not lost.
func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		clicks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: contract.MetricButtonClicks, Help: "Clicks on the Roll button, by die.",
		}, []string{contract.LabelDieType}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: contract.MetricBackendRequests,
			Help: "Requests to the dice roller, by die and its status; 504 where it did not answer in time, 503 where it could not be reached, 502 where its answer was no HTTP or broke off.",
		}, []string{contract.LabelDieType, contract.LabelStatusCode}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: contract.MetricBackendDuration, Help: "Time until the dice roller had answered, in seconds.",
			Buckets: contract.BackendDurationBuckets(),
		}, []string{contract.LabelDieType}),
	}
	reg.MustRegister(m.clicks, m.requests, m.duration)
	for _, die := range contract.Dice() {
		m.clicks.WithLabelValues(die)
		m.duration.WithLabelValues(die)
		for _, status := range []string{"200", "500", "503", "504"} {
			m.requests.WithLabelValues(die, status)
		}
	}
	return m
}
