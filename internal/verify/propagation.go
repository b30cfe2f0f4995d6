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
	"dicelab/internal/traceparent"
	"dicelab/internal/verify/frontpage"
	"dicelab/internal/wait"
)

func rollViaUI(_ context.Context, p *Probe) (string, error) {
	one, err := p.rolls.succeeded()
	if err != nil {
		p.Add(p.rolls.all[len(p.rolls.all)-1].Asked...)
		return "", fmt.Errorf("%w: %s", err, p.rolls.summary())
	}
	p.Add(one.Asked...)
	switch {
	case one.Status != http.StatusOK:
		return "", fmt.Errorf("the page shows a %s, but its status is %d", one.Page.Value, one.Status)
	case one.Trace.TraceID == "":
		return "", errNoTraceID
	}
	p.page = tracePage(one.Trace.TraceID)
	return fmt.Sprintf("rolled %s in trace %s", one.Page.Value, one.Trace.TraceID), nil
}

func traceFound(_ context.Context, _ *Probe, t *query.Trace) (string, error) {
	return fmt.Sprintf("%s, %s", t.ID, plural(len(t.Spans), "span")), nil
}

func spansFromBoth(ctx context.Context, p *Probe, t *query.Trace) (string, error) {
	count := map[string]int{}
	for _, s := range t.Spans {
		count[s.Service]++
	}
	var parts []string
	for _, service := range contract.Services() {
		if count[service] > 0 {
			parts = append(parts, fmt.Sprintf("%d of %s", count[service], service))
			continue
		}
		elsewhere, err := p.elsewhere(ctx, service)
		why := "Tempo has no trace that begins in it: its spans are not exported, or do not arrive"
		if len(elsewhere) > 0 {
			why = "its spans are in traces of their own, such as " + elsewhere[0] + ", so the context does not reach it"
		}
		return "", errors.Join(fmt.Errorf("trace %s has no span of %s: %s", t.ID, service, why), err)
	}
	return fmt.Sprintf("%s in %s", strings.Join(parts, ", "), t.ID), nil
}

func parentChild(t *query.Trace, _, _ *query.Span) (string, error) {
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
		return "", fmt.Errorf("the parent %s of %s %q is not in trace %s", orphan.ParentID, orphan.Service, orphan.Name, t.ID)
	case len(tree.Roots) != 1:
		return "", fmt.Errorf("trace %s has %d roots", t.ID, len(tree.Roots))
	}
	root := tree.Roots[0]
	return fmt.Sprintf("%d spans, %d levels, one root: %s %q", tree.Spans, depth+1, root.Service, root.Name), nil
}

func traceparentPropagated(ctx context.Context, p *Probe) (string, error) {
	o, err := p.rolls.succeeded()
	if err != nil {
		return "", err
	}
	if o.Page.Sent == "" {
		return "", errors.New("the front end's page shows that it sent no traceparent to the dice roller")
	}
	return onCall(func(t *query.Trace, client, server *query.Span) (string, error) {
		want := traceparent.Header{Version: "00", TraceID: t.ID, ParentID: client.SpanID, Flags: "01"}.String()
		if got := first(server.Attributes.Get(contract.AttrTraceparent)); got != want || o.Page.Sent != want {
			return "", fmt.Errorf("the span has %q, the page shows %q; want %q (trace %s)", got, o.Page.Sent, want, t.ID)
		}
		return want, nil
	})(ctx, p)
}

// first is the first value of a header's attribute, which is a list.
func first(v any) string {
	if list, ok := v.([]any); ok && len(list) > 0 {
		v = list[0]
	}
	return query.FormatValue(v)
}

// continues returns the context that went with a roll, if the answer names its trace.
func continues(o *frontpage.Roll) (traceparent.Header, error) {
	if o.Err != nil {
		return traceparent.Header{}, o.Err
	}
	sent, err := traceparent.Parse(o.Sent.Get(contract.HeaderTraceparent))
	if err == nil && o.Trace.TraceID != sent.TraceID {
		err = fmt.Errorf("sent trace %s, but the answer names %q: the front end does not take the caller's context",
			sent.TraceID, o.Trace.TraceID)
	}
	return sent, err
}

// rootOf reads the trace of a roll and returns the front end's first span.
func (p *Probe) rootOf(ctx context.Context, o *frontpage.Roll) (*query.Trace, *query.Span, error) {
	t, err := p.traceOf(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	root, err := spanOf(t, contract.ServiceFrontend, contract.SpanFrontendRoll)
	return t, root, err
}

func callerContinued(ctx context.Context, p *Probe) (string, error) {
	one := p.rolls.continued
	p.Add(one.Asked...)
	sent, err := continues(one)
	if err != nil {
		return "", err
	}
	t, root, err := p.rootOf(ctx, one)
	if err == nil && root.ParentID != sent.ParentID {
		err = fmt.Errorf("the parent of the front end's span %q in trace %s is %q, not the caller's %s",
			root.Name, t.ID, root.ParentID, sent.ParentID)
	}
	return one.Trace.TraceID + ", parent " + sent.ParentID, err
}

func malformedStartsAnew(ctx context.Context, p *Probe) (string, error) {
	one := p.rolls.malformed
	p.Add(one.Asked...)
	if one.Err != nil {
		return "", one.Err
	}
	t, root, err := p.rootOf(ctx, one)
	sent := one.Sent.Get(contract.HeaderTraceparent)
	switch {
	case err == nil && strings.Contains(sent, strings.TrimLeft(t.ID, "0")):
		err = fmt.Errorf("sent %q, and the trace %s continues it", sent, t.ID)
	case err == nil && root.ParentID != "":
		err = fmt.Errorf("sent %q, and the new trace %s has a parent %s", sent, t.ID, root.ParentID)
	}
	return one.Trace.TraceID + ", without a parent", err
}

// arrives makes a check that looks on the dice roller's span for what was sent to the
// front end.
func arrives(sent string, on func(*query.Span) string) Func {
	return func(ctx context.Context, p *Probe) (string, error) {
		p.Add(p.rolls.continued.Asked...)
		t, err := p.traceOf(ctx, p.rolls.continued)
		if err != nil {
			return "", err
		}
		server, err := spanOf(t, contract.ServiceRoller, contract.SpanRollerRoll)
		if err != nil {
			return "", err
		}
		if got := on(server); got != sent {
			return "", fmt.Errorf("sent %q to the front end; the dice roller's span has %q (trace %s)", sent, got, t.ID)
		}
		return fmt.Sprintf("%s on span %s", sent, server.SpanID), nil
	}
}

// absence is the time in which what must not come would come, once what was sent
// with it has come.
const absence = 2 * time.Second

func unsampledRespected(ctx context.Context, p *Probe) (string, error) {
	one := p.rolls.unsampled
	p.Add(one.Asked...)
	sent, err := continues(one)
	switch {
	case err != nil:
		return "", err
	case one.Trace.Sampled:
		return "", fmt.Errorf("sent flags 00, but the answer has %s", one.Trace.Flags)
	case one.Page.Link != "":
		return "", fmt.Errorf("the page links to a trace that is not recorded: %s", one.Page.Link)
	}
	if _, err := p.traceOf(ctx, p.rolls.fair); err != nil {
		return "", err
	}
	err = wait.Never(ctx, absence, func(context.Context) error {
		p.Truncate(len(one.Asked))
		t, err := p.tempo().Trace(ctx, sent.TraceID)
		switch {
		case errors.Is(err, query.ErrNotFound):
			return nil
		case err != nil:
			return err
		}
		return fmt.Errorf("trace %s was not to be recorded, but Tempo has %s of it", t.ID, plural(len(t.Spans), "span"))
	})
	return fmt.Sprintf("no trace %s within %s", sent.TraceID, absence), err
}
