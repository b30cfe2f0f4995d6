package explorer

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"strconv"

	"dicelab/internal/grafana"
)

type metricsView struct {
	Query       string
	Range       []choice // hidden fields
	When        string   // the time, at the end of a sentence
	Variables   []variable
	Rows        []panelRow
	Source      string // where the panels come from
	InputError  string
	Down        []*failure // of each server that does not answer
	Failure     *failure   // of the typed query
	Result      []resultRow
	ResultText  string
	Warnings    []string
	Graph       template.HTML
	Legend      []legendItem
	Asked       bool
	FrontendURL string
}

type resultRow struct{ Series, Value string }

// variable is one of the dashboard's, as a drop-down.
type variable struct {
	Param, Label, Description string
	Value                     string // what was chosen, "" for what is first
	Choices                   []choice
}

// variablePrefix begins the parameters of variables, as in Grafana's links.
const variablePrefix = "var-"

func (e *explorer) metrics(w http.ResponseWriter, r *http.Request) {
	v := metricsView{Query: trimmed(r, "q"), FrontendURL: e.FrontendURL, Source: grafana.Stage2Path}
	win, err := parseWindow(r.URL.Query(), e.Now(), defaultSince)
	if err != nil {
		v.InputError = err.Error()
	}
	v.Range, v.When, v.Asked = win.hidden(), win.phrase(), v.Query != ""
	values := map[string]string{}
	for _, variable := range e.Dashboard.Choosable() {
		if chosen := trimmed(r, variablePrefix+variable.Name); chosen != "" {
			values[variable.Name] = chosen
		}
	}
	settings := grafana.Settings{Range: win.End.Sub(win.Start), Step: win.step(), Values: values}
	if _, err := e.Dashboard.Queries(settings); err != nil {
		v.InputError, settings.Values = err.Error(), nil
	}
	v.Variables = e.variables(settings.Values)
	rows, asks := e.panelRows(r.Context(), win, settings)
	v.Rows = rows
	if v.Asked {
		asks = append(asks, func() { v.ask(r.Context(), e, win) })
	}
	inParallel(asks...)
	v.Down = down(v.Rows)
	status := http.StatusOK
	switch {
	case v.InputError != "":
		status = http.StatusBadRequest
	case v.Failure != nil:
		status = v.Failure.status()
	default:
		for _, f := range v.Down {
			if f.Server == e.Prometheus.Name() { // lines and traces are only a part of the page
				status = f.status()
			}
		}
	}
	if v.Failure != nil && v.Failure.Unreachable {
		v.Failure, v.Asked = nil, false // it is shown once, above the panels
	}
	e.render(w, status, "metrics", page{Wide: true, Window: win.chosen(r), Time: e.timeBar(r, "/metrics", win), Title: titled("Metrics", v.Query),
		Section: "Metrics", Live: win.moves(), Data: &v})
}

// variables returns the drop-downs above the panels.
func (e *explorer) variables(values map[string]string) []variable {
	var out []variable
	for _, v := range e.Dashboard.Choosable() {
		chosen := values[v.Name]
		d := variable{Param: variablePrefix + v.Name, Label: v.Label, Description: v.Description, Value: chosen}
		if chosen == "" {
			chosen = v.Current.Value
		}
		for _, c := range v.Choices(chosen) {
			d.Choices = append(d.Choices, choice{Value: c.Value, Label: c.Text, Selected: c.Selected})
		}
		out = append(out, d)
	}
	return out
}

// ask runs the typed query: at the window's end for the table, over the window
// for the graph, if it can be drawn.
func (v *metricsView) ask(ctx context.Context, e *explorer, win window) {
	res, err := e.Prometheus.Query(ctx, v.Query, win.End)
	if err != nil {
		v.Failure = newFailure(err)
		return
	}
	v.Warnings, v.ResultText = res.Warnings, res.Text
	const most = 200
	for i, s := range res.Series {
		if i == most {
			v.Warnings = append(v.Warnings, fmt.Sprintf("Only the first %d of %d series are shown.", most, len(res.Series)))
			break
		}
		row := resultRow{Series: seriesName(s.Labels), Value: number(s.Last())}
		if res.Type == "matrix" {
			row.Value = fmt.Sprintf("%s (the last of %d points)", row.Value, len(s.Points))
		}
		v.Result = append(v.Result, row)
	}
	if res.Type != "vector" && res.Type != "scalar" {
		return // a range vector or a text has no graph
	}
	ranged, err := e.Prometheus.QueryRange(ctx, v.Query, win.Start, win.End, win.step())
	if err != nil {
		v.Failure = newFailure(err)
		return
	}
	v.Graph, v.Legend = e.seriesGraph("Result of the PromQL query", ranged.Series, win)
	if len(ranged.Series) > len(v.Legend) {
		v.Warnings = append(v.Warnings, fmt.Sprintf("The graph shows the first %d of %d series, and %d more are not drawn.", len(v.Legend), len(ranged.Series), len(ranged.Series)-len(v.Legend)))
	}
}

// number writes a value in full.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 10, 64) }
