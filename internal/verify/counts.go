package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"dicelab/internal/contract"
	"dicelab/internal/contract/golden"
)

// samples are what a service's /metrics shows of the contract's metrics: counters
// and the counts of histograms, by name and labels as Prometheus writes them.
type samples map[string]float64

// counts reads what both services count.
func (p *probe) counts(ctx context.Context) (map[string]samples, error) {
	out := map[string]samples{}
	for service, base := range p.services() {
		families, err := p.metricsOf(ctx, base)
		if err != nil {
			return nil, fmt.Errorf("reading /metrics of %s: %w", service, err)
		}
		out[service] = samplesOf(families)
	}
	return out, nil
}

// services are the base URLs of the services.
func (r *run) services() map[string]string {
	return map[string]string{contract.ServiceFrontend: r.Frontend, contract.ServiceRoller: r.Roller}
}

// metricsOf reads what a service shows to Prometheus.
func (p *probe) metricsOf(ctx context.Context, base string) (map[string]*dto.MetricFamily, error) {
	a, err := p.get(ctx, p.at(base, "/metrics"))
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(bytes.NewReader(a.body))
}

func samplesOf(families map[string]*dto.MetricFamily) samples {
	out := samples{}
	for name, f := range families {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "promhttp_") {
			continue // they move by themselves
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
	return out
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

// settleTime is how long services may take to count what they have answered.
const settleTime = 2 * time.Second

// settle reads the counts after the rolls, again and again until they have moved
// as they should, or settleTime is over.
func (s *rolls) settle(ctx context.Context, p *probe) (map[string]samples, error) {
	var last map[string]samples
	_, err := untilTime(ctx, p, time.Now().Add(settleTime), func(ctx context.Context) (struct{}, error) {
		after, err := p.counts(ctx)
		if err != nil {
			return struct{}{}, err
		}
		last = after
		if want, ok := s.expected(); ok && len(differences(want, s.before, after)) > 0 {
			err = errors.New("they have not moved as they should")
		}
		return struct{}{}, err
	})
	if last != nil {
		return last, nil
	}
	return nil, err
}

// expected is by how much each sample should have moved, by service; ok is false
// where some rolls ended in a way that golden telemetry does not have.
func (s *rolls) expected() (want map[string]samples, ok bool) {
	want = map[string]samples{contract.ServiceFrontend: {}, contract.ServiceRoller: {}}
	for _, one := range s.all {
		scenario := golden.Success
		switch {
		case one.failedInBackend():
			scenario = golden.Failure
		case !one.rolled():
			return nil, false
		}
		left, err := golden.Load(scenario)
		if err != nil {
			return nil, false
		}
		for service, moves := range left.Metrics {
			for sample, by := range moves {
				// The scenarios are of the risky die.
				sample = strings.Replace(sample, die(contract.DieRisky), die(one.die), 1)
				want[service][sample] += by
			}
		}
	}
	return want, true
}

func die(d string) string { return fmt.Sprintf("%s=%q", contract.LabelDieType, d) }

// difference is a sample that has moved otherwise than it should.
type difference struct {
	service, sample string
	want, got       float64
}

func (d difference) String() string {
	return fmt.Sprintf("%s of %s moved by %v, not by %v", d.sample, d.service, d.got, d.want)
}

// differences compares every sample of the services, those that should not move
// included. Dropped spans are left out: they are a matter of what takes the spans,
// and of a row of their own.
func differences(want, before, after map[string]samples) (out []difference) {
	for service, now := range after {
		names := map[string]bool{}
		for name := range now {
			names[name] = true
		}
		for name := range want[service] {
			names[name] = true
		}
		for name := range names {
			if strings.HasPrefix(name, contract.MetricSpansDropped) {
				continue
			}
			got := now[name] - before[service][name]
			if wanted := want[service][name]; math.Abs(got-wanted) > 0 {
				out = append(out, difference{service, name, wanted, got})
			}
		}
	}
	slices.SortFunc(out, func(a, b difference) int { return strings.Compare(a.service+a.sample, b.service+b.sample) })
	return out
}
