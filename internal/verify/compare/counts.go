package compare

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"dicelab/internal/contract"
	"dicelab/internal/contract/golden"
	"dicelab/internal/scrape"
)

// Samples are the counters, and the counts of the histograms, that a service's
// /metrics shows, by name and labels as Prometheus writes them.
type Samples map[string]float64

// Sum adds up the samples of a metric; ok is false if there are none.
func (s Samples) Sum(metric string) (sum float64, ok bool) {
	for sample, value := range s {
		if strings.HasPrefix(sample, metric+"{") {
			sum, ok = sum+value, true
		}
	}
	return sum, ok
}

// ReadSamples returns the samples that a service shows to Prometheus, but those that
// move by themselves, and the names of all its metrics.
func ReadSamples(text []byte) (out Samples, names map[string]bool, err error) {
	families, err := scrape.Read(bytes.NewReader(text))
	if err != nil {
		return nil, nil, err
	}
	out, names = Samples{}, map[string]bool{}
	for name, f := range families {
		names[name] = true
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "promhttp_") {
			continue
		}
		for _, m := range f.GetMetric() {
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				out[name+labelText(m)] = m.GetCounter().GetValue()
			case dto.MetricType_HISTOGRAM:
				out[name+"_count"+labelText(m)] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return out, names, nil
}

// labelText writes labels as golden telemetry has them, sorted by name.
func labelText(m *dto.Metric) string {
	var pairs []string
	for _, l := range m.GetLabel() {
		pairs = append(pairs, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	slices.Sort(pairs)
	return "{" + strings.Join(pairs, ",") + "}"
}

// Difference is a sample that has not moved as it should.
type Difference struct {
	Service, Sample string
	Want, Got       float64
}

func (d Difference) String() string {
	return fmt.Sprintf("%s of %s by %v, not by %v", d.Sample, d.Service, d.Got, d.Want)
}

// Counts compares every sample of the services, those that should not move
// included. Dropped spans are left out: a row of their own is about them.
func Counts(want, before, after map[string]Samples) (out []Difference) {
	for service, now := range after {
		names := map[string]bool{}
		for name := range now {
			names[name] = true
		}
		for name := range want[service] {
			names[name] = true
		}
		for name := range names {
			got := now[name] - before[service][name]
			if !strings.HasPrefix(name, contract.MetricSpansDropped) && got != want[service][name] {
				out = append(out, Difference{service, name, want[service][name], got})
			}
		}
	}
	slices.SortFunc(out, func(a, b Difference) int { return strings.Compare(a.Service+a.Sample, b.Service+b.Sample) })
	return out
}

// AddRoll adds to the samples of the services what a roll of a die leaves in them.
func AddRoll(to map[string]Samples, die string, failed bool) error {
	scenario := golden.Success
	if failed {
		scenario = golden.Failure
	}
	left, err := golden.Load(scenario)
	if err != nil {
		return err
	}
	label := func(die string) string { return fmt.Sprintf("%s=%q", contract.LabelDieType, die) }
	for service, moves := range left.Metrics {
		for sample, by := range moves {
			to[service][strings.Replace(sample, label(contract.DieRisky), label(die), 1)] += by // scenarios are of the risky die
		}
	}
	return nil
}
