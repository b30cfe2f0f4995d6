package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// links are the rows about the links that Grafana's data sources define: each is
// applied to what a person would click, and what it leads to is asked for. The
// trace is the one whose ID begins with zeros.
func links() []check {
	return []check{
		{Row: Row{Name: "link-trace-to-logs", Does: "tracesToLogsV2 of the Tempo data source, applied to a span of each service",
			Expects: "lines of that service and trace"},
			needs: needLoki | needTempo | aSuccess, run: linkToLogs},
		{Row: Row{Name: "link-trace-to-metrics", Does: "tracesToMetrics of the Tempo data source, applied to a span of each service",
			Expects: "data from every query"},
			needs: needPrometheus | needTempo | aSuccess, run: linkToMetrics},
		{Row: Row{Name: "link-log-to-trace", Does: "derivedFields of the Loki data source, applied to a line of each service",
			Expects: "the line's trace"},
			needs: needLoki | needTempo | aSuccess, run: linkToTrace},
		{Row: Row{Name: "link-exemplar-to-trace", Does: "exemplarTraceIdDestinations of the Prometheus data source, applied to an exemplar",
			Expects: "the trace of a roll"},
			needs: needPrometheus | needTempo | aSuccess, run: linkFromExemplar},
		{Row: Row{Name: "link-service-map", Does: "serviceMap of the Tempo data source: the queries that Grafana makes for it",
			Expects: "the edge from " + contract.ServiceFrontend + " to " + contract.ServiceRoller},
			needs: needPrometheus | aSuccess, run: linkServiceMap},
	}
}

// clicked are the spans that are clicked, one of each service.
func (p *probe) clicked(ctx context.Context) (*query.Trace, []*query.Span, *finding) {
	t, f := p.traceOf(ctx, p.rolls.continued)
	if f != nil {
		return nil, nil, f
	}
	spans := []*query.Span{spanOf(t, contract.ServiceFrontend, contract.SpanButtonClick), spanOf(t, contract.ServiceRoller, contract.SpanRollerRoll)}
	if slices.Contains(spans, nil) {
		f := p.oneSided(t)
		return nil, nil, &f
	}
	return t, spans, nil
}

var errNoLine = errors.New("no line is found")

func linkToLogs(ctx context.Context, p *probe) finding {
	files, err := p.files(ctx)
	if err != nil {
		return *ofFiles(err)
	}
	t, spans, f := p.clicked(ctx)
	if f != nil {
		return *f
	}
	var evidence []string
	for _, s := range spans {
		link, err := files.DataSources.TraceToLogs(*s)
		if err != nil {
			return fail("span %q of %s: %v", s.Name, s.Service, err)
		}
		n, err := until(ctx, p, func(ctx context.Context) (int, error) {
			r, err := p.loki().QueryRange(ctx, query.LogQuery{LogQL: link.Expr, Start: link.Start, End: link.End})
			if err != nil {
				return 0, err
			}
			if len(r.Lines) == 0 {
				return 0, fmt.Errorf("from span %q of %s the link leads to %s: %w", s.Name, s.Service, link.Expr, errNoLine)
			}
			for _, l := range r.Lines {
				if l.Field(contract.FieldTraceID) != t.ID || l.Service() != s.Service {
					return 0, fmt.Errorf("from span %q of %s the link leads to a line of another: %s", s.Name, s.Service, shorten(l.Text))
				}
			}
			return len(r.Lines), nil
		})
		if errors.Is(err, errNoLine) {
			// Where no query finds the lines, it is not the link's fault.
			if lines, err := p.logsOf(ctx, s.Service, t.ID); err == nil && len(lines) == 0 {
				return p.behindSpanLogs(p.unfound(ctx, s.Service, t.ID), s.Service)
			}
		}
		if err != nil {
			return fail("%v", err)
		}
		evidence = append(evidence, fmt.Sprintf("%s from %q", plural(n, "line"), s.Name))
	}
	return pass("%s, trace %s", strings.Join(evidence, ", "), t.ID)
}

func linkToMetrics(ctx context.Context, p *probe) finding {
	files, err := p.files(ctx)
	if err != nil {
		return *ofFiles(err)
	}
	_, spans, f := p.clicked(ctx)
	if f != nil {
		return *f
	}
	defer p.move(ctx)()
	n := 0
	for _, s := range spans {
		links, err := files.DataSources.TraceToMetrics(*s)
		if err != nil {
			return fail("span %q of %s: %v", s.Name, s.Service, err)
		}
		for _, link := range links {
			_, err := until(ctx, p, func(ctx context.Context) (struct{}, error) {
				r, err := p.prometheus().QueryRange(ctx, link.Expr, link.Start, link.End, panelStep)
				if err == nil && !hasNumber(r.Series) {
					err = fmt.Errorf("from span %q of %s the link %q leads to %s, which has no data", s.Name, s.Service, link.Name, link.Expr)
				}
				return struct{}{}, err
			})
			if err != nil {
				return fail("%v", err)
			}
			n++
		}
	}
	return pass("data from %s of %s", plural(n, "link"), plural(len(spans), "span"))
}

func linkToTrace(ctx context.Context, p *probe) finding {
	files, err := p.files(ctx)
	if err != nil {
		return *ofFiles(err)
	}
	lines, err := p.linesOfRolls(ctx)
	if err != nil {
		return fail("%v", err)
	}
	id := p.rolls.continued.trace.TraceID
	for _, service := range contract.Services() {
		i := slices.IndexFunc(lines, func(l query.LogLine) bool { return l.Service() == service && l.TraceID() == id })
		if i < 0 {
			return p.withoutLine(service, lines)
		}
		to, err := files.DataSources.LogToTrace(lines[i])
		if err != nil {
			return fail("the line %q of %s: %v", lines[i].Message(), service, err)
		}
		if f := p.leads(ctx, to, id); f != nil {
			return *f
		}
	}
	return pass("lines of both services to %s", id)
}

// leads asks for the trace that a link leads to.
func (p *probe) leads(ctx context.Context, to, id string) *finding {
	t, err := until(ctx, p, func(ctx context.Context) (*query.Trace, error) {
		t, err := p.tempo().Trace(ctx, to)
		if err != nil && !errors.Is(err, query.ErrNotFound) { // malformed: no wait mends it
			return nil, nil
		}
		return t, err
	})
	switch {
	case err != nil:
		f := fail("the link leads to the trace %q: %s", to, missing(err))
		return &f
	case t == nil || t.ID != id:
		f := fail("the link leads to the trace %q, not to %s", to, id)
		return &f
	}
	return nil
}

func linkFromExemplar(ctx context.Context, p *probe) finding {
	files, err := p.files(ctx)
	if err != nil {
		return *ofFiles(err)
	}
	// Either service's will do: whether each has some is another row's matter.
	var e query.Exemplar
	for _, service := range contract.Services() {
		if e, err = p.exemplar(ctx, exemplarsOf(service)[0]); err == nil {
			break
		}
	}
	if err != nil {
		return p.because("exemplar-to-trace", "there is no exemplar of a roll", err.Error())
	}
	to, err := files.DataSources.ExemplarToTrace(e)
	if err != nil {
		return fail("%v", err)
	}
	if f := p.leads(ctx, to, e.TraceID); f != nil {
		return *f
	}
	return pass("an exemplar of %s to %s", e.Series["__name__"], e.TraceID)
}

func linkServiceMap(ctx context.Context, p *probe) finding {
	files, err := p.files(ctx)
	if err != nil {
		return *ofFiles(err)
	}
	queries, err := files.DataSources.ServiceGraph(panelRange)
	if err != nil {
		return fail("%v", err)
	}
	for _, q := range queries {
		_, err := until(ctx, p, func(ctx context.Context) (struct{}, error) {
			r, err := p.prometheus().Query(ctx, q.Expr, time.Time{})
			if err != nil {
				return struct{}{}, err
			}
			for _, s := range r.Series {
				if s.Labels[contract.LabelClient] == contract.ServiceFrontend && s.Labels[contract.LabelServer] == contract.ServiceRoller {
					return struct{}{}, nil
				}
			}
			return struct{}{}, fmt.Errorf("the query for %s has no edge from %s to %s: %s", q.Name, contract.ServiceFrontend, contract.ServiceRoller, q.Expr)
		})
		if err != nil {
			if f := p.halved(ctx); f != nil {
				return *f
			}
			return fail("%v", err)
		}
	}
	return pass("%s to %s in %d queries", contract.ServiceFrontend, contract.ServiceRoller, len(queries))
}
