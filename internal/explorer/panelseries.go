package explorer

import (
	"context"
	"math"
	"slices"

	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
)

// mostExemplars limits the dots of a chart: more would hide its lines.
const mostExemplars = 200

func (d drawing) timeSeries(ctx context.Context) error {
	zone := d.e.Now().Location()
	format := unitFormat(d.in.FieldConfig.Defaults.Unit)
	plot := chart.Plot{Label: d.Title + ", " + d.Unit, Start: d.win.Start.In(zone), End: d.win.End.In(zone), Height: d.chartHeight(), Format: format,
		Moments: d.e.moments()}
	for _, q := range d.queries {
		res, err := d.e.Prometheus.QueryRange(ctx, q.Expr, d.win.Start, d.win.End, q.Step)
		if err != nil {
			return err
		}
		for _, s := range res.Series {
			name := legend(q.Legend, s.Labels)
			l := chart.Line{Name: name, Class: d.class(name, len(plot.Lines)), Gap: 3 * q.Step}
			known := false
			for _, pt := range s.Points {
				known = known || !math.IsNaN(pt.Value)
				l.Samples = append(l.Samples, chart.Sample{Time: pt.Time.In(zone), Value: pt.Value})
			}
			if !known {
				continue // nothing happened that could be drawn
			}
			plot.Lines = append(plot.Lines, l)
			d.Legend = append(d.Legend, legendItem{name, l.Class, format(s.Last())})
		}
		if !q.Exemplar {
			continue
		}
		found, err := d.e.Prometheus.Exemplars(ctx, q.Expr, d.win.Start, d.win.End)
		if err != nil {
			return err
		}
		plot.Dots = append(plot.Dots, d.e.exemplarDots(thin(found, d.win), format)...)
	}
	d.Exemplars = len(plot.Dots)
	if len(plot.Lines) > 0 || len(plot.Dots) > 0 {
		d.Chart = plot.HTML()
	}
	return nil
}

// exemplarDots returns the dots of exemplars, each a link to its trace.
func (e *explorer) exemplarDots(found []query.Exemplar, format func(float64) string) []chart.Dot {
	zone := e.Now().Location()
	var out []chart.Dot
	for _, x := range found {
		at := x.Time.In(zone)
		out = append(out, chart.Dot{Time: at, Value: x.Value, Class: "c-exemplar", Href: "/traces/" + x.TraceID,
			Title: "trace " + x.TraceID[:8] + "  " + format(x.Value) + "  at " + at.Format("15:04:05")})
	}
	return out
}

// thin drops exemplars without a trace. If too many are left, it keeps the slowest and the quickest
// of each stretch of time, because a reader looks for outliers.
func thin(found []query.Exemplar, win window) []query.Exemplar {
	found = slices.DeleteFunc(found, func(x query.Exemplar) bool { return x.TraceID == "" })
	if len(found) <= mostExemplars {
		return found
	}
	slot := max(1, win.End.Sub(win.Start)/(mostExemplars/2))
	slowest, quickest := map[int64]query.Exemplar{}, map[int64]query.Exemplar{}
	for _, x := range found {
		at := int64(x.Time.Sub(win.Start) / slot)
		if s, ok := slowest[at]; !ok || x.Value > s.Value {
			slowest[at] = x
		}
		if q, ok := quickest[at]; !ok || x.Value < q.Value {
			quickest[at] = x
		}
	}
	var out []query.Exemplar
	for at, x := range slowest {
		out = append(out, x)
		if q := quickest[at]; q.TraceID != x.TraceID {
			out = append(out, q)
		}
	}
	slices.SortFunc(out, func(a, b query.Exemplar) int { return a.Time.Compare(b.Time) })
	return out
}
