package verify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/grafana"
	"dicelab/internal/query"
)

// onLinks makes a check of links that Grafana's data sources define: each is applied
// to what a person would click, and what it leads to is read. The trace is the one
// whose ID begins with zeros.
func onLinks(look func(context.Context, *Probe, grafana.DataSources) (string, error)) Func {
	return func(ctx context.Context, p *Probe) (string, error) {
		files, err := p.grafanaFiles()
		if err != nil {
			return "", err
		}
		return look(ctx, p, files.DataSources)
	}
}

// click calls follow for a span of each service.
func (p *Probe) click(ctx context.Context, follow func(query.Span) error) error {
	t, err := p.traceOf(ctx, p.rolls.continued)
	if err != nil {
		return err
	}
	for _, of := range [][2]string{
		{contract.ServiceFrontend, contract.SpanButtonClick}, {contract.ServiceRoller, contract.SpanRollerRoll},
	} {
		s, err := spanOf(t, of[0], of[1])
		if err != nil {
			return err
		}
		if err := follow(*s); err != nil {
			return fmt.Errorf("from the span %q of %s: %w", s.Name, s.Service, err)
		}
	}
	return nil
}

func linkToLogs(ctx context.Context, p *Probe, from grafana.DataSources) (string, error) {
	var evidence []string
	err := p.click(ctx, func(s query.Span) error {
		link, err := from.TraceToLogs(s)
		if err != nil {
			return err
		}
		p.page = logPage(link.Expr)
		return p.until(ctx, func() error {
			r, err := p.loki().QueryRange(ctx, query.LogQuery{LogQL: link.Expr, Start: link.Start, End: link.End})
			if err != nil {
				return err
			}
			if len(r.Lines) == 0 {
				return fmt.Errorf("the link leads to %s, which finds no line", link.Expr)
			}
			for _, l := range r.Lines {
				if l.Field(contract.FieldTraceID) != s.TraceID || l.Service() != s.Service {
					return fmt.Errorf("the link leads to a line of another trace or service: %.160s", l.Text)
				}
			}
			evidence = append(evidence, fmt.Sprintf("%s from %q", plural(len(r.Lines), "line"), s.Name))
			return nil
		})
	})
	return strings.Join(evidence, ", ") + ", trace " + p.rolls.continued.Trace.TraceID, err
}

func linkToMetrics(ctx context.Context, p *Probe, from grafana.DataSources) (string, error) {
	n := 0
	err := p.click(ctx, func(s query.Span) error {
		links, err := from.TraceToMetrics(s)
		for _, link := range links {
			p.page = metricPage(link.Expr)
			err := p.until(ctx, func() error {
				r, err := p.prometheus().QueryRange(ctx, link.Expr, link.Start, link.End, panelStep)
				if err == nil && !hasNumber(r.Series) {
					err = fmt.Errorf("the link %q leads to %s, which has no data", link.Name, link.Expr)
				}
				return err
			})
			if err != nil {
				return err
			}
			n++
		}
		return err
	})
	return "data from " + plural(n, "link"), err
}

func linkToTrace(ctx context.Context, p *Probe, from grafana.DataSources) (string, error) {
	id := p.rolls.continued.Trace.TraceID
	for _, service := range contract.Services() {
		line, err := p.lineWith(ctx, service, id)
		if err != nil {
			return "", err
		}
		to, err := from.LogToTrace(line)
		if err != nil {
			return "", fmt.Errorf("the line %q of %s: %w", line.Message(), service, err)
		}
		if err := p.leads(ctx, to, id); err != nil {
			return "", err
		}
	}
	return "lines of both services to " + id, nil
}

// leads reads the trace that a link leads to.
func (p *Probe) leads(ctx context.Context, to, id string) error {
	t, err := p.trace(ctx, to, 1, p.rolls.ended)
	if err == nil && t.ID != id {
		err = fmt.Errorf("that is not %s", id)
	}
	if err != nil {
		return fmt.Errorf("the link leads to the trace %q: %w", to, err)
	}
	return nil
}

// linkFromExemplar takes an exemplar of either service: another check wants one of
// each.
func linkFromExemplar(ctx context.Context, p *Probe, from grafana.DataSources) (string, error) {
	var e query.Exemplar
	var err error
	for _, service := range contract.Services() {
		if e, err = p.exemplar(ctx, service, exemplarsOf(service)[0]); err == nil {
			break
		}
	}
	if err != nil {
		return "", err
	}
	to, err := from.ExemplarToTrace(e)
	if err == nil {
		err = p.leads(ctx, to, e.TraceID)
	}
	return fmt.Sprintf("an exemplar of %s to %s", e.Series["__name__"], e.TraceID), err
}

func linkServiceMap(ctx context.Context, p *Probe, links grafana.DataSources) (string, error) {
	const from, to = contract.ServiceFrontend, contract.ServiceRoller
	queries, err := links.ServiceGraph(panelRange)
	if err != nil {
		return "", err
	}
	for _, q := range queries {
		p.page = metricPage(q.Expr)
		err := p.until(ctx, func() error {
			r, err := p.prometheus().Query(ctx, q.Expr, time.Time{})
			if err != nil {
				return err
			}
			for _, s := range r.Series {
				if s.Labels[contract.LabelClient] == from && s.Labels[contract.LabelServer] == to {
					return nil
				}
			}
			return fmt.Errorf("the query for %s has no edge from %s to %s: %s", q.Name, from, to, q.Expr)
		})
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s to %s in %d queries", from, to, len(queries)), nil
}
