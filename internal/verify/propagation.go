package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

const rowFound = "trace-found"

// propagation are the rows of Trace Context Propagation.
func propagation() []check {
	return []check{
		{Row: Row{Name: rowRoll, Box: "Make a roll via frontend UI",
			Does: "POST /roll of the front end, as its form sends it", Expects: "a page with the value, and a trace ID in the header " + contract.HeaderTraceresponse},
			needs: needRolls, run: rollViaUI},
		{Row: Row{Name: rowFound, Box: "Find the trace in Tempo (copy trace ID from UI or search)",
			Does: "GET /api/v2/traces/ID of Tempo, with the ID that the page shows", Expects: "the trace"},
			needs: needTempo | aSuccess, run: traceFound},
		{Row: Row{Name: rowBoth, Box: "Verify trace has spans from BOTH services",
			Does: "the roll's trace", Expects: "spans of " + strings.Join(contract.Services(), " and ")},
			needs: needTempo | aSuccess, run: spansFromBoth},
		{Row: Row{Name: "parent-child", Box: "Check span parent-child relationship in waterfall",
			Does: "the roll's trace", Expects: "one root; every other span's parent is in the trace"},
			needs: needTempo | aSuccess, run: parentChild},
		{Row: Row{Name: "traceparent-propagated", Box: "Verify traceparent header was propagated (check span attributes)",
			Does: "the attribute " + contract.AttrTraceparent + " of the dice roller's span", Expects: "the header that the page shows as sent: the trace's ID and the front end's GET span"},
			needs: needTempo | aSuccess, run: traceparentPropagated},
		{Row: Row{Name: "caller-continued", Does: "a roll with a traceparent of the caller's, whose trace ID begins with 00",
			Expects: "the same trace ID in answer and trace, and the caller's span as parent of the front end's"},
			needs: needTempo | aSuccess, run: callerContinued},
		{Row: Row{Name: "malformed-starts-anew", Does: "a roll with a traceparent whose trace ID has 31 digits",
			Expects: "a new trace, without a parent"},
			needs: needTempo | aSuccess, run: malformedStartsAnew},
		{Row: Row{Name: "tracestate-arrives", Does: "a roll with the tracestate " + sentState, Expects: "it stands on the dice roller's span"},
			needs: needTempo | aSuccess, run: tracestateArrives},
		{Row: Row{Name: "baggage-arrives", Does: "a roll with the baggage " + sentBaggage, Expects: "it stands on the dice roller's span, as " + contract.AttrBaggage},
			needs: needTempo | aSuccess, run: baggageArrives},
		{Row: Row{Name: "unsampled-respected", Does: "a roll with a traceparent whose flags are 00",
			Expects: "an answer with flags 00 and no link; no trace of it in Tempo while " + absence.String() + " pass after those of the other rolls have come"},
			needs: needTempo | aSuccess, run: unsampledRespected},
	}
}

func rollViaUI(_ context.Context, p *probe) finding {
	s := &p.rolls
	one := s.success
	if one == nil {
		one = s.all[len(s.all)-1]
	}
	p.keep(one)
	switch {
	case s.success == nil:
		return fail("no roll brought a value: %s", s.told())
	case one.status != http.StatusOK:
		return fail("the page shows a %s, but its status is %d", one.page.value, one.status)
	case one.trace.TraceID == "":
		return fail("the answer has no valid header %s", contract.HeaderTraceresponse)
	}
	return pass("rolled %s in trace %s", one.page.value, one.trace.TraceID)
}

// keep adds a roll's request to what a check asked.
func (p *probe) keep(o *roll) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, o.asked...)
}

func traceFound(ctx context.Context, p *probe) finding {
	id := p.rolls.success.trace.TraceID
	if id == "" {
		return p.because(rowRoll, "the answer named no trace", "the header "+contract.HeaderTraceresponse+" is missing")
	}
	t, err := p.trace(ctx, id, spansOfRoll)
	if errors.Is(err, query.ErrNotFound) {
		return fail("Tempo has no trace %s: do the services send their spans to it?", id)
	}
	if err != nil {
		return fail("%v", err)
	}
	return pass("%s, %s", t.ID, plural(len(t.Spans), "span"))
}

func spansFromBoth(ctx context.Context, p *probe) finding {
	t, f := p.traceOf(ctx, p.rolls.success)
	if f != nil {
		return *f
	}
	count := map[string]int{}
	for i := range t.Spans {
		count[t.Spans[i].Service]++
	}
	var parts []string
	for _, service := range contract.Services() {
		if count[service] == 0 {
			return fail("trace %s has no span of %s: %s", t.ID, service, p.absent(ctx, service))
		}
		parts = append(parts, fmt.Sprintf("%d of %s", count[service], service))
	}
	return pass("%s in %s", strings.Join(parts, ", "), t.ID)
}

// absent tells why a service has no span in a roll's trace, as far as Tempo knows:
// its spans are elsewhere, or nowhere.
func (p *probe) absent(ctx context.Context, service string) string {
	own := p.rolls.ids()
	r, err := p.tempo().Search(ctx, query.Search{TraceQL: query.SpanFilter{Service: service}.TraceQL(), Start: p.since(), End: p.till(), Limit: maxLines})
	if err != nil {
		return err.Error()
	}
	for _, f := range r.Traces {
		if own[f.TraceID] == nil {
			return "its spans are in traces of their own, such as " + f.TraceID + ", so the context does not reach it"
		}
	}
	return "Tempo has none of it at all, so it does not export its spans, or they do not arrive"
}

func parentChild(ctx context.Context, p *probe) finding {
	t, f := p.traceOf(ctx, p.rolls.success)
	if f != nil {
		return *f
	}
	if !twoSided(t) {
		return p.oneSided(t)
	}
	tree := t.Tree()
	var depth int
	var orphan *query.Node
	tree.Walk(func(n *query.Node) bool {
		depth = max(depth, n.Depth)
		if n.Orphan {
			orphan = n
		}
		return true
	})
	switch {
	case orphan != nil:
		return fail("the parent %s of %s %q is not in trace %s", orphan.ParentID, orphan.Service, orphan.Name, t.ID)
	case len(tree.Roots) != 1:
		return fail("trace %s has %d roots", t.ID, len(tree.Roots))
	}
	return pass("%d spans, %d levels, one root: %s %q", tree.Spans, depth+1, tree.Roots[0].Service, tree.Roots[0].Name)
}

func traceparentPropagated(ctx context.Context, p *probe) finding {
	t, client, server, f := p.both(ctx)
	switch {
	case f != nil:
		return *f
	case p.rolls.success.page.sent == "":
		return fail("the front end says that it sent no traceparent to the dice roller")
	case client == nil || server == nil:
		return p.oneSided(t)
	}
	want := query.Traceparent{Version: "00", TraceID: t.ID, ParentID: client.SpanID, Flags: "01"}.String()
	got := first(server.Attributes.Get(contract.AttrTraceparent))
	if got != want || p.rolls.success.page.sent != want {
		return fail("the span says %q, the page %q; want %q (trace %s)", got, p.rolls.success.page.sent, want, t.ID)
	}
	return pass("%s", got)
}

// first is the first value of a header's attribute, which is a list.
func first(v any) string {
	if list, ok := v.([]any); ok && len(list) > 0 {
		v = list[0]
	}
	return query.FormatValue(v)
}

func callerContinued(ctx context.Context, p *probe) finding {
	one := p.rolls.continued
	p.keep(one)
	sent, err := query.ParseTraceparent(one.sent.Get(contract.HeaderTraceparent))
	switch {
	case err != nil:
		return fail("%v", err)
	case one.err != nil:
		return fail("%v", one.err)
	case one.trace.TraceID != sent.TraceID:
		return fail("sent trace %s, the answer names %q: the caller's context was not taken", sent.TraceID, one.trace.TraceID)
	}
	t, f := p.traceOf(ctx, one)
	if f != nil {
		return *f
	}
	root := spanOf(t, contract.ServiceFrontend, contract.SpanFrontendRoll)
	if root == nil && !twoSided(t) {
		return p.oneSided(t)
	}
	if root == nil || root.ParentID != sent.ParentID {
		return fail("trace %s has no span %q of the front end whose parent is the caller's %s", t.ID, contract.SpanFrontendRoll, sent.ParentID)
	}
	return pass("%s, parent %s", t.ID, root.ParentID)
}

func malformedStartsAnew(ctx context.Context, p *probe) finding {
	one := p.rolls.malformed
	p.keep(one)
	sent := one.sent.Get(contract.HeaderTraceparent)
	if one.err != nil {
		return fail("%v", one.err)
	}
	t, f := p.traceOf(ctx, one)
	if f != nil {
		return *f
	}
	root := spanOf(t, contract.ServiceFrontend, contract.SpanFrontendRoll)
	switch {
	case strings.Contains(sent, strings.TrimLeft(t.ID, "0")):
		return fail("sent %q, and the trace %s goes on with it", sent, t.ID)
	case root == nil && !twoSided(t):
		return p.oneSided(t)
	case root == nil:
		return fail("trace %s has no span %q of the front end", t.ID, contract.SpanFrontendRoll)
	case root.ParentID != "":
		return fail("sent %q, and the new trace %s has a parent %s", sent, t.ID, root.ParentID)
	}
	return pass("%s, without a parent", t.ID)
}

func tracestateArrives(ctx context.Context, p *probe) finding {
	return p.arrives(ctx, "tracestate", sentState, func(s *query.Span) string { return s.TraceState })
}

func baggageArrives(ctx context.Context, p *probe) finding {
	return p.arrives(ctx, "baggage", sentBaggage, func(s *query.Span) string { return first(s.Attributes.Get(contract.AttrBaggage)) })
}

// arrives looks on the dice roller's span for what was sent to the front end.
func (p *probe) arrives(ctx context.Context, what, sent string, on func(*query.Span) string) finding {
	p.keep(p.rolls.continued)
	t, f := p.traceOf(ctx, p.rolls.continued)
	if f != nil {
		return *f
	}
	server := spanOf(t, contract.ServiceRoller, contract.SpanRollerRoll)
	if server == nil {
		return p.oneSided(t)
	}
	if got := on(server); got != sent {
		return fail("sent the %s %q to the front end; the dice roller's span has %q (trace %s)", what, sent, got, t.ID)
	}
	return pass("%s on span %s", sent, server.SpanID)
}

// absence is how long it is looked for what must not come, once what was sent
// with it has come.
const absence = 2 * time.Second

func unsampledRespected(ctx context.Context, p *probe) finding {
	one := p.rolls.unsampled
	p.keep(one)
	sent, err := query.ParseTraceparent(one.sent.Get(contract.HeaderTraceparent))
	switch {
	case err != nil:
		return fail("%v", err)
	case one.err != nil:
		return fail("%v", one.err)
	case one.trace.TraceID != sent.TraceID:
		return fail("sent trace %s, the answer names %q: the caller's context was not taken", sent.TraceID, one.trace.TraceID)
	case one.trace.Sampled:
		return fail("sent flags 00, the answer says %s", one.trace.Flags)
	case one.page.link != "":
		return fail("the page links to a trace that is not recorded: %s", one.page.link)
	}
	if _, f := p.traceOf(ctx, p.rolls.fair); f != nil {
		return *f
	}
	err = while(ctx, p, absence, func(ctx context.Context) error {
		t, err := p.tempo().Trace(ctx, sent.TraceID)
		switch {
		case errors.Is(err, query.ErrNotFound):
			return nil
		case err != nil:
			return err
		}
		return fmt.Errorf("trace %s was not to be recorded, but Tempo has %s of it", t.ID, plural(len(t.Spans), "span"))
	})
	if err != nil {
		return fail("%v", err)
	}
	return pass("no trace %s in %s", sent.TraceID, absence)
}
