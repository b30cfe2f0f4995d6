package roller

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"dicelab/internal/contract"
)

// metrics are the service's own, besides those of every HTTP service.
type metrics struct {
	rolls  *prometheus.CounterVec
	values *prometheus.HistogramVec
}

// newMetrics registers them. Every series exists from the start, so that a rate
// over the first roll is not lost, and the set of series never grows.
func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		rolls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: contract.MetricDiceRolls, Help: "Dice rolled, by die and result.",
		}, []string{contract.LabelDieType, contract.LabelResult}),
		values: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: contract.MetricDiceRollValue, Help: "Values rolled, by die.", Buckets: contract.RollValueBuckets(),
		}, []string{contract.LabelDieType}),
	}
	reg.MustRegister(m.rolls, m.values)
	for _, die := range contract.Dice() {
		m.rolls.WithLabelValues(die, contract.ResultSuccess)
		m.rolls.WithLabelValues(die, contract.ResultError)
		m.values.WithLabelValues(die)
	}
	return m
}

// count counts a roll, unless the fault counter-stuck stops the counter.
func (s *service) count(ctx context.Context, die, result string) {
	if !s.faults.State().CounterStuck {
		s.Count(ctx, s.metrics.rolls.WithLabelValues(die, result))
	}
}
