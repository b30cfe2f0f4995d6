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
	"dicelab/internal/verify/compare"
	"dicelab/internal/wait"
)

func searchable(service string) Func {
	return func(ctx context.Context, p *Probe) (string, error) {
		o, err := p.rolls.succeeded()
		if err != nil {
			return "", err
		}
		return p.search(ctx, service, o.Trace.TraceID)
	}
}

// search looks for a trace among those of a service and of this run. Traces of others
// do not hide it: the limit is well above what one run leaves.
func (p *Probe) search(ctx context.Context, service, id string) (evidence string, err error) {
	traceQL := query.SpanFilter{Service: service}.TraceQL()
	p.page = tracesPage(traceQL)
	err = p.until(ctx, func() error {
		found, err := p.searchTraces(ctx, traceQL)
		if err == nil && !slices.ContainsFunc(found, func(f query.Found) bool { return f.TraceID == id }) {
			err = fmt.Errorf("%s is not among the %d traces that %s finds", id, len(found), traceQL)
		}
		evidence = fmt.Sprintf("%s is among %s", id, plural(len(found), "trace"))
		return err
	})
	return evidence, err
}

func twoServices(t *query.Trace, client, server *query.Span) (string, error) {
	if server.ParentID != client.SpanID {
		return "", fmt.Errorf("the parent of %s %q is %s, not the front end's %q %s (trace %s)",
			server.Service, server.Name, server.ParentID, client.Name, client.SpanID, t.ID)
	}
	return fmt.Sprintf("%s %q %s is the child of %s %q %s",
		server.Service, server.Name, server.SpanID, client.Service, client.Name, client.SpanID), nil
}

// sameTraceID has both sides of the call: a span with another ID is not in the trace.
func sameTraceID(t *query.Trace, _, _ *query.Span) (string, error) {
	return fmt.Sprintf("%d spans of %s with %s", len(t.Spans), strings.Join(t.Services(), " and "), t.ID), nil
}

// timing compares the clocks of the services: a child may outlive a caller that has
// given up, but not one that got its answer.
func timing(t *query.Trace, client, server *query.Span) (string, error) {
	early, late := client.Start.Sub(server.Start), server.End().Sub(client.End())
	if early <= 0 && late <= 0 {
		return fmt.Sprintf("%s within %s", ms(server.Duration), ms(client.Duration)), nil
	}
	ahead, behind := client.Service, server.Service
	position := fmt.Sprintf("begins %s before its caller's span %s", early.Round(time.Microsecond), client.Name)
	if late > early {
		ahead, behind = behind, ahead
		position = fmt.Sprintf("ends %s after its caller's span %s", late.Round(time.Microsecond), client.Name)
		if gap := server.Start.Sub(client.End()); gap > 0 {
			position = fmt.Sprintf("begins %s after its caller's span %s has ended", gap.Round(time.Millisecond), client.Name)
		}
	}
	return "", fmt.Errorf("%s's span %s %s: the clock of %s is ahead of the clock of %s (trace %s)",
		server.Service, server.Name, position, ahead, behind, t.ID)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

// spanTree compares a trace with what a scenario leaves behind.
func spanTree(scenario string) onTraceFunc {
	return func(_ context.Context, _ *Probe, t *query.Trace) (string, error) {
		want, err := golden.Load(scenario)
		if err != nil {
			return "", err
		}
		if t.Partial {
			return "", fmt.Errorf("trace %s is incomplete, as Tempo reports: %s", t.ID, t.Message)
		}
		if diffs := compare.Spans(want, t); len(diffs) > 0 {
			return "", fmt.Errorf("trace %s: %s", t.ID, compare.List(diffs))
		}
		var names []string
		for _, s := range want.Spans {
			names = append(names, s.Name)
		}
		return fmt.Sprintf("%s in %s", strings.Join(names, " > "), t.ID), nil
	}
}

// spanNames asks for spans that should not be.
func spanNames(ctx context.Context, p *Probe) (string, error) {
	known := map[string][]string{
		contract.ServiceFrontend: {contract.SpanFrontendRoll, contract.SpanButtonClick, contract.SpanClient},
		contract.ServiceRoller:   {contract.SpanRollerRoot, contract.SpanRollerRoll, contract.SpanRoll},
	}
	var evidence []string
	for _, service := range slices.Sorted(maps.Keys(known)) {
		conditions := []string{"resource.service.name=" + query.Quote(service)}
		for _, name := range known[service] {
			conditions = append(conditions, "name!="+query.Quote(name))
		}
		traceQL := "{" + strings.Join(conditions, " && ") + "}"
		found, err := p.searchTraces(ctx, traceQL)
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			p.page = tracesPage(traceQL)
			return "", fmt.Errorf("%s has a span with a name that docs/telemetry.md does not list, in trace %s",
				service, found[0].TraceID)
		}
		evidence = append(evidence, service+" has only spans named "+strings.Join(known[service], ", "))
	}
	return strings.Join(evidence, "; "), nil
}

// spansDelivered looks until the roll's trace has come: until then services may
// be trying.
func spansDelivered(ctx context.Context, p *Probe) (string, error) {
	o, err := p.rolls.succeeded()
	if err = errors.Join(p.rolls.countErr, err); err != nil {
		return "", err
	}
	err = p.until(ctx, func() error {
		_, arriving := p.tempo().Trace(ctx, o.Trace.TraceID)
		now, err := p.counts(ctx)
		if err != nil {
			return err
		}
		var dropped []string
		for _, service := range contract.Services() {
			for sample, value := range now[service] {
				by := value - p.rolls.before[service][sample]
				if labels, ok := strings.CutPrefix(sample, contract.MetricSpansDropped); ok && by > 0 {
					dropped = append(dropped, fmt.Sprintf("%s dropped %v spans %s", service, by, labels))
				}
			}
		}
		if len(dropped) > 0 {
			return wait.Final(fmt.Errorf("%s: does the OTLP endpoint that it sends to answer?", strings.Join(dropped, "; ")))
		}
		return arriving
	})
	if errors.Is(err, query.ErrNotFound) {
		err = nil // it was not dropped: another check looks for it
	}
	return "neither service dropped a span", err
}
