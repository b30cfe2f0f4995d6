package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/contract/golden"
	"dicelab/internal/query"
)

// tracing are the rows of Distributed Tracing.
func tracing() []check {
	return []check{
		{Row: Row{Name: "frontend-traces-searchable", Box: "Frontend traces in Tempo: Search by `service.name=\"streamlit-frontend\"`",
			Does: "TraceQL " + query.SpanFilter{Service: contract.ServiceFrontend}.TraceQL(), Expects: "the roll's trace"},
			needs: needTempo | aSuccess, run: searchable(contract.ServiceFrontend)},
		{Row: Row{Name: "backend-traces-searchable", Box: "Backend traces in Tempo: Search by `service.name=\"dice-roller\"`",
			Does: "TraceQL " + query.SpanFilter{Service: contract.ServiceRoller}.TraceQL(), Expects: "the roll's trace"},
			needs: needTempo | aSuccess, run: searchable(contract.ServiceRoller)},
		{Row: Row{Name: "two-service-trace", Box: "Traces show 2-service span: Frontend span contains backend child span",
			Does: "the roll's trace", Expects: "the dice roller's GET /roll below the front end's GET"},
			needs: needTempo | aSuccess, run: twoServices},
		{Row: Row{Name: "same-trace-id", Box: "Same trace_id across services: Verify in trace waterfall view",
			Does: "the roll's trace", Expects: "spans of both services under the ID that the answer named"},
			needs: needTempo | aSuccess, run: sameTraceID},
		{Row: Row{Name: "timing", Box: "Trace timing makes sense: Backend span is subset of frontend span duration",
			Does: "the roll's trace", Expects: "the dice roller's span begins and ends within the front end's"},
			needs: needTempo | aSuccess, run: timing},
		{Row: Row{Name: "span-tree", Does: "the roll's trace",
			Expects: "exactly the spans of a roll, with parents, kinds, statuses and attributes as docs/telemetry.md has them"},
			needs: needTempo | aSuccess, run: spanTree(golden.Success)},
		{Row: Row{Name: "failed-span-tree", Does: "a failed roll's trace", Expects: "the same of a failed roll, exceptions included"},
			needs: needTempo | aFailure, run: spanTree(golden.Failure)},
		{Row: Row{Name: "span-names-bounded", Does: "TraceQL for spans of both services with any other name than the contract's",
			Expects: "none, for as long as it takes to see the roll's trace"},
			needs: needTempo | aSuccess, run: spanNames},
		{Row: Row{Name: "spans-delivered", Does: "GET /metrics of both services",
			Expects: contract.MetricSpansDropped + " has not moved since before the rolls"},
			needs: needRolls, run: spansDelivered},
	}
}

func searchable(service string) func(context.Context, *probe) finding {
	return func(ctx context.Context, p *probe) finding {
		t, f := p.traceOf(ctx, p.rolls.success)
		if f == nil && !slices.Contains(t.Services(), service) {
			return p.oneSided(t)
		}
		return p.search(ctx, query.SpanFilter{Service: service}.TraceQL(), p.rolls.success.trace.TraceID)
	}
}

// search looks for a trace among those of this run. Hints of others do not hide
// it: the limit is well above what one run leaves.
func (p *probe) search(ctx context.Context, traceQL, id string) finding {
	if id == "" {
		return p.because(rowRoll, "the answer named no trace", "the header "+contract.HeaderTraceresponse+" is missing")
	}
	n, err := until(ctx, p, func(ctx context.Context) (int, error) {
		r, err := p.tempo().Search(ctx, query.Search{TraceQL: traceQL, Start: p.since(), End: p.till(), Limit: maxLines})
		if err != nil {
			return 0, err
		}
		for _, f := range r.Traces {
			if f.TraceID == id {
				return len(r.Traces), nil
			}
		}
		return 0, fmt.Errorf("%s is not among the %d traces that %s finds", id, len(r.Traces), traceQL)
	})
	if err != nil {
		return fail("%v", err)
	}
	return pass("%s is among %s", id, plural(n, "trace"))
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// both are the spans on the two sides of the call between the services.
func (p *probe) both(ctx context.Context) (t *query.Trace, client, server *query.Span, f *finding) {
	t, f = p.traceOf(ctx, p.rolls.success)
	if f != nil {
		return nil, nil, nil, f
	}
	client = spanOf(t, contract.ServiceFrontend, contract.SpanClient)
	server = spanOf(t, contract.ServiceRoller, contract.SpanRollerRoll)
	return t, client, server, nil
}

// oneSided is the finding of a check that compares the spans of both services
// where one has none.
func (p *probe) oneSided(t *query.Trace) finding {
	return p.because(rowBoth, "the trace has spans of "+strings.Join(t.Services(), " and ")+" only", "trace "+t.ID)
}

// twoSided tells whether both services have spans in a trace.
func twoSided(t *query.Trace) bool {
	for _, service := range contract.Services() {
		if !slices.Contains(t.Services(), service) {
			return false
		}
	}
	return true
}

// halved is the finding of a row that wants what is made from whole traces, where
// the roll's trace has one service only or has not come; nil where it has both.
// What the row asked last stays the command that shows its failure.
func (p *probe) halved(ctx context.Context) *finding {
	if _, down := p.down[needTempo]; down {
		return nil
	}
	t, f := (&probe{run: p.run}).traceOf(ctx, p.rolls.success)
	if f == nil && !twoSided(t) {
		one := p.oneSided(t)
		f = &one
	}
	return f
}

func twoServices(ctx context.Context, p *probe) finding {
	t, client, server, f := p.both(ctx)
	switch {
	case f != nil:
		return *f
	case client == nil || server == nil:
		return p.oneSided(t)
	case server.ParentID != client.SpanID:
		return fail("the parent of %s %q is %s, not the front end's %q %s (trace %s)", contract.ServiceRoller, server.Name, server.ParentID, client.Name, client.SpanID, t.ID)
	}
	return pass("%s %q %s is the child of %s %q %s", contract.ServiceRoller, server.Name, server.SpanID, contract.ServiceFrontend, client.Name, client.SpanID)
}

func sameTraceID(ctx context.Context, p *probe) finding {
	t, client, server, f := p.both(ctx)
	switch {
	case f != nil:
		return *f
	case client == nil || server == nil:
		return p.oneSided(t)
	}
	for i := range t.Spans {
		if t.Spans[i].TraceID != t.ID {
			return fail("span %q of %s has the trace ID %s, not %s", t.Spans[i].Name, t.Spans[i].Service, t.Spans[i].TraceID, t.ID)
		}
	}
	return pass("%d spans of %s under %s", len(t.Spans), strings.Join(t.Services(), " and "), t.ID)
}

func timing(ctx context.Context, p *probe) finding {
	t, client, server, f := p.both(ctx)
	switch {
	case f != nil:
		return *f
	case client == nil || server == nil:
		return p.oneSided(t)
	}
	early, late := client.Start.Sub(server.Start), server.End().Sub(client.End())
	if early > 0 || late > 0 {
		off := fmt.Sprintf("begins %s before it", early.Round(time.Millisecond))
		if late > early {
			off = fmt.Sprintf("ends %s after it", late.Round(time.Millisecond))
		}
		return fail("the dice roller's span is not within the front end's: it %s; do the clocks of the services agree? (trace %s)", off, t.ID)
	}
	return pass("%s within %s", ms(server.Duration), ms(client.Duration))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

func spanTree(scenario string) func(context.Context, *probe) finding {
	return func(ctx context.Context, p *probe) finding {
		want, err := golden.Load(scenario)
		if err != nil {
			return fail("%v", err)
		}
		of := p.rolls.success
		if scenario == golden.Failure {
			of = p.rolls.failure
		}
		t, f := p.traceOf(ctx, of)
		if f != nil {
			return *f
		}
		if t.Partial {
			return fail("Tempo says that the trace is not whole: %s", t.Message)
		}
		if !twoSided(t) {
			return p.oneSided(t)
		}
		if diffs := spanDiffs(want, t); len(diffs) > 0 {
			return fail("trace %s: %s", t.ID, listed(diffs))
		}
		var names []string
		for _, s := range want.Spans {
			names = append(names, s.Name)
		}
		return pass("%s in %s", strings.Join(names, " > "), t.ID)
	}
}

// spanNames asks for spans that should not be.
func spanNames(ctx context.Context, p *probe) finding {
	known := map[string][]string{
		contract.ServiceFrontend: {contract.SpanFrontendRoll, contract.SpanButtonClick, contract.SpanClient},
		contract.ServiceRoller:   {contract.SpanRollerRoot, contract.SpanRollerRoll, contract.SpanRoll},
	}
	if _, f := p.traceOf(ctx, p.rolls.success); f != nil {
		return *f
	}
	for _, service := range slices.Sorted(maps.Keys(known)) {
		conditions := []string{"resource.service.name=" + query.Quote(service)}
		for _, name := range known[service] {
			conditions = append(conditions, "name!="+query.Quote(name))
		}
		r, err := p.tempo().Search(ctx, query.Search{TraceQL: "{" + strings.Join(conditions, " && ") + "}", Start: p.since(), End: p.till()})
		if err != nil {
			return fail("%v", err)
		}
		if len(r.Traces) > 0 {
			return fail("%s has a span with a name that is not of the contract, in trace %s", service, r.Traces[0].TraceID)
		}
	}
	return pass("no other name than %d of %s and %d of %s", len(known[contract.ServiceFrontend]), contract.ServiceFrontend,
		len(known[contract.ServiceRoller]), contract.ServiceRoller)
}

// spansDelivered looks once the roll's trace has come, or is given up: until
// then services may be trying.
func spansDelivered(ctx context.Context, p *probe) finding {
	if p.rolls.countErr != nil {
		return fail("%v", p.rolls.countErr)
	}
	if _, down := p.down[needTempo]; !down && p.rolls.success != nil {
		if _, err := p.trace(ctx, p.rolls.success.trace.TraceID, spansOfRoll); err != nil && !errors.Is(err, query.ErrNotFound) {
			return fail("%v", err)
		}
	}
	var dropped []string
	for _, service := range contract.Services() {
		families, err := p.metricsOf(ctx, p.services()[service])
		if err != nil {
			return fail("%v", err)
		}
		for sample, value := range samplesOf(families) {
			if labels, ok := strings.CutPrefix(sample, contract.MetricSpansDropped); ok && value > p.rolls.before[service][sample] {
				dropped = append(dropped, fmt.Sprintf("%s dropped %v spans %s", service, value-p.rolls.before[service][sample], labels))
			}
		}
	}
	if len(dropped) > 0 {
		return fail("%s: does the OTLP endpoint that it sends to answer?", strings.Join(dropped, "; "))
	}
	return pass("no span was dropped")
}
