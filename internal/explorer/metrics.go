package explorer

import (
	"context"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
)

// panel is a chart with what surrounds it.
type panel struct {
	Title, Unit string
	Chart       template.HTML
	Legend      []legendItem
	Queries     []string
	Failure     *failure
	Empty       string // what to do when there is nothing to draw
	Exemplars   int

	max float64 // at least so much of the value axis is shown
}

type metricsView struct {
	Query       string
	Ranges      []choice
	Range       []choice // hidden fields
	Fixed       string
	Panels      []panel
	InputError  string
	Down        *failure // Prometheus does not answer at all
	Failure     *failure // of the typed query
	Result      []resultRow
	ResultText  string
	Warnings    []string
	Graph       template.HTML
	Legend      []legendItem
	Asked       bool
	FrontendURL string
}

type resultRow struct{ Series, Value string }

func (e *explorer) metrics(w http.ResponseWriter, r *http.Request) {
	v := metricsView{Query: trimmed(r, "q"), FrontendURL: e.FrontendURL}
	win, err := parseWindow(r.URL.Query(), e.Now(), "15m")
	if err != nil {
		v.InputError = err.Error()
	}
	v.Ranges, v.Range, v.Fixed, v.Asked = win.links("/metrics", r.URL.Query()), win.hidden(), win.text(), v.Query != ""
	if win.Since != "" {
		v.Range = []choice{{Value: win.Since, Label: "since"}}
	}
	charts := e.panels(win)
	v.Panels = make([]panel, len(charts))
	asks := []func(){}
	for i, draw := range charts {
		asks = append(asks, func() { v.Panels[i] = draw(r.Context()) })
	}
	if v.Asked {
		asks = append(asks, func() { v.ask(r.Context(), e, win) })
	}
	inParallel(asks...)
	status := http.StatusOK
	for _, p := range v.Panels {
		if p.Failure != nil && p.Failure.Unreachable {
			// Once is enough: no panel has anything to show.
			v.Down, v.Panels, v.Failure = p.Failure, nil, nil
			break
		}
	}
	switch {
	case v.Down != nil:
		status = v.Down.status()
	case v.InputError != "":
		status = http.StatusBadRequest
	case v.Failure != nil:
		status = v.Failure.status()
	}
	e.render(w, status, "metrics", page{Title: "Metrics", Section: "Metrics", Live: win.Since != "", Data: &v})
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
	v.Graph, v.Legend = seriesGraph("Result of the PromQL query", ranged.Series, win, e.Now().Location())
	if len(ranged.Series) > len(v.Legend) {
		v.Warnings = append(v.Warnings, fmt.Sprintf("The graph shows the first %d of %d series.", len(v.Legend), len(ranged.Series)))
	}
}

// curve is a query of a panel. Each of its series is a line.
type curve struct {
	promql string
	name   func(labels map[string]string) string
	class  func(labels map[string]string) string
}

func fixed(s string) func(map[string]string) string {
	return func(map[string]string) string { return s }
}
func byLabel(label string) func(map[string]string) string {
	return func(l map[string]string) string { return l[label] }
}

// rateWindow is over how long rates are taken: a minute, which holds four
// scrapes of a slow set-up, or two steps if those are longer.
func (w window) rateWindow() string {
	return strconv.Itoa(int(max(time.Minute, 2*w.step()).Seconds())) + "s"
}

// panels are the charts of the page, in their order.
func (e *explorer) panels(win window) []func(context.Context) panel {
	rate := win.rateWindow()
	byJob := func(l map[string]string) string { return serviceClass(l["job"]) }
	byDie := func(l map[string]string) string { return dieClass(l[contract.LabelDieType]) }
	byCode := func(l map[string]string) string {
		switch code := l[contract.LabelStatusCode]; {
		case code == "503":
			return "c-p95"
		case code == "504":
			return "c-s7"
		case strings.HasPrefix(code, "5"):
			return "c-bad"
		}
		return "c-ok"
	}
	lines := func(p panel, format func(float64) string, exemplars string, curves ...curve) func(context.Context) panel {
		return func(ctx context.Context) panel { return e.draw(ctx, win, p, format, exemplars, curves) }
	}
	out := []func(context.Context) panel{
		lines(panel{Title: "Request rate", Unit: "requests per second, by service"}, short, "",
			curve{requestRate(rate), byLabel("job"), byJob}),
		lines(panel{Title: "Errors", Unit: "share of requests answered with 5xx, by service", max: .05}, percent, "",
			curve{errorRatio(rate), byLabel("job"), byJob}),
		lines(panel{Title: "Button clicks", Unit: "per minute, by die"}, short, "",
			curve{fmt.Sprintf("60 * sum by (%s) (rate(%s[%s]))", contract.LabelDieType, contract.MetricButtonClicks, rate), byLabel(contract.LabelDieType), byDie}),
	}
	for _, service := range contract.Services() {
		selector := contract.MetricHTTPDuration + "_bucket{job=" + query.Quote(service) + "}"
		var curves []curve
		for _, q := range []struct{ name, value, class string }{{"p50", "0.5", "c-p50"}, {"p95", "0.95", "c-p95"}, {"p99", "0.99", "c-p99"}} {
			curves = append(curves, curve{fmt.Sprintf("histogram_quantile(%s, sum by (le) (rate(%s[%s])))", q.value, selector, rate), fixed(q.name), fixed(q.class)})
		}
		out = append(out, lines(panel{Title: "Latency of " + service, Unit: "time to answer; each dot is a request, and opens its trace"}, secondsText, selector, curves...))
	}
	backend := contract.MetricBackendDuration + "_bucket"
	return append(out,
		lines(panel{Title: "Waiting for the roller", Unit: "p95 by die, as the front end measures it; dots open traces"}, secondsText, backend,
			curve{fmt.Sprintf("histogram_quantile(0.95, sum by (%s, le) (rate(%s[%s])))", contract.LabelDieType, backend, rate), byLabel(contract.LabelDieType), byDie}),
		lines(panel{Title: "Answers from the roller", Unit: "per second, by status, as the front end counts them"}, short, "",
			curve{fmt.Sprintf("sum by (%s) (rate(%s[%s]))", contract.LabelStatusCode, contract.MetricBackendRequests, rate), byLabel(contract.LabelStatusCode), byCode}),
		func(ctx context.Context) panel { return e.rollValues(ctx, win) },
		lines(panel{Title: "Spans dropped", Unit: "per minute, by service: above 0, traces are incomplete"}, short, "",
			curve{fmt.Sprintf("60 * sum by (job) (rate(%s[%s]))", contract.MetricSpansDropped, rate), byLabel("job"), byJob}))
}

// requestRate and errorRatio are shared with the overview.
func requestRate(over string) string {
	return fmt.Sprintf("sum by (job) (rate(%s[%s]))", contract.MetricHTTPRequests, over)
}

// errorRatio is 0, not absent, for a service that never failed.
func errorRatio(over string) string {
	all := requestRate(over)
	return fmt.Sprintf(`(sum by (job) (rate(%s{%s="5xx"}[%s])) or 0 * %s) / %s`, contract.MetricHTTPRequests, contract.LabelStatus, over, all, all)
}

const noData = "No data in this time. Prometheus has to scrape both services (see Targets), and someone has to roll."

func (e *explorer) draw(ctx context.Context, win window, p panel, format func(float64) string, exemplars string, curves []curve) panel {
	zone := e.Now().Location()
	plot := chart.Plot{Label: p.Title + ", " + p.Unit, Start: win.Start.In(zone), End: win.End.In(zone), Height: 150, Format: format, Max: p.max}
	p.Empty = noData
	for _, c := range curves {
		p.Queries = append(p.Queries, c.promql)
		res, err := e.Prometheus.QueryRange(ctx, c.promql, win.Start, win.End, win.step())
		if err != nil {
			p.Failure = newFailure(err)
			return p
		}
		for _, s := range res.Series {
			l := chart.Line{Name: c.name(s.Labels), Class: c.class(s.Labels), Gap: 3 * win.step()}
			for _, pt := range s.Points {
				l.Samples = append(l.Samples, chart.Sample{Time: pt.Time.In(zone), Value: pt.Value})
			}
			plot.Lines = append(plot.Lines, l)
			p.Legend = append(p.Legend, legendItem{l.Name, l.Class, format(s.Last())})
		}
	}
	if exemplars != "" {
		found, err := e.Prometheus.Exemplars(ctx, exemplars, win.Start, win.End)
		if err != nil {
			p.Failure = newFailure(err)
			return p
		}
		for _, x := range found {
			if x.TraceID == "" {
				continue
			}
			plot.Dots = append(plot.Dots, chart.Dot{Time: x.Time.In(zone), Value: x.Value, Class: "c-exemplar", Href: "/traces/" + x.TraceID,
				Title: "trace " + x.TraceID[:8] + "  " + secondsText(x.Value) + "  at " + x.Time.In(zone).Format("15:04:05")})
		}
		p.Exemplars = len(plot.Dots)
	}
	if len(plot.Lines) > 0 || len(plot.Dots) > 0 {
		p.Chart = plot.HTML()
	}
	return p
}

// rollValues draws how often each value was rolled: the buckets of a histogram
// hold all values up to their bound, so each has the one below taken off.
func (e *explorer) rollValues(ctx context.Context, win window) panel {
	length := strconv.Itoa(int(win.End.Sub(win.Start).Seconds())) + "s"
	promql := fmt.Sprintf("sum by (%s, le) (increase(%s_bucket[%s]))", contract.LabelDieType, contract.MetricDiceRollValue, length)
	p := panel{Title: "Values rolled", Unit: "how often, in this time, by die", Queries: []string{promql}, Empty: noData}
	res, err := e.Prometheus.Query(ctx, promql, win.End)
	if err != nil {
		p.Failure = newFailure(err)
		return p
	}
	upTo := map[string]map[float64]float64{}
	sum := 0.0
	for _, s := range res.Series {
		le, err := strconv.ParseFloat(s.Labels["le"], 64)
		if err != nil {
			p.Failure = newFailure(fmt.Errorf("reading the buckets of %s: %q is not a bound", contract.MetricDiceRollValue, s.Labels["le"]))
			return p
		}
		die := s.Labels[contract.LabelDieType]
		if upTo[die] == nil {
			upTo[die] = map[float64]float64{}
		}
		upTo[die][le] = s.Last()
		sum += s.Last()
	}
	if !(sum > 0) {
		return p
	}
	bars := chart.Bars{Label: p.Title + ", " + p.Unit, Height: 150, Format: short, Max: 4}
	for _, bound := range contract.RollValueBuckets() {
		g := chart.Group{Label: short(bound)}
		for _, die := range contract.Dice() {
			// increase() extrapolates: counts come out broken and are rounded.
			n := math.Round(upTo[die][bound] - upTo[die][bound-1])
			g.Bars = append(g.Bars, chart.Bar{Class: dieClass(die), Value: n, Title: fmt.Sprintf("%s die, value %g: %s", die, bound, count(int(n), "time", "times"))})
		}
		bars.Groups = append(bars.Groups, g)
	}
	for _, die := range contract.Dice() {
		p.Legend = append(p.Legend, legendItem{die, dieClass(die), short(math.Round(upTo[die][math.Inf(1)]))})
	}
	p.Chart = bars.HTML()
	return p
}

// number writes a value in full.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 10, 64) }
