package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// traffic are the rows of Traffic Generation.
func traffic() []check {
	return []check{
		{Row: Row{Name: "traffic-dependencies", Box: "Traffic script installs dependencies",
			Does: "nothing", Expects: "nothing: the generator is part of the program"},
			run: func(context.Context, *probe) finding {
				return notApplicable("nothing to install: the generator is part of this program")
			}},
		{Row: Row{Name: rowTraffic, Box: "Script runs successfully: `python generate_traffic.py`",
			Does: "dicelab traffic, for a few rolls", Expects: "it ends well, and says which traces it made"},
			needs: needRolls, run: trafficRuns},
		{Row: Row{Name: "traffic-propagates", Box: "Script simulates frontend with trace propagation",
			Does: "the trace of a simulated roll", Expects: "the generator's spans above the front end's, and the dice roller's below them"},
			needs: needTempo | aSuccess, run: trafficPropagates},
		{Row: Row{Name: "traffic-logs", Box: "Script logs show user activity and trace context",
			Does: "the generator's log", Expects: "a line for each roll, with user_id, trace_id and span_id"},
			needs: needRolls, run: trafficLogs},
		{Row: Row{Name: "traffic-searchable", Box: "Traces from script appear in Tempo with service name `traffic-generator`",
			Does: "TraceQL " + query.SpanFilter{Service: contract.ServiceTraffic}.TraceQL(), Expects: "the trace of a simulated roll"},
			needs: needTempo | aSuccess, run: trafficSearchable},
	}
}

// simulated runs the generator, once.
func (p *probe) simulated(ctx context.Context) (Traffic, error) {
	return p.seen.traffic.get(ctx, p, func(ctx context.Context, p *probe) (Traffic, error) {
		t, err := p.Traffic(ctx)
		if err == nil && len(t.TraceIDs) == 0 {
			err = fmt.Errorf("the generator made no roll")
		}
		return t, err
	})
}

// ofTraffic is the finding of a row that has nothing to look at.
func (p *probe) ofTraffic(ctx context.Context) (Traffic, *finding) {
	if p.Traffic == nil {
		f := notApplicable("there is no traffic generator to run here; dicelab verify has one")
		return Traffic{}, &f
	}
	t, err := p.simulated(ctx)
	if err != nil {
		f := p.because(rowTraffic, "the traffic generator did not run well", err.Error())
		f.command = t.Command
		return t, &f
	}
	return t, nil
}

func trafficRuns(ctx context.Context, p *probe) finding {
	if p.Traffic == nil {
		_, f := p.ofTraffic(ctx)
		return *f
	}
	t, err := p.simulated(ctx)
	f := pass("%s, the first in trace %s", plural(len(t.TraceIDs), "roll"), append(t.TraceIDs, "")[0])
	switch {
	case err != nil:
		f = fail("%v", err)
	case t.Dropped > 0:
		f = fail("it could not deliver %s: say where OTLP is taken with OTEL_EXPORTER_OTLP_ENDPOINT", plural(t.Dropped, "span"))
	}
	f.command = t.Command
	return f
}

// undelivered is the finding of a row that wants spans which the generator could
// not deliver.
func (p *probe) undelivered(t Traffic) finding {
	return p.because(rowTraffic, "the generator could not deliver its spans", plural(t.Dropped, "span")+" dropped")
}

func trafficPropagates(ctx context.Context, p *probe) finding {
	run, f := p.ofTraffic(ctx)
	if f != nil {
		return *f
	}
	if run.Dropped > 0 {
		return p.undelivered(run)
	}
	t, err := p.trace(ctx, run.TraceIDs[0], spansOfSimulated)
	if err != nil {
		return fail("the trace %s of a simulated roll has not arrived: %s", run.TraceIDs[0], missing(err))
	}
	parent := map[string]*query.Span{} // by span ID
	for i := range t.Spans {
		parent[t.Spans[i].SpanID] = &t.Spans[i]
	}
	root := spanOf(t, contract.ServiceTraffic, contract.SpanSimulated)
	server := spanOf(t, contract.ServiceRoller, contract.SpanRollerRoll)
	switch {
	case root == nil:
		return fail("trace %s has no span of %s: does what OTEL_EXPORTER_OTLP_ENDPOINT names send to this Tempo?", t.ID, contract.ServiceTraffic)
	case !twoSided(t):
		return p.oneSided(t)
	case server == nil:
		return fail("trace %s has no span %q of %s", t.ID, contract.SpanRollerRoll, contract.ServiceRoller)
	}
	var path []string
	for s, steps := server, 0; s != nil && steps < len(t.Spans); s, steps = parent[s.ParentID], steps+1 {
		path = append([]string{s.Service}, path...)
		if s == root {
			return pass("%s in %s", strings.Join(slices.Compact(path), " > "), t.ID)
		}
	}
	return fail("the dice roller's span is not below the generator's in trace %s", t.ID)
}

func trafficLogs(ctx context.Context, p *probe) finding {
	run, f := p.ofTraffic(ctx)
	if f != nil {
		return *f
	}
	lines := map[string]string{} // by trace ID
	for text := range strings.Lines(run.Log) {
		var l struct {
			Trace string `json:"trace_id"`
			Span  string `json:"span_id"`
			User  string `json:"user_id"`
		}
		if json.Unmarshal([]byte(text), &l) == nil && l.User != "" && l.Span != "" {
			lines[l.Trace] = l.User
		}
	}
	for _, id := range run.TraceIDs {
		if lines[id] == "" {
			missing := fail("no line of the generator's log has the trace_id %s, a span_id and a user_id", id)
			missing.command = run.Command
			return missing
		}
	}
	found := pass("%s, the first by %s in trace %s", plural(len(run.TraceIDs), "line"), lines[run.TraceIDs[0]], run.TraceIDs[0])
	found.command = run.Command
	return found
}

func trafficSearchable(ctx context.Context, p *probe) finding {
	run, f := p.ofTraffic(ctx)
	switch {
	case f != nil:
		return *f
	case run.Dropped > 0:
		return p.undelivered(run)
	}
	return p.search(ctx, query.SpanFilter{Service: contract.ServiceTraffic}.TraceQL(), run.TraceIDs[0])
}
