package generate

import (
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"dicelab/internal/contract"
)

// The generator's own metrics count the spans and calls that it left out.
const (
	// MetricSpansDropped counts the spans that are stored and not in the generated
	// metrics, by contract.LabelReason.
	MetricSpansDropped = "dicelab_generator_spans_dropped_total"
	// MetricSeriesLimited counts the spans and calls whose labels would have made
	// more series than Options.MaxSeries.
	MetricSeriesLimited = "dicelab_generator_series_limited_total"
	// MetricEdgesUnpaired counts the calls whose one side did not arrive and cannot
	// be derived from the other.
	MetricEdgesUnpaired = "dicelab_generator_edges_unpaired_total"
)

// Reasons for which spans are not counted.
const (
	reasonQueueFull = contract.ReasonQueueFull // they came faster than they were counted
	reasonShutdown  = "shutdown"               // they came after the end
	reasonTime      = "outside_time_range"     // they ended more than Options.Slack ago, or will
)

// ownMetrics holds the generator's own metrics, and the log.
type ownMetrics struct {
	dropped  *prometheus.CounterVec
	limited  prometheus.Counter
	unpaired prometheus.Counter

	log    *slog.Logger
	logged sync.Map // reasons that were logged
}

func newOwnMetrics(registry prometheus.Registerer, log *slog.Logger) *ownMetrics {
	m := &ownMetrics{
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricSpansDropped, Help: "Spans that are stored and not counted in the generated metrics, by reason.",
		}, []string{contract.LabelReason}),
		limited: prometheus.NewCounter(prometheus.CounterOpts{
			Name: MetricSeriesLimited, Help: "Spans and calls that were not counted because their labels would have made too many series.",
		}),
		unpaired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: MetricEdgesUnpaired, Help: "Calls that are not in the service graph because one side did not come.",
		}),
		log: log,
	}
	registry.MustRegister(m.dropped, m.limited, m.unpaired)
	return m
}

// drop counts n spans that are not counted.
func (m *ownMetrics) drop(reason string, n int) {
	m.dropped.WithLabelValues(reason).Add(float64(n))
	m.logOnce(reason)
}

// limit counts a span or a call that has no series.
func (m *ownMetrics) limit() {
	m.limited.Inc()
	m.logOnce("series_limit")
}

// logOnce logs each reason once: the numbers are at /metrics.
func (m *ownMetrics) logOnce(reason string) {
	if _, logged := m.logged.LoadOrStore(reason, true); !logged {
		m.log.Warn("spans are stored but not counted in service graph and span metrics; /metrics of the embedded Prometheus says how many", "reason", reason)
	}
}
