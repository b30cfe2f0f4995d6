package generate

import (
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"dicelab/internal/contract"
)

// The generator's own metrics: what it did not count, and why.
const (
	// MetricSpansDropped counts the spans that are stored and not in the generated
	// metrics, by contract.LabelReason.
	MetricSpansDropped = "dicelab_generator_spans_dropped_total"
	// MetricSeriesLimited counts the spans and calls whose labels would have made
	// more series than Options.MaxSeries.
	MetricSeriesLimited = "dicelab_generator_series_limited_total"
	// MetricEdgesUnpaired counts the calls of which one side did not come, and of
	// which nothing tells what the other side was.
	MetricEdgesUnpaired = "dicelab_generator_edges_unpaired_total"
)

// Reasons for which spans are not counted.
const (
	reasonQueueFull = contract.ReasonQueueFull // they came faster than they were counted
	reasonShutdown  = "shutdown"               // they came after the end
	reasonTime      = "outside_time_range"     // they ended more than Options.Slack ago, or will
)

// ownMetrics are those, and the log.
type ownMetrics struct {
	dropped  *prometheus.CounterVec
	limited  prometheus.Counter
	unpaired prometheus.Counter

	log  *slog.Logger
	told sync.Map // reasons that were logged
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
	m.tell(reason)
}

// limit counts a span or a call that has no series.
func (m *ownMetrics) limit() {
	m.limited.Inc()
	m.tell("series_limit")
}

// tell logs each reason once: the numbers are at /metrics.
func (m *ownMetrics) tell(reason string) {
	if _, told := m.told.LoadOrStore(reason, true); !told {
		m.log.Warn("spans are stored but not counted in service graph and span metrics; /metrics of the embedded Prometheus says how many", "reason", reason)
	}
}
