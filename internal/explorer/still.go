package explorer

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/grafana"
	"dicelab/internal/query"
)

// counterName finds the names of counters in PromQL.
var counterName = regexp.MustCompile(`\b[a-zA-Z_][a-zA-Z0-9_]*_total\b`)

// counters lists the counters that queries read.
func counters(queries ...string) (names []string) {
	for _, q := range queries {
		for _, name := range counterName.FindAllString(q, -1) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// still draws, for a panel that has nothing to show, the counters of its queries that stand
// still although requests were handled: that is another thing than no requests.
func (d drawing) still(ctx context.Context) error {
	if d.Filled() || d.Failure != nil {
		return nil
	}
	var texts []string
	for _, q := range d.queries {
		if q.Server != grafana.TypeLoki && q.Server != grafana.TypeTempo {
			texts = append(texts, q.Expr)
		}
	}
	plot := d.e.plot(d.Title+": counters that do not move", short, d.win)
	plot.Height = d.chartHeight()
	for _, name := range counters(texts...) {
		if rarelyMoves(name) {
			continue
		}
		moved, err := d.e.Prometheus.Query(
			ctx,
			"sum by (job) (increase("+name+"["+d.win.rangeWindow()+"]))",
			d.win.End,
		)
		if err != nil {
			return err
		}
		for i, s := range moved.Series {
			job := s.Labels["job"]
			if s.Last() != 0 {
				continue
			}
			handled, err := d.e.handledSpans(ctx, job, d.win)
			if err != nil {
				return err
			}
			if handled < 1 {
				continue
			}
			found, err := d.e.Prometheus.QueryRange(
				ctx,
				"sum("+name+"{job="+query.Quote(job)+"})",
				d.win.Start,
				d.win.End,
				d.win.step(),
			)
			if err != nil {
				return err
			}
			for _, line := range found.Series {
				plot.line(name, fmt.Sprintf("c-s%d", i%maxDrawn), line)
			}
			d.Still = fmt.Sprintf("%s of %s did not move in this time, although %s handled %s.", name, job, job,
				count(int(handled+.5), "request", "requests"))
		}
	}
	d.Chart, d.Legend = plot.drawn()
	return nil
}

// handledSpans returns the number of requests that a service handled in a window, by the
// metrics of its spans.
func (e *explorer) handledSpans(ctx context.Context, service string, win window) (float64, error) {
	of := and(contract.LabelService+"="+query.Quote(service), handled)
	found, err := e.Prometheus.Query(
		ctx,
		spanIncrease(of, "["+win.rangeWindow()+"]"),
		win.End,
	)
	if err != nil || len(found.Series) == 0 {
		return 0, err
	}
	return found.Series[0].Last(), nil
}

// rarelyMoves reports whether the name of a counter says that it counts what seldom happens.
func rarelyMoves(name string) bool {
	return slices.ContainsFunc(
		[]string{
			"drop",
			"fail",
			"error",
			"refus",
			"reject",
			"retr",
			"cancel",
			"timeout",
			"exception",
			"panic",
			"evict",
			"gc",
			"restart",
			"reload",
		},
		func(word string) bool { return strings.Contains(strings.ToLower(name), word) },
	)
}
