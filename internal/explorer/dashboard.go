package explorer

import (
	"context"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"dicelab/internal/grafana"
)

// panelRow is a heading of the dashboard and the panels below it.
type panelRow struct {
	Title  string
	Panels []*panel
}

// panel is one of the dashboard's, with what is in it at this moment.
type panel struct {
	ID                       int
	Title, Unit, Description string
	Width                    int // of 24 columns
	Queries                  []shownQuery
	Failure                  *failure
	Empty                    string // what to do when there is nothing to show
	EmptyHref                string // where to do it
	Still                    string // says which counter does not move
	Exemplars                int

	// One of these, by the panel's type.
	Chart  template.HTML
	Legend []legendItem
	Stat   *statValue
	Lines  []logRow
	Traces traceRows
	Alerts []alertRow
}

// shownQuery is a query as a person may want to repeat it.
type shownQuery struct{ Language, Text, Href string }

// Filled reports whether the panel has anything to show.
func (p panel) Filled() bool {
	return p.Chart != "" || p.Stat != nil || len(p.Lines) > 0 || len(p.Traces) > 0 || len(p.Alerts) > 0
}

// drawing holds what is needed to fill a panel.
type drawing struct {
	*panel
	e       *explorer
	in      grafana.Panel
	win     window
	queries []grafana.Query
}

// panelRows lists the panels of the dashboard, and what fills them.
func (e *explorer) panelRows(ctx context.Context, win window, settings grafana.Settings) (rows []panelRow, fills []func()) {
	for _, in := range e.Dashboard.Panels {
		if in.Type == grafana.PanelRow {
			rows = append(rows, panelRow{Title: in.Title})
			continue
		}
		if len(rows) == 0 {
			rows = append(rows, panelRow{})
		}
		d := drawing{e: e, in: in, win: win, panel: &panel{ID: in.ID, Title: in.Title, Description: in.Description, Width: in.GridPos.W}}
		if in.FieldConfig != nil {
			// The file has the default address of the front end.
			d.Empty = in.FieldConfig.Defaults.NoValue
			if before, _, found := strings.Cut(d.Empty, ": roll a die at "+defaultFrontend); found {
				d.Empty, d.EmptyHref = before+".", e.FrontendURL
			}
			d.Unit = unitName(in.FieldConfig.Defaults.Unit)
		}
		// The settings were tried before.
		queries, err := e.Dashboard.PanelQueries(in, settings)
		d.Failure, d.queries = newFailure(err), queries
		for _, q := range queries {
			d.panel.Queries = append(d.panel.Queries, d.shown(q))
		}
		last := &rows[len(rows)-1]
		last.Panels = append(last.Panels, d.panel)
		fills = append(fills, func() { d.fill(ctx) })
	}
	return rows, fills
}

// shown returns a query with the page that runs it.
func (d drawing) shown(q grafana.Query) shownQuery {
	switch q.Server {
	case grafana.TypeLoki:
		return shownQuery{"LogQL", q.Expr, "/logs?" + merge(d.win, "q", q.Expr)}
	case grafana.TypeTempo:
		return shownQuery{"TraceQL", q.Expr, "/traces?" + merge(d.win, "q", q.Expr)}
	}
	return shownQuery{"PromQL", q.Expr, "/metrics?" + merge(d.win, "q", q.Expr)}
}

func (d drawing) fill(ctx context.Context) {
	var err error
	switch d.in.Type {
	case grafana.PanelTimeSeries:
		err = d.timeSeries(ctx)
	case grafana.PanelStat, grafana.PanelGauge, grafana.PanelBarGauge:
		err = d.values(ctx)
	case grafana.PanelLogs:
		err = d.logs(ctx)
	case grafana.PanelTable:
		err = d.traces(ctx)
	case grafana.PanelNodeGraph:
		err = d.graph(ctx)
	case grafana.PanelAlerts:
		err = d.alerts(ctx)
	}
	if err == nil && !d.e.hidesNotes() {
		err = d.still(ctx)
	}
	if d.Failure == nil {
		d.Failure = newFailure(err)
	}
}

// chartHeight returns the height of the chart in a panel, in pixels. Grafana's rows are 38 px;
// title and legend take part of the panel.
func (d drawing) chartHeight() int { return d.in.GridPos.H*34 - 112 }

// legend names a series by the query's legend: {{label}} stands for the label's value.
func legend(format string, labels map[string]string) string {
	if format == "" {
		return seriesName(labels)
	}
	var pairs []string
	for k, v := range labels {
		pairs = append(pairs, "{{"+k+"}}", v)
	}
	return strings.NewReplacer(pairs...).Replace(format)
}

// class returns the class that colours the nth series of the panel: as the dashboard
// says, or by its place.
func (d drawing) class(series string, n int) string {
	if color := d.in.ColorOf(series); color != "" {
		return "g-" + color
	}
	return "c-s" + strconv.Itoa(n%8)
}

// down returns the failures of servers that do not answer, each once. The panels that
// need them show only that.
func down(rows []panelRow) []*failure {
	var out []*failure
	for _, row := range rows {
		for _, p := range row.Panels {
			if p.Failure == nil || !p.Failure.Unreachable {
				continue
			}
			if !slices.ContainsFunc(out, func(f *failure) bool { return f.Title == p.Failure.Title }) {
				out = append(out, p.Failure)
			}
			p.Empty, p.Failure = p.Failure.Title+".", nil
		}
	}
	return out
}
