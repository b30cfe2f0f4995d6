package roller

import (
	"github.com/prometheus/client_golang/prometheus"

	"dicelab/internal/contract"
	"dicelab/internal/telemetry"
)

// metrics are the service's own, besides those of every HTTP service, by die.
type metrics map[string]dieMetrics

type dieMetrics struct {
	success, failure *telemetry.Counter
	values           *telemetry.Histogram
}

// newMetrics registers them. Every series exists from the start, so that a rate
// over the first roll is not lost, and the set of series never grows.
func newMetrics(reg prometheus.Registerer) metrics {
	rolls := telemetry.NewCounterVec(prometheus.CounterOpts{
		Name: contract.MetricDiceRolls, Help: "Dice rolled, by die and result.",
	}, []string{contract.LabelDieType, contract.LabelResult})
	values := telemetry.NewHistogramVec(prometheus.HistogramOpts{
		Name: contract.MetricDiceRollValue, Help: "Values rolled, by die.", Buckets: contract.RollValueBuckets(),
	}, []string{contract.LabelDieType})
	reg.MustRegister(rolls, values)
	m := metrics{}
	for _, die := range contract.Dice() {
		m[die] = dieMetrics{
			success: rolls.With(die, contract.ResultSuccess),
			failure: rolls.With(die, contract.ResultError),
			values:  values.With(die),
		}
	}
	return m
}

// count counts a roll, unless the fault counter-stuck holds the counter.
func (s *service) count(counter *telemetry.Counter, from telemetry.Exemplar) {
	if !s.faults.State().CounterStuck {
		counter.Inc(from)
	}
}
