package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/verify/compare"
)

// sumOf is the query for the sum of a service's metric.
func sumOf(metric, service string) string { return fmt.Sprintf("sum(%s{job=%q})", metric, service) }

// counts reads the counts of both services.
func (p *Probe) counts(ctx context.Context) (map[string]compare.Samples, error) {
	out := map[string]compare.Samples{}
	for _, service := range contract.Services() {
		samples, _, err := p.metricsOf(ctx, service)
		if err != nil {
			return nil, err
		}
		out[service] = samples
	}
	return out, nil
}

// services are the base URLs of the services.
func (r *run) services() map[string]string {
	return map[string]string{contract.ServiceFrontend: r.Frontend, contract.ServiceRoller: r.Roller}
}

// metricsOf reads what a service shows to Prometheus.
func (p *Probe) metricsOf(ctx context.Context, service string) (compare.Samples, map[string]bool, error) {
	a, err := p.get(ctx, p.at(p.services()[service], "/metrics"))
	if err != nil {
		return nil, nil, fmt.Errorf("reading /metrics of %s: %w", service, err)
	}
	return compare.ReadSamples(a.body)
}

// settleTime is the longest time that services take to count what they have answered.
const settleTime = 2 * time.Second

// settle reads the counts after the rolls, again and again until they have moved
// as they should, or settleTime is over.
func (s *rolls) settle(ctx context.Context, p *Probe) (last map[string]compare.Samples, err error) {
	err = p.untilTime(ctx, time.Now().Add(settleTime), func() error {
		after, err := p.counts(ctx)
		if err != nil {
			return err
		}
		last = after
		if want, ok := s.expected(); ok && len(compare.Counts(want, s.before, after)) > 0 {
			return errors.New("they have not moved as they should")
		}
		return nil
	})
	if last != nil {
		return last, nil
	}
	return nil, err
}

// expected returns by how much each sample should have moved, by service; ok is false
// if some rolls ended in a way that golden telemetry does not have.
func (s *rolls) expected() (want map[string]compare.Samples, ok bool) {
	want = map[string]compare.Samples{contract.ServiceFrontend: {}, contract.ServiceRoller: {}}
	for _, one := range s.all {
		if !one.Rolled() && !one.FailedInBackend() || compare.AddRoll(want, one.Die, one.FailedInBackend()) != nil {
			return nil, false
		}
	}
	return want, true
}
