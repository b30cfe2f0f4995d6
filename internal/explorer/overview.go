package explorer

import (
	"context"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/grafana"
	"dicelab/internal/query"
)

type overviewView struct {
	Services       []serviceRow
	MetricsFailure *failure
	TargetsFailure *failure
	TracesFailure  *failure
	Map            template.HTML
	Traces         []traceRow
	Scatter        template.HTML
	FrontendURL    string
	Backends       []backend
}

// serviceRow is a service's state at one glance.
type serviceRow struct {
	Name, Class           string
	Rate, Errors, P95     string
	Failing, Known        bool
	Health, HealthClass   string
	TracesHref, LogsHref  string
	FailedHref, ScrapeURL string
}

type backend struct{ Name, URL, Signal string }

func (e *explorer) overview(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	win, err := parseWindow(nil, e.Now(), "15m")
	if err != nil {
		e.message(w, http.StatusInternalServerError, "This page failed", err.Error())
		return
	}
	v := overviewView{FrontendURL: e.FrontendURL, Backends: []backend{{"Prometheus", e.Prometheus.URL(), "metrics"},
		{"Loki", e.Loki.URL(), "logs"}, {"Tempo", e.Tempo.URL(), "traces"}}}
	p95 := fmt.Sprintf("histogram_quantile(0.95, sum by (job, le) (rate(%s_bucket[%s])))", contract.MetricHTTPDuration, win.rateWindow())
	queries := []string{requestRate(win.rateWindow()), errorRatio(win.rateWindow()), p95}
	results, errs := make([]*query.Result, len(queries)), make([]error, len(queries))
	var targets []query.Target
	var targetsErr, tracesErr, mapErr error
	asks := []func(){
		func() { targets, targetsErr = e.Prometheus.Targets(ctx) },
		func() {
			v.Traces, _, tracesErr = e.search(ctx, query.Search{Start: win.Start, End: win.End, Limit: 12})
		},
	}
	asks = append(asks, func() {
		v.Map, mapErr = e.overviewMap(ctx, win)
	})
	for i := range queries {
		asks = append(asks, func() { results[i], errs[i] = e.Prometheus.Query(ctx, queries[i], e.Now()) })
	}
	inParallel(asks...)
	for _, err := range append(errs, mapErr) {
		if err != nil {
			v.MetricsFailure = newFailure(err)
		}
	}
	v.TargetsFailure, v.TracesFailure = newFailure(targetsErr), newFailure(tracesErr)
	if n := len(v.Traces); n > 0 {
		// From just before the oldest that is shown, so that a burst spreads out.
		oldest := min(win.End.Sub(v.Traces[n-1].start), win.End.Sub(win.Start))
		span := max(time.Minute, oldest*21/20)
		v.Scatter = scatter(v.Traces, window{Start: win.End.Add(-span), End: win.End}, e.Now().Location())
	}
	for _, name := range contract.Services() {
		row := e.service(name, results, targets, win)
		if targetsErr != nil {
			row.Health, row.HealthClass = "unknown", ""
		}
		v.Services = append(v.Services, row)
	}
	e.render(w, http.StatusOK, "overview", page{Title: "Overview", Section: "Overview", Live: true, Data: v})
}

func (e *explorer) service(name string, results []*query.Result, targets []query.Target, win window) serviceRow {
	value := func(i int) float64 {
		if results[i] != nil {
			for _, s := range results[i].Series {
				if s.Labels["job"] == name {
					return s.Last()
				}
			}
		}
		return math.NaN()
	}
	row := serviceRow{Name: name, Class: e.class(name), Rate: short(value(0)), Errors: percent(value(1)), Failing: value(1) > 0,
		P95: secondsText(value(2)), Health: "not scraped", HealthClass: "warn", Known: !math.IsNaN(value(0)),
		TracesHref: "/traces?" + merge(win, "service", name), FailedHref: "/traces?" + merge(win, "service", name, "status", query.StatusError),
		LogsHref: "/logs?" + merge(win, "service", name)}
	for _, t := range targets {
		if t.Job == name {
			row.Health, row.HealthClass = t.Health, healthClass(t.Health)
		}
	}
	return row
}

// merge writes parameters and the window's own.
func merge(w window, pairs ...string) string {
	p := w.values()
	for i := 0; i+1 < len(pairs); i += 2 {
		p.Set(pairs[i], pairs[i+1])
	}
	return p.Encode()
}

// rateWindow returns the time over which rates are taken: a minute, which holds four
// scrapes of a slow set-up, or two steps if those are longer.
func (w window) rateWindow() string {
	return strconv.Itoa(int(max(time.Minute, 2*w.step()).Seconds())) + "s"
}

// requestRate returns the PromQL query of requests a second, by service.
func requestRate(over string) string {
	return fmt.Sprintf("sum by (job) (rate(%s[%s]))", contract.MetricHTTPRequests, over)
}

// errorRatio returns a query that is 0, not absent, for a service that never failed.
func errorRatio(over string) string {
	all := requestRate(over)
	return fmt.Sprintf(`(sum by (job) (rate(%s{%s="5xx"}[%s])) or 0 * %s) / %s`, contract.MetricHTTPRequests, contract.LabelStatus, over, all, all)
}

// overviewMap returns the dashboard's service graph.
func (e *explorer) overviewMap(ctx context.Context, win window) (template.HTML, error) {
	for _, p := range e.Dashboard.Panels {
		if p.Type != grafana.PanelNodeGraph {
			continue
		}
		queries, err := e.Dashboard.PanelQueries(p, grafana.Settings{Range: win.End.Sub(win.Start), Step: win.step()})
		if err != nil {
			return "", err
		}
		return e.serviceMap(ctx, "Who calls whom", queries, win, 0)
	}
	return "", nil
}
