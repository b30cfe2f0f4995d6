package explorer

import (
	"cmp"
	"context"
	"html/template"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/grafana"
	"dicelab/internal/query"
)

type overviewView struct {
	Services       []serviceRow
	Cards          bool     // few enough to be shown as cards
	MoreServices   int      // that are not shown
	Quiet          []choice // services that handled nothing in this time
	MoreQuiet      int
	MetricsFailure *failure
	TargetsFailure *failure
	TracesFailure  *failure
	Map            template.HTML
	Traces         traceRows
	Scatter        template.HTML
	FrontendURL    string
	Backends       []backend
	When           string // the time, at the end of a sentence
	InputError     string
	Notes          []note
	NotCompared    []string
	Compared       bool
	CompareWhen    string
	Agreements     []agreement
}

// serviceRow is a service's state at one glance.
type serviceRow struct {
	Name, Class string
	redText
	Health, HealthClass              string // of its scrapes; "" if it is not scraped
	Href                             string
	TracesHref, FailedHref, LogsHref string
}

// The number of services that are shown as cards, and in a table.
const (
	maxCards    = 3
	maxServices = 100
)

type backend struct{ Name, URL, Signal string }

func (e *explorer) overview(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	win, err := parseWindow(r.URL.Query(), e.Now(), defaultSince)
	v := overviewView{FrontendURL: e.FrontendURL, Backends: []backend{{"Prometheus", e.Prometheus.URL(), "metrics"},
		{"Loki", e.Loki.URL(), "logs"}, {"Tempo", e.Tempo.URL(), "traces"}}}
	if v.When = win.phrase(); err != nil {
		v.InputError = err.Error()
	}
	var services map[string]*red
	var redErr error
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
	asks = append(asks, func() { services, redErr = e.reds(ctx, contract.LabelService, "", win) })
	compared := signals{e: e, win: win.newest(compareFor)}
	if v.Compared = !e.hidesNotes(); v.Compared {
		asks = append(asks, compared.ask(ctx)...)
	}
	inParallel(asks...)
	v.MetricsFailure = newFailure(cmp.Or(redErr, mapErr))
	v.TargetsFailure, v.TracesFailure = newFailure(targetsErr), newFailure(tracesErr)
	v.Scatter = e.scatter(v.Traces, spread(v.Traces, win))
	for _, name := range contract.Services() { // they are expected even if they send nothing
		if services != nil && services[name] == nil {
			services[name] = &red{p50: math.NaN(), p95: math.NaN(), p99: math.NaN()}
		}
	}
	var quiet []string
	for name, r := range services {
		if r.rate == 0 && !slices.Contains(contract.Services(), name) {
			quiet = append(quiet, name)
			delete(services, name)
		}
	}
	slices.Sort(quiet)
	v.MoreQuiet = max(0, len(quiet)-maxServices)
	for _, name := range quiet[:len(quiet)-v.MoreQuiet] {
		v.Quiet = append(v.Quiet, choice{Label: clip(cmp.Or(name, query.UnknownService)), Href: serviceHref(name) + "&" + win.values().Encode()})
	}
	var names []string
	names, v.MoreServices = busiest(services, maxServices)
	slices.SortFunc(names, compareServices)
	for _, name := range names {
		v.Services = append(v.Services, e.serviceRow(name, services[name], targets, win))
	}
	v.Cards = len(v.Services) <= maxCards
	if v.Compared {
		v.Notes, v.NotCompared = compared.notes(ctx)
		v.Agreements, v.CompareWhen = compared.agreements(names), compared.win.phrase()
	}
	status := http.StatusOK
	if v.InputError != "" {
		status = http.StatusBadRequest
	}
	e.render(w, status, "overview", page{Wide: true, Window: win.chosen(r), Time: e.timeBar(r, "/", win), Title: "Overview", Section: "Overview", Live: win.moves(), Data: v})
}

func (e *explorer) serviceRow(name string, r *red, targets []query.Target, win window) serviceRow {
	row := serviceRow{Name: clip(name), Class: e.class(name), redText: r.text(name), Href: serviceHref(name) + "&" + win.values().Encode(),
		TracesHref: "/traces?" + merge(win, "service", name),
		FailedHref: "/traces?" + merge(win, "service", name, "status", query.StatusError), LogsHref: "/logs?" + merge(win, "service", name)}
	if name == "" { // its spans name none, so it has no page
		row.Name, row.TracesHref = query.UnknownService, "/traces?"+merge(win, "service", query.UnknownService)
		row.Href, row.LogsHref = row.TracesHref, "/logs?"+win.values().Encode()
		row.FailedHref = "/traces?" + merge(win, "service", query.UnknownService, "status", query.StatusError)
	}
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

// overviewMap draws the dashboard's service graph.
func (e *explorer) overviewMap(ctx context.Context, win window) (template.HTML, error) {
	queries, err := e.graphQueries(win)
	if err != nil || len(queries) == 0 {
		return "", err
	}
	return e.serviceMap(ctx, "Who calls whom", queries, win, 0)
}

// graphQueries returns the queries of the dashboard's service graph, none if it has
// no such panel.
func (e *explorer) graphQueries(win window) ([]grafana.Query, error) {
	for _, p := range e.Dashboard.Panels {
		if p.Type == grafana.PanelNodeGraph {
			return e.Dashboard.PanelQueries(p, grafana.Settings{Range: win.End.Sub(win.Start), Step: win.step()})
		}
	}
	return nil, nil
}
