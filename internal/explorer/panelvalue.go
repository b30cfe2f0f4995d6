package explorer

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"dicelab/internal/explorer/chart"
	"dicelab/internal/grafana"
)

// statValue is one number, large.
type statValue struct{ Name, Text, Class string }

// value is the newest of a series.
type value struct {
	name   string
	labels map[string]string
	v      float64
}

// values fills the panels that show what is at the end of the time: a number, a
// share on a scale, or bars.
func (d drawing) values(ctx context.Context) error {
	var found []value
	heatmap := false
	for _, q := range d.queries {
		res, err := d.e.Prometheus.Query(ctx, q.Expr, d.win.End)
		if err != nil {
			return err
		}
		heatmap = heatmap || q.Format == grafana.FormatHeatmap
		for _, s := range res.Series {
			if v := s.Last(); !math.IsNaN(v) {
				found = append(found, value{legend(q.Legend, s.Labels), s.Labels, v})
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	format := unitFormat(d.in.FieldConfig.Defaults.Unit)
	switch {
	case d.in.Type == grafana.PanelStat:
		v := found[0]
		d.Stat = &statValue{Name: v.name, Text: format(d.rounded(v.v)), Class: d.level(v.v)}
	case d.in.Type == grafana.PanelGauge:
		d.gauge(found[0], format)
	case heatmap:
		d.buckets(found, format)
	default:
		d.meters(found, format)
	}
	return nil
}

// rounded rounds to the dashboard's number of decimals: rates that are extrapolated
// to whole ranges are broken numbers.
func (d drawing) rounded(v float64) float64 {
	decimals := d.in.FieldConfig.Defaults.Decimals
	if decimals == nil || *decimals > 0 {
		return v
	}
	return math.Round(v)
}

// level returns the class of the colour that the thresholds give to a value.
func (d drawing) level(v float64) string {
	defaults := d.in.FieldConfig.Defaults
	class := d.class(d.Title, 0)
	if defaults.Thresholds == nil {
		return class
	}
	for _, step := range defaults.Thresholds.Steps {
		if step.Value == nil || v >= *step.Value {
			class = "g-" + step.Color
		}
	}
	return class
}

func (d drawing) gauge(v value, format func(float64) string) {
	defaults := d.in.FieldConfig.Defaults
	g := chart.Gauge{Label: d.Title, Max: 1, Value: v.v, Text: format(v.v), Class: d.level(v.v)}
	if defaults.Min != nil {
		g.Min = *defaults.Min
	}
	if defaults.Max != nil {
		g.Max = *defaults.Max
	}
	if t := defaults.Thresholds; t != nil {
		for i, step := range t.Steps {
			upTo := g.Max
			if i+1 < len(t.Steps) {
				upTo = *t.Steps[i+1].Value
			}
			g.Zones = append(g.Zones, chart.Zone{UpTo: upTo, Class: "g-" + step.Color})
		}
	}
	d.Chart = g.HTML()
}

func (d drawing) meters(found []value, format func(float64) string) {
	m := chart.Meters{Label: d.Title + ", " + d.Unit}
	sum := 0.0
	slices.SortFunc(found, func(a, b value) int { return strings.Compare(a.name, b.name) })
	for i, v := range found {
		n := d.rounded(v.v)
		sum += n
		m.Rows = append(m.Rows, chart.Meter{Name: v.name, Text: format(n), Value: n, Class: d.class(v.name, i)})
	}
	if sum > 0 {
		d.Chart = m.HTML()
	}
}

// buckets draws a histogram: each bucket holds all values up to its bound, so it
// loses the count of the bucket below.
func (d drawing) buckets(found []value, format func(float64) string) {
	bound := func(v value) float64 {
		le, err := strconv.ParseFloat(v.labels["le"], 64)
		if err != nil {
			return math.Inf(1)
		}
		return le
	}
	slices.SortFunc(found, func(a, b value) int { return cmp.Compare(bound(a), bound(b)) })
	bars := chart.Bars{Label: d.Title + ", " + d.Unit, Height: d.chartHeight() + 28, Format: format, Max: 4}
	below, sum := 0.0, 0.0
	for i, v := range found {
		n := d.rounded(v.v - below)
		below, sum = v.v, sum+n
		label := short(bound(v))
		bars.Groups = append(bars.Groups, chart.Group{Label: label, Bars: []chart.Bar{{Value: n, Class: d.class(v.name, i),
			Title: label + ": " + times(n)}}})
	}
	if sum > 0 {
		d.Chart = bars.HTML()
	}
}

// times writes how often something happened, as a server counts it.
func times(n float64) string {
	if n == 1 {
		return "1 time"
	}
	return short(n) + " times"
}
