package explorer

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"dicelab/internal/query"
)

// Bounds of the page that finds metrics.
const (
	maxFound        = 100  // metrics in the list
	maxMetricSeries = 2000 // series whose labels are read
	maxLabels       = 24   // labels of a metric that a chart can be made by
)

// metricView is the page that finds a metric and draws it.
type metricView struct {
	Find         string
	Hidden       []choice
	When         string
	InputError   string
	Failures     []*failure
	Notes        []string
	Found        []foundMetric
	MoreFound    int
	Searched     bool
	Name         string // of the metric that is drawn, "" for none
	Info         query.MetricInfo
	Kind         string // kindCounter, ...
	Functions    []choice
	Labels       []labelRow
	MoreLabels   int
	Label, Value string // the one condition
	Values       []string
	MoreValues   int
	Query        string
	QueryHref    string // the page that runs it
	Graph        template.HTML
	Legend       []legendItem
	Unit         string
	Exemplars    int
	FrontendURL  string
}

// foundMetric is a metric of the list.
type foundMetric struct {
	Name, Href, Type, Help string
	Current                bool
}

// labelRow is a label of the metric that is drawn.
type labelRow struct {
	Name   string
	Values int
	By     bool
}

// Kinds of metrics: they decide which functions make sense, and which is used by default.
const (
	kindCounter   = "counter"
	kindGauge     = "gauge"
	kindHistogram = "histogram"
)

// Functions of a chart.
const (
	funcValue    = "value"
	funcRate     = "rate"
	funcIncrease = "increase"
	funcMean     = "mean"
	funcP50      = "p50"
	funcP95      = "p95"
	funcP99      = "p99"
	funcSlope    = "slope" // of a gauge, per second
)

// functionsOf returns the functions of a kind, the default first.
func functionsOf(kind string) []string {
	switch kind {
	case kindCounter:
		return []string{funcRate, funcIncrease, funcValue}
	case kindHistogram:
		return []string{funcP95, funcP50, funcP99, funcMean, funcRate}
	}
	return []string{funcValue, funcSlope}
}

func (e *explorer) metric(w http.ResponseWriter, r *http.Request) {
	params := r.URL.Query()
	v := metricView{
		Find:        trimmed(r, "find"),
		Name:        trimmed(r, "metric"),
		Label:       trimmed(r, "label"),
		Value:       trimmed(r, "val"),
		FrontendURL: e.FrontendURL,
	}
	win, err := parseWindow(params, e.Now(), defaultSince)
	if err != nil {
		v.InputError = err.Error()
	}
	v.Hidden, v.When = win.hidden(), win.phrase()
	v.Searched = v.Find != "" || v.Name == ""
	var errs [4]error
	var infos map[string]query.MetricInfo
	var names []string
	var series []map[string]string
	asks := []func(){
		func() { infos, errs[0] = e.Prometheus.Metadata(r.Context()) },
		func() { names, errs[1] = e.Prometheus.MetricNames(r.Context(), "", win.Start, win.End) },
	}
	if v.Name != "" {
		selector := `{__name__=~` + query.Quote(regexp.QuoteMeta(v.Name)+"(_bucket)?") + `}`
		asks = append(asks, func() {
			series, errs[2] = e.Prometheus.SeriesOf(r.Context(), selector, win.Start, win.End, maxMetricSeries)
		})
	}
	inParallel(asks...)
	all := map[string]bool{}
	for _, name := range names {
		all[name] = true
	}
	if v.Searched {
		errs[3] = e.find(r.Context(), &v, all, infos, win, params)
	}
	if v.Name != "" && cmp.Or(errs[1], errs[2]) == nil {
		e.describe(&v, all, series, infos, params["by"])
		e.drawMetric(r.Context(), &v, trimmed(r, "fn"), win, errs[:])
	}
	v.Failures = distinct(errs[:])
	status := statusOf(v.InputError, v.Failures)
	title := titled("Metrics", v.Name)
	if v.Name == "" {
		title = titled("Find a metric", v.Find)
	}
	e.render(
		w,
		status,
		"metric",
		page{
			Wide:    true,
			Window:  win.chosen(r),
			Time:    e.timeBar(r, "/metrics/find", win),
			Title:   title,
			Section: "Metrics",
			Live:    win.moves(),
			Data:    &v,
		},
	)
}

// baseName returns the name of the histogram or summary that a series belongs to, or name.
func baseName(name string, infos map[string]query.MetricInfo, all map[string]bool) string {
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if base, found := strings.CutSuffix(name, suffix); found &&
			(all[base+"_bucket"] || infos[base].Type == "summary" || infos[base].Type == kindHistogram) {
			return base
		}
	}
	return name
}

// find lists the metrics that have all words of the search in their name, their help, or
// their labels: a label's name, or label=value.
func (e *explorer) find(
	ctx context.Context,
	v *metricView,
	all map[string]bool,
	infos map[string]query.MetricInfo,
	win window,
	params url.Values,
) error {
	matches := map[string]bool{}
	for name := range all {
		matches[baseName(name, infos, all)] = true
	}
	var failure error
	for _, word := range strings.Fields(v.Find) {
		labelled, err := e.labelled(ctx, word, win)
		failure = cmp.Or(failure, err)
		has := map[string]bool{}
		for _, name := range labelled {
			has[baseName(name, infos, all)] = true
		}
		lower := strings.ToLower(word)
		for name := range matches {
			if !has[name] && !strings.Contains(strings.ToLower(name), lower) &&
				!strings.Contains(strings.ToLower(infoOf(name, infos).Help), lower) {
				delete(matches, name)
			}
		}
	}
	for name := range matches {
		p := url.Values{}
		for k, vs := range params {
			if k == "since" || k == "start" || k == "end" || k == "find" {
				p[k] = vs
			}
		}
		p.Set("metric", name)
		info := infoOf(name, infos)
		kind := kindOf(name, info, all)
		v.Found = append(
			v.Found,
			foundMetric{
				Name:    name,
				Href:    "/metrics/find?" + p.Encode(),
				Type:    cmp.Or(strings.TrimPrefix(info.Type, "unknown"), kind),
				Help:    info.Help,
				Current: name == v.Name,
			},
		)
	}
	slices.SortFunc(v.Found, func(a, b foundMetric) int { return strings.Compare(a.Name, b.Name) })
	v.MoreFound = max(0, len(v.Found)-maxFound)
	v.Found = v.Found[:len(v.Found)-v.MoreFound]
	return failure
}

// labelled lists the metrics that have a label, or a label with a value.
func (e *explorer) labelled(ctx context.Context, word string, win window) ([]string, error) {
	name, value, isPair := strings.Cut(word, "=")
	if !isLabel(name) {
		return nil, nil
	}
	selector := "{" + name + `!=""}`
	if isPair {
		selector = "{" + name + "=" + query.Quote(strings.Trim(value, `"`)) + "}"
	}
	return e.Prometheus.MetricNames(ctx, selector, win.Start, win.End)
}

func isLabel(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" &&
		(s[0] < '0' || s[0] > '9') &&
		s != "__name__"
}

// infoOf returns what is known of a metric: of a counter by its name without _total too, as
// some servers have it.
func infoOf(name string, infos map[string]query.MetricInfo) query.MetricInfo {
	if info, known := infos[name]; known {
		return info
	}
	return infos[strings.TrimSuffix(name, "_total")]
}

func kindOf(name string, info query.MetricInfo, all map[string]bool) string {
	switch {
	case all[name+"_bucket"]:
		return kindHistogram
	case info.Type == kindCounter,
		info.Type != kindGauge && strings.HasSuffix(name, "_total"),
		all[strings.TrimSuffix(name, "_count")+"_sum"] && strings.HasSuffix(name, "_count"):
		return kindCounter
	}
	return kindGauge
}

// describe fills in what is known of the metric that is drawn.
func (e *explorer) describe(
	v *metricView,
	all map[string]bool,
	series []map[string]string,
	infos map[string]query.MetricInfo,
	by []string,
) {
	v.Info = infoOf(v.Name, infos)
	v.Kind = kindOf(v.Name, v.Info, all)
	values := map[string]map[string]bool{}
	for _, labels := range series {
		for k, value := range labels {
			if k == "__name__" || k == "le" {
				continue
			}
			if values[k] == nil {
				values[k] = map[string]bool{}
			}
			values[k][value] = true
		}
	}
	if len(series) == maxMetricSeries {
		v.Notes = append(
			v.Notes,
			fmt.Sprintf("The labels are those of the first %s series.", grouped(maxMetricSeries)),
		)
	}
	for name, set := range values {
		v.Labels = append(v.Labels, labelRow{Name: name, Values: len(set), By: slices.Contains(by, name)})
	}
	slices.SortFunc(v.Labels, func(a, b labelRow) int {
		return cmp.Or(
			cmp.Compare(min(2, b.Values), min(2, a.Values)),
			cmp.Compare(a.Name, b.Name),
		) // those that distinguish series first
	})
	v.MoreLabels = max(0, len(v.Labels)-maxLabels)
	v.Labels = v.Labels[:len(v.Labels)-v.MoreLabels]
	for value := range values[v.Label] {
		v.Values = append(v.Values, value)
	}
	slices.Sort(v.Values)
	v.MoreValues = max(0, len(v.Values)-maxListedValues)
	v.Values = v.Values[:len(v.Values)-v.MoreValues]
}

// drawMetric writes the query and draws it.
func (e *explorer) drawMetric(ctx context.Context, v *metricView, function string, win window, errs []error) {
	functions := functionsOf(v.Kind)
	if !slices.Contains(functions, function) {
		if function != "" {
			v.Notes = append(
				v.Notes,
				fmt.Sprintf("%.20q does not go with a %s: %s is shown.", function, v.Kind, functions[0]),
			)
		}
		function = functions[0]
	}
	v.Functions = options(functions, function)
	var by []string
	for _, l := range v.Labels {
		if l.By {
			by = append(by, l.Name)
		}
	}
	matcher := ""
	if v.Label != "" && v.Value != "" {
		if !isLabel(v.Label) {
			v.Notes = append(
				v.Notes,
				fmt.Sprintf("%.40q is no name of a label: the condition is left out.", v.Label),
			)
		} else {
			matcher = "{" + v.Label + "=" + query.Quote(v.Value) + "}"
		}
	}
	v.Query = metricQuery(v.Name, v.Kind, function, matcher, by, win)
	v.QueryHref = "/metrics?" + merge(win, "q", v.Query)
	format := short
	seconds := strings.Contains(v.Name, "seconds") || strings.Contains(v.Name, "latency") ||
		strings.Contains(v.Name, "duration")
	switch {
	case function == funcRate, function == funcSlope:
		v.Unit = "per second"
	case function == funcIncrease:
		v.Unit = "in each " + win.rateWindow()
	case seconds && (v.Kind == kindHistogram || v.Kind == kindGauge):
		format, v.Unit = secondsText, "duration"
	}
	found, err := e.Prometheus.QueryRange(ctx, v.Query, win.Start, win.End, win.step())
	if err != nil {
		errs[0] = cmp.Or(errs[0], err)
		return
	}
	p := e.plot(v.Name+", "+function, format, win)
	p.Height = 240
	classes := e.seriesClasses(found.Series)
	for i, s := range found.Series[:min(len(found.Series), maxDrawn)] {
		delete(s.Labels, "__name__")
		name := seriesName(s.Labels)
		if len(s.Labels) == 0 {
			name = function
		}
		p.line(name, classes[i], s)
	}
	if n := len(found.Series); n > maxDrawn {
		v.Notes = append(
			v.Notes,
			fmt.Sprintf(
				"The chart shows the first %d of %s series, and %s more are not drawn: add a condition, or choose fewer labels.",
				maxDrawn,
				grouped(n),
				grouped(n-maxDrawn),
			),
		)
	}
	if v.Kind == kindHistogram && function != funcRate {
		selector := v.Name + "_bucket" + matcher
		exemplars, err := e.Prometheus.Exemplars(ctx, selector, win.Start, win.End)
		if err != nil {
			errs[0] = cmp.Or(errs[0], err)
		}
		p.Dots = e.exemplarDots(thin(exemplars, win), format)
		v.Exemplars = len(p.Dots)
	}
	v.Graph, v.Legend = p.drawn()
}

// metricQuery writes the PromQL of a chart.
func metricQuery(name, kind, function, matcher string, by []string, win window) string {
	grouped := func(aggregate string, labels ...string) string {
		if labels = append(labels, by...); len(labels) > 0 {
			return aggregate + " by (" + strings.Join(labels, ", ") + ") "
		}
		return aggregate + " "
	}
	over := "[" + win.rateWindow() + "]"
	if kind == kindHistogram {
		quantile := map[string]string{funcP50: "0.5", funcP95: "0.95", funcP99: "0.99"}[function]
		switch {
		case quantile != "":
			return "histogram_quantile(" + quantile + ", " + grouped(
				"sum",
				"le",
			) + "(rate(" + name + "_bucket" + matcher + over + ")))"
		case function == funcMean:
			return grouped(
				"sum",
			) + "(rate(" + name + "_sum" + matcher + over + ")) / " + grouped(
				"sum",
			) + "(rate(" + name + "_count" + matcher + over + "))"
		}
		return grouped("sum") + "(rate(" + name + "_count" + matcher + over + "))"
	}
	switch function {
	case funcRate, funcIncrease:
		return grouped("sum") + "(" + function + "(" + name + matcher + over + "))"
	case funcSlope:
		return grouped("sum") + "(deriv(" + name + matcher + over + "))"
	}
	if len(by) > 0 {
		return grouped("sum") + "(" + name + matcher + ")"
	}
	return name + matcher
}
