package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

func trafficDependencies(context.Context, *Probe) (string, error) {
	return "", skip("nothing to install: the generator is part of this program")
}

// simulation is the result of the traffic generator.
type simulation struct {
	Traffic
	ended time.Time
	err   error
}

// onTraffic makes a check of the one run of the traffic generator.
func onTraffic(look func(context.Context, *Probe, simulation) (string, error)) Func {
	return func(ctx context.Context, p *Probe) (string, error) {
		if p.Traffic == nil {
			return "", skip("there is no traffic generator to run here; dicelab verify has one")
		}
		s, err := p.simulated.get(p, struct{}{}, func(p *Probe) (simulation, error) {
			t, err := p.Traffic(ctx)
			if err == nil && len(t.TraceIDs) == 0 {
				err = errors.New("the generator made no roll")
			}
			return simulation{t, time.Now(), err}, nil // it is not run again
		})
		p.command = s.Command
		if err = errors.Join(err, s.err); err != nil {
			return "", err
		}
		return look(ctx, p, s)
	}
}

func trafficRuns(_ context.Context, p *Probe, s simulation) (string, error) {
	if s.Dropped > 0 {
		return "", fmt.Errorf("it could not deliver %s: name the address that takes OTLP with OTEL_EXPORTER_OTLP_ENDPOINT",
			plural(s.Dropped, "span"))
	}
	p.page = tracePage(s.TraceIDs[0])
	return fmt.Sprintf("%s, the first in trace %s", plural(len(s.TraceIDs), "roll"), s.TraceIDs[0]), nil
}

func trafficPropagates(ctx context.Context, p *Probe, s simulation) (string, error) {
	p.command = ""
	t, err := p.trace(ctx, s.TraceIDs[0], spansOfSimulated, s.ended)
	if err != nil {
		return "", err
	}
	root, err := spanOf(t, contract.ServiceTraffic, contract.SpanSimulated)
	if err != nil {
		return "", fmt.Errorf("%w: does OTEL_EXPORTER_OTLP_ENDPOINT name this lab?", err)
	}
	server, err := spanOf(t, contract.ServiceRoller, contract.SpanRollerRoll)
	if err != nil {
		return "", err
	}
	parent := map[string]*query.Span{} // by span ID
	for i := range t.Spans {
		parent[t.Spans[i].SpanID] = &t.Spans[i]
	}
	var path []string
	for s, steps := server, 0; s != nil && steps < len(t.Spans); s, steps = parent[s.ParentID], steps+1 {
		path = append([]string{s.Service}, path...)
		if s == root {
			return fmt.Sprintf("%s in %s", strings.Join(slices.Compact(path), " > "), t.ID), nil
		}
	}
	return "", fmt.Errorf("the dice roller's span is not below the generator's in trace %s", t.ID)
}

func trafficLogs(_ context.Context, _ *Probe, s simulation) (string, error) {
	users := map[string]string{} // by trace ID
	for text := range strings.Lines(s.Log) {
		var l struct {
			Trace string `json:"trace_id"`
			Span  string `json:"span_id"`
			User  string `json:"user_id"`
		}
		if json.Unmarshal([]byte(text), &l) == nil && l.User != "" && l.Span != "" {
			users[l.Trace] = l.User
		}
	}
	for _, id := range s.TraceIDs {
		if users[id] == "" {
			return "", fmt.Errorf("no line of the generator's log has the trace_id %s, a span_id and a user_id", id)
		}
	}
	first := s.TraceIDs[0]
	return fmt.Sprintf("%s, the first by %s in trace %s", plural(len(s.TraceIDs), "line"), users[first], first), nil
}

func trafficSearchable(ctx context.Context, p *Probe, s simulation) (string, error) {
	p.command = ""
	return p.search(ctx, contract.ServiceTraffic, s.TraceIDs[0])
}
