package explorer

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
)

// How much of a service its page shows.
const (
	maxOperations    = 50
	maxServiceTraces = 8
	maxServiceLines  = 12
	maxNames         = 200 // of metrics
)

// serviceView is the page of a service: what the span metrics say of it, who calls it
// and whom it calls, and its newest traces, log lines and metrics.
type serviceView struct {
	Name, Class      string
	When, InputError string
	Failures         []*failure
	Now              redText
	Charts           []serviceChart
	Operations       []operationRow
	MoreOperations   int
	Callers, Callees []callRow
	Traces, Failed   traceRows
	Lines            []logRow
	Metrics          []choice
	MoreMetrics      int
	TracesHref       string
	FailedHref       string
	LogsHref         string
	Known            bool // something is stored of it
}

// serviceChart is a chart over the time of the page.
type serviceChart struct {
	Title, Unit string
	Chart       template.HTML
	Legend      []legendItem
	Query       string // a link to it as PromQL
}

// operationRow is an operation: spans of one name.
type operationRow struct {
	Name string
	redText
	TracesHref, FailedHref string
}

// callRow is another service that is called, or calls.
type callRow struct {
	Name, Class, Href     string
	Rate, Failed, Latency string
	Failing               bool
}

// serviceHref returns the page of a service.
func serviceHref(name string) string {
	return "/service?" + url.Values{"name": {name}}.Encode()
}

func (e *explorer) service(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	v := serviceView{Name: r.URL.Query().Get("name")}
	if v.Name == "" {
		e.message(w, http.StatusBadRequest, "Which service?", "Give its name: /service?name=NAME. The overview lists all.")
		return
	}
	win, err := parseWindow(r.URL.Query(), e.Now(), defaultSince)
	if err != nil {
		v.InputError = err.Error()
	}
	v.Class, v.When = e.class(v.Name), win.phrase()
	v.TracesHref, v.LogsHref = "/traces?"+merge(win, "service", v.Name), "/logs?"+merge(win, "service", v.Name)
	v.FailedHref = "/traces?" + merge(win, "service", v.Name, "status", query.StatusError)
	of := contract.LabelService + "=" + query.Quote(v.Name)
	v.Charts = serviceCharts(of, win)
	var all, operations map[string]*red
	var own []ownMetric
	var errs [8]error
	asks := []func(){
		func() { all, errs[0] = e.reds(ctx, contract.LabelService, of, win) },
		func() { operations, errs[1] = e.reds(ctx, contract.LabelSpanName, of, win) },
		func() { errs[2] = e.calls(ctx, &v, win) },
		func() {
			v.Traces, _, errs[3] = e.search(ctx, query.Search{TraceQL: query.SpanFilter{Service: v.Name}.TraceQL(), Start: win.Start, End: win.End, Limit: maxServiceTraces})
		},
		func() {
			v.Failed, _, errs[4] = e.search(ctx, query.Search{TraceQL: query.SpanFilter{Service: v.Name, Status: query.StatusError}.TraceQL(),
				Start: win.Start, End: win.End, Limit: maxServiceTraces})
		},
		func() { v.Lines, errs[5] = e.serviceLines(ctx, v.Name, win) },
		func() { own, errs[6] = e.metricNames(ctx, v.Name) },
		func() { errs[7] = e.drawCharts(ctx, v.Charts, of, win) },
	}
	inParallel(asks...)
	v.Failures = distinct(errs[:])
	v.Now = all[v.Name].text(v.Name)
	v.showOperations(operations, win)
	v.MoreMetrics = max(0, len(own)-maxNames)
	for _, m := range own[:len(own)-v.MoreMetrics] {
		v.Metrics = append(v.Metrics, choice{Label: m.name, Href: m.href(win)})
	}
	v.Known = all[v.Name] != nil || len(v.Traces)+len(v.Lines)+len(own) > 0
	status := statusOf(v.InputError, v.Failures)
	e.render(w, status, "service", page{Wide: true, Window: win.chosen(r), Service: v.Name, Time: e.timeBar(r, "/service", win), Title: titled("service", clip(v.Name)), Section: "Overview",
		Live: win.moves(), Data: v})
}

// statusOf returns the status of a page with a mistake of the reader's, or failures of servers.
func statusOf(inputError string, failures []*failure) int {
	switch {
	case inputError != "":
		return http.StatusBadRequest
	case len(failures) > 0:
		return failures[0].status()
	}
	return http.StatusOK
}

// distinct returns the failures of a page's requests, each server's once.
func distinct(errs []error) (out []*failure) {
	for _, err := range errs {
		f := newFailure(err)
		if f == nil || slices.ContainsFunc(out, func(other *failure) bool { return other.Title == f.Title && other.Message == f.Message }) {
			continue
		}
		out = append(out, f)
	}
	return out
}

func (v *serviceView) showOperations(by map[string]*red, win window) {
	var names []string
	names, v.MoreOperations = busiest(by, maxOperations)
	for _, name := range names {
		v.Operations = append(v.Operations, operationRow{Name: clip(name), redText: by[name].text(v.Name),
			TracesHref: "/traces?" + merge(win, "service", v.Name, "name", name),
			FailedHref: "/traces?" + merge(win, "service", v.Name, "name", name, "status", query.StatusError)})
	}
}

// rangeWindow returns the whole time of a page, as a range of PromQL.
func (w window) rangeWindow() string {
	return strconv.Itoa(max(60, int(w.End.Sub(w.Start).Seconds()))) + "s"
}

// serviceCharts returns the charts of a page, not yet drawn.
func serviceCharts(of string, win window) []serviceChart {
	asked := func(q string) string { return "/metrics?" + merge(win, "q", q) }
	return []serviceChart{
		{Title: "Requests", Unit: "per second", Query: asked(outcomes(of, win))},
		{Title: "Duration", Unit: "seconds", Query: asked(spanQuantile(.95, of, win.rateWindow(), contract.LabelService))},
	}
}

// outcomes returns a query of the spans that were handled, by status; of all spans where
// none were.
func outcomes(of string, win window) string {
	return spanRate(and(of, handled), win.rateWindow(), "status_code") + " or " + spanRate(of, win.rateWindow(), "status_code")
}

// drawCharts draws the charts that serviceCharts has returned.
func (e *explorer) drawCharts(ctx context.Context, charts []serviceChart, of string, win window) error {
	byStatus, err := e.Prometheus.QueryRange(ctx, outcomes(of, win), win.Start, win.End, win.step())
	if err != nil {
		return err
	}
	rate := e.plot("Requests per second, by outcome", short, win)
	for _, s := range byStatus.Series {
		name, class := "not failed", "c-s0"
		if s.Labels["status_code"] == "STATUS_CODE_ERROR" {
			name, class = "failed", "c-bad"
		} else if s.Labels["status_code"] == "STATUS_CODE_OK" {
			name, class = "ok", "c-ok"
		}
		rate.line(name, class, s)
	}
	duration := e.plot("Duration of requests", secondsText, win)
	for i, q := range quantiles() {
		found, err := e.Prometheus.QueryRange(ctx, spanQuantile(q, of, win.rateWindow(), contract.LabelService), win.Start, win.End, win.step())
		if err != nil {
			return err
		}
		for _, s := range found.Series {
			duration.line(fmt.Sprintf("p%g", q*100), "c-q"+strconv.Itoa(i), s)
		}
	}
	exemplars, err := e.Prometheus.Exemplars(ctx, fmt.Sprintf("%s_bucket{%s}", contract.MetricSpanLatency, of), win.Start, win.End)
	if err != nil {
		return err
	}
	duration.Dots = e.exemplarDots(thin(exemplars, win), secondsText)
	charts[0].Chart, charts[0].Legend = rate.drawn()
	charts[1].Chart, charts[1].Legend = duration.drawn()
	return nil
}

// plotted is a plot with its legend.
type plotted struct {
	chart.Plot
	e      *explorer
	win    window
	legend []legendItem
}

func (e *explorer) plot(label string, format func(float64) string, win window) *plotted {
	zone := e.Now().Location()
	return &plotted{chart.Plot{Label: label, Start: win.Start.In(zone), End: win.End.In(zone), Height: 170, Format: format, Moments: e.moments()}, e, win, nil}
}

// line adds a series, unless nothing of it is known.
func (p *plotted) line(name, class string, s query.Series) {
	l := chart.Line{Name: name, Class: class, Gap: 3 * p.win.step()}
	known := false
	for _, pt := range s.Points {
		known = known || !math.IsNaN(pt.Value)
		l.Samples = append(l.Samples, chart.Sample{Time: pt.Time.In(p.Start.Location()), Value: pt.Value})
	}
	if known {
		p.Lines, p.legend = append(p.Lines, l), append(p.legend, legendItem{name, class, p.Format(s.Last())})
	}
}

func (p *plotted) drawn() (template.HTML, []legendItem) {
	if len(p.Lines) == 0 && len(p.Dots) == 0 {
		return "", nil
	}
	return p.HTML(), p.legend
}

// calls fills in who calls the service and whom it calls, from the service graph.
func (e *explorer) calls(ctx context.Context, v *serviceView, win window) error {
	queries, err := e.graphQueries(win)
	if err != nil || len(queries) == 0 {
		return err
	}
	calls, err := e.edges(ctx, queries, win)
	if err != nil {
		return err
	}
	for _, c := range calls {
		row := func(name string) callRow {
			r := callRow{Name: clip(name), Class: e.class(name), Rate: short(c.requests) + " /s", Failed: percent(c.failed / c.requests),
				Latency: secondsText(c.seconds / c.requests), Failing: c.failed > expectedFailures(c.server)*c.requests}
			if name != contract.ClientUser {
				r.Href = serviceHref(name) + "&" + win.values().Encode()
			}
			return r
		}
		if c.server == v.Name {
			v.Callers = append(v.Callers, row(c.client))
		}
		if c.client == v.Name {
			v.Callees = append(v.Callees, row(c.server))
		}
	}
	return nil
}

func (e *explorer) serviceLines(ctx context.Context, name string, win window) (rows []logRow, err error) {
	found, err := e.Loki.QueryRange(ctx, query.LogQuery{LogQL: query.LogFilter{Service: name}.LogQL(), Start: win.Start, End: win.End, Limit: maxServiceLines})
	if err != nil {
		return nil, err
	}
	for _, l := range found.Lines {
		rows = append(rows, e.logRow(l))
	}
	return rows, nil
}

// jobOf matches the series that a service exposes, or sends: Prometheus's job is the name
// of the service, after its namespace if it has one.
func jobOf(service string) string {
	return "job=~" + query.Quote("(.+/)?"+regexp.QuoteMeta(service))
}

// ownMetric is a metric of a service, and its job, in which a namespace may stand before the
// name of the service.
type ownMetric struct{ name, job string }

// href returns the page of the metric.
func (m ownMetric) href(win window) string {
	return "/metrics/find?" + merge(win, "metric", strings.TrimSuffix(m.name, "_bucket"), "label", "job", "val", m.job)
}

// metricNames lists the metrics of a service, by name.
func (e *explorer) metricNames(ctx context.Context, service string) (list []ownMetric, err error) {
	found, err := e.Prometheus.Query(ctx, "group by (__name__, job) ({"+jobOf(service)+"})", e.Now())
	if err != nil {
		return nil, err
	}
	for _, s := range found.Series {
		list = append(list, ownMetric{cmp.Or(s.Labels["__name__"], "?"), s.Labels["job"]})
	}
	slices.SortFunc(list, func(a, b ownMetric) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.job, b.job)) })
	return list, nil
}
