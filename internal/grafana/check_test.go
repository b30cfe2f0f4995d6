package grafana_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dicelab/internal/grafana"
)

// validate returns all errors of a dashboard: what Grafana would not know, and what the lab requires
// of every panel.
func validate(d grafana.Dashboard) error {
	c := checker{dashboard: d, ids: map[int]string{}, titles: map[string]bool{}}
	if d.UID == "" || len(d.UID) > 40 {
		c.fail("the uid must have 1 to 40 characters: %q", d.UID)
	}
	if d.Title == "" || d.SchemaVersion < 36 {
		c.fail("it has no title, or is of a schema before 36: %q, %d", d.Title, d.SchemaVersion)
	}
	for _, v := range d.Templating.List {
		c.variable(v)
	}
	for i, p := range d.Panels {
		c.panel(p)
		for _, q := range d.Panels[:i] {
			if overlap(p.GridPos, q.GridPos) {
				c.fail("panels %q and %q overlap", q.Title, p.Title)
			}
		}
	}
	if _, err := d.Queries(grafana.Settings{Range: time.Hour, Step: time.Minute}); err != nil {
		c.errs = append(c.errs, err)
	}
	return errors.Join(c.errs...)
}

// units are Grafana's ids of the units that the dashboard may use
// (packages/grafana-data/src/valueFormats/categories.ts).
var units = []string{grafana.UnitShort, grafana.UnitPercent, grafana.UnitSeconds, grafana.UnitReqPerSec, grafana.UnitCountPerMin}

// checker collects errors.
type checker struct {
	dashboard grafana.Dashboard
	ids       map[int]string
	titles    map[string]bool
	errs      []error
}

func (c *checker) fail(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *checker) variable(v grafana.Variable) {
	switch {
	case v.Name == "" || v.Label == "" || v.Description == "":
		c.fail("variable %q has no name, label or description", v.Name)
	case v.Type == "datasource" && !knownSource(v.Query):
		c.fail("variable %q is for data sources of type %q, which is not known", v.Name, v.Query)
	case v.Type == "custom" && !slices.ContainsFunc(v.Options, func(o grafana.Choice) bool { return o.Value == v.Current.Value }):
		c.fail("variable %q is %q at first, which cannot be chosen", v.Name, v.Current.Value)
	case v.Type != "custom" && v.Type != "datasource":
		c.fail("variable %q is of type %q, which is not known", v.Name, v.Type)
	}
}

func (c *checker) panel(p grafana.Panel) {
	name := fmt.Sprintf("panel %d, %q", p.ID, p.Title)
	if other, ok := c.ids[p.ID]; ok || p.ID < 1 {
		c.fail("%s: its id must be above 0 and its own (%s)", name, other)
	}
	c.ids[p.ID] = name
	if p.Title == "" || c.titles[p.Title] {
		c.fail("%s: its title must be there and its own", name)
	}
	c.titles[p.Title] = true
	if g := p.GridPos; g.W < 1 || g.H < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
		c.fail("%s: it does not fit into the grid: %+v", name, g)
	}
	if p.Type == grafana.PanelRow {
		for _, inner := range p.Panels {
			c.panel(inner)
		}
		return
	}
	if p.Description == "" {
		c.fail("%s: it has no description", name)
	}
	c.source(name, p.Datasource)
	c.fields(name, p)
	if len(p.Targets) == 0 && p.Type != grafana.PanelAlerts {
		c.fail("%s: it has no query", name)
	}
	letters := map[string]bool{}
	for _, t := range p.Targets {
		if t.RefID == "" || letters[t.RefID] {
			c.fail("%s: query %q: its refId must be there and its own", name, t.RefID)
		}
		letters[t.RefID] = true
		c.source(name, &t.Datasource)
		c.target(name+", query "+t.RefID, t)
	}
}

// fields checks how values are shown: every panel has a text for the case that there
// is no value, and a unit, if it shows numbers of its own. The
// units of tables and node graphs come with the data.
func (c *checker) fields(name string, p grafana.Panel) {
	if p.FieldConfig == nil {
		c.fail("%s: it has no fieldConfig", name)
		return
	}
	d := p.FieldConfig.Defaults
	if d.NoValue == "" {
		c.fail("%s: it has no empty state (noValue)", name)
	}
	switch numbers := slices.Contains([]string{grafana.PanelTimeSeries, grafana.PanelStat, grafana.PanelGauge, grafana.PanelBarGauge}, p.Type); {
	case numbers && !slices.Contains(units, d.Unit):
		c.fail("%s: unit %q is not one of %s", name, d.Unit, strings.Join(units, ", "))
	case !numbers && d.Unit != "":
		c.fail("%s: a %s has no unit of its own", name, p.Type)
	}
	colors := []*grafana.Color{d.Color}
	for _, o := range p.FieldConfig.Overrides {
		if o.Matcher.ID != "byName" || o.Matcher.Options == "" {
			c.fail("%s: an override matches %+v; the lab's match by name", name, o.Matcher)
		}
		for _, prop := range o.Properties {
			if prop.ID != "color" {
				c.fail("%s: an override sets %q; the lab's set colours", name, prop.ID)
			}
			colors = append(colors, &prop.Value)
		}
	}
	for _, color := range colors {
		if color != nil && !knownColor(color) {
			c.fail("%s: colour %+v is not known", name, *color)
		}
	}
	if t := d.Thresholds; t != nil {
		if t.Mode != "absolute" || len(t.Steps) == 0 || t.Steps[0].Value != nil {
			c.fail("%s: the first threshold holds from minus infinity, so it has no value", name)
		}
		for i, s := range t.Steps {
			if i > 0 && (s.Value == nil || t.Steps[i-1].Value != nil && *s.Value <= *t.Steps[i-1].Value) {
				c.fail("%s: the thresholds do not rise", name)
			}
		}
	}
}

func knownColor(c *grafana.Color) bool {
	switch c.Mode {
	case "palette-classic", "thresholds":
		return c.FixedColor == ""
	case "fixed":
		return slices.Contains([]string{grafana.Blue, grafana.Green, grafana.Orange, grafana.Purple, grafana.Red, grafana.Yellow}, c.FixedColor)
	}
	return false
}

// source checks that a data source is known: one of the fixed uids, or a variable
// for data sources of the type.
func (c *checker) source(name string, ref *grafana.DataSourceRef) {
	if ref == nil || !knownSource(ref.Type) {
		c.fail("%s: its data source is not known: %+v", name, ref)
		return
	}
	if variable, ok := strings.CutPrefix(ref.UID, "${"); ok {
		v, ok := c.dashboard.Variable(strings.TrimSuffix(variable, "}"))
		if !ok || v.Type != "datasource" || v.Query != ref.Type {
			c.fail("%s: data source %s is no variable for data sources of type %s", name, ref.UID, ref.Type)
		}
		return
	}
	if !slices.Contains([]string{grafana.UIDPrometheus, grafana.UIDLoki, grafana.UIDTempo}, ref.UID) {
		c.fail("%s: data source %q is none of the provisioned ones", name, ref.UID)
	}
}

func knownSource(kind string) bool {
	return slices.Contains([]string{grafana.TypePrometheus, grafana.TypeLoki, grafana.TypeTempo}, kind)
}

// target checks that a query has what its data source needs, and nothing that
// another one would read.
func (c *checker) target(name string, t grafana.Target) {
	rest := t
	rest.RefID, rest.Datasource, rest.EditorMode = "", grafana.DataSourceRef{}, ""
	switch t.Datasource.Type {
	case grafana.TypePrometheus:
		if t.Expr == "" || t.Instant == t.Range || t.Exemplar && t.Instant {
			c.fail("%s: a query of Prometheus has an expr, is either instant or range, and only a range has exemplars", name)
		}
		if t.Format != "" && t.Format != grafana.FormatHeatmap {
			c.fail("%s: format %q is not known", name, t.Format)
		}
		rest.Expr, rest.LegendFormat, rest.Instant, rest.Range, rest.Exemplar, rest.Format, rest.Interval = "", "", false, false, false, "", ""
	case grafana.TypeLoki:
		if t.Expr == "" || t.QueryType != "range" {
			c.fail("%s: a query of Loki has an expr and is of type range", name)
		}
		rest.Expr, rest.QueryType, rest.MaxLines = "", "", 0
	case grafana.TypeTempo:
		switch {
		case t.QueryType == "traceql" && t.Query != "" && t.TableType == "traces" && t.ServiceMapQuery == "":
		case t.QueryType == "serviceMap" && t.Query == "" && t.TableType == "" && t.Limit == 0:
		default:
			c.fail("%s: a query of Tempo is TraceQL for a table of traces, or a service map", name)
		}
		rest.QueryType, rest.Query, rest.Limit, rest.TableType, rest.ServiceMapQuery = "", "", 0, "", ""
	}
	if rest != (grafana.Target{}) {
		c.fail("%s: a query of %s does not have %+v", name, t.Datasource.Type, rest)
	}
}

func overlap(a, b grafana.GridPos) bool {
	return a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H
}
