package explorer

import (
	"cmp"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
)

// logLimit is the number of lines on a page.
const logLimit = 200

type logsView struct {
	Query, Service, Level, Text, TraceID, SpanID string
	Services, Levels, Hidden                     []choice
	Fields                                       []query.FieldCondition
	Conditions                                   []fieldCond
	Facets                                       []facet
	MoreFacets                                   int
	FacetsOpen                                   bool
	When                                         string // the time, at the end of a sentence
	Tail                                         string // sends the lines that come; "" if the time does not move
	Ahead                                        string // the page of lines that are ahead of the clock, "" if there is none
	AheadText                                    string
	InputError                                   string
	Failure                                      *failure
	Notes                                        []string
	Lines                                        []logRow
	MoreServices                                 int
	Cut                                          bool // there are older ones
	Marked                                       int
	Older                                        string // "" if all are shown
	Graph                                        template.HTML
	Legend                                       []legendItem
	FrontendURL                                  string
	TraceHref                                    string
	Asked                                        bool // a query that gave nothing, rather than an empty store
}

// logRow is a line in the list.
type logRow struct {
	ID                            string
	Time                          moment
	Level, LevelClass             string
	Service, Class, Message, Text string
	Summary                       []query.Field // the line's own fields, those that differ from line to line
	Fields                        []query.Field
	Labels, Metadata              []query.Field
	TraceID, TraceShort, SpanID   string
	TraceHref                     string
	Marked                        bool   // written in the span that was asked for
	More                          string // says how much of the line is left out
}

func (e *explorer) logs(w http.ResponseWriter, r *http.Request) {
	v := logsView{FrontendURL: e.FrontendURL}
	params := r.URL.Query()
	win, err := parseWindow(params, e.Now(), defaultSince)
	if err = cmp.Or(v.parse(r), err); err != nil {
		v.InputError = err.Error()
	}
	v.Hidden, v.When = win.hidden(), win.phrase()
	v.Conditions = fieldConds(v.Fields, params)
	v.Asked = v.Query != query.LogFilter{}.LogQL()
	var res *query.LogResult
	var queryErr, servicesErr error
	var services []string
	asks := []func(){func() {
		services, servicesErr = e.Loki.LabelValues(r.Context(), contract.StreamService, win.Start, win.End)
	}}
	if v.InputError == "" {
		asks = append(asks, func() {
			res, queryErr = e.Loki.QueryRange(r.Context(), query.LogQuery{LogQL: v.Query, Start: win.Start, End: win.End, Limit: logLimit, Step: win.step()})
		})
	}
	inParallel(asks...)
	v.Failure = newFailure(queryErr)
	if v.Failure == nil && servicesErr != nil {
		v.Notes = append(v.Notes, "The list of services is incomplete: "+servicesErr.Error())
	}
	v.Services = options(services, v.Service)
	v.Services, v.MoreServices = v.Services[:min(len(v.Services), maxOptions)], max(0, len(v.Services)-maxOptions)
	v.Levels = levelOptions(v.Level)
	if res != nil {
		v.show(e, res, win, params)
	}
	e.complement(r, &v, res, win)
	status := v.Failure.status()
	if v.InputError != "" {
		status = http.StatusBadRequest
	}
	e.render(w, status, "logs", page{Wide: true, Window: win.chosen(r), Service: v.Service, Time: e.timeBar(r, "/logs", win),
		Title: titled("Logs", v.Service, strings.ToLower(v.Level), v.Text), Section: "Logs", Live: win.moves(), Data: v})
}

// parse reads the conditions of a request.
func (v *logsView) parse(r *http.Request) (err error) {
	v.Query, v.Service, v.Level, v.Text = trimmed(r, "q"), trimmed(r, "service"), levelParam(r), trimmed(r, "text")
	v.TraceID, v.SpanID = trimmed(r, "trace_id"), trimmed(r, "span_id")
	if v.Fields, err = readFields(r.URL.Query()); err != nil {
		return err
	}
	return v.read()
}

// complement adds what belongs to the lines: their number over time, their fields, those
// that come, and those that are ahead of the clock.
func (e *explorer) complement(r *http.Request, v *logsView, res *query.LogResult, win window) {
	params := r.URL.Query()
	var graphErr, countErr, aheadErr error
	var asks []func()
	if len(v.Lines) > 0 {
		v.facets(res.Lines, params)
		asks = append(asks, func() {
			v.Graph, v.Legend, graphErr = e.histogram(r.Context(), v.Query, win, func(w window) string { return changed(r, "/logs", w) })
		})
	}
	if v.FacetsOpen = params.Has("count"); v.FacetsOpen {
		asks = append(asks, func() { countErr = e.countFacet(r.Context(), v, win, params) })
	}
	if res != nil && res.Type == "streams" && win.moves() {
		params.Set("after", strconv.FormatInt(win.End.Add(-tailOverlap).UnixNano(), 10))
		v.Tail = "/logs/tail?" + params.Encode()
		if !e.hidesNotes() || v.TraceID != "" && len(v.Lines) == 0 {
			asks = append(asks, func() { aheadErr = e.ahead(r, v) })
		}
	}
	inParallel(asks...)
	if graphErr != nil {
		v.Notes = append(v.Notes, "The lines could not be counted over time: "+graphErr.Error())
	}
	for _, err := range []error{countErr, aheadErr} {
		if err != nil {
			v.Notes = append(v.Notes, err.Error())
		}
	}
}

// aheadOf returns the time behind now, in which nothing can lie unless a clock is wrong.
func aheadOf(now time.Time) window {
	return window{Start: now.Add(time.Second), End: now.Add(maxAhead)}
}

// maxAhead is the time beyond now in which lines and spans are searched.
const maxAhead = 24 * time.Hour

// ahead looks for lines of the query whose time has not come yet.
func (e *explorer) ahead(r *http.Request, v *logsView) error {
	win := aheadOf(e.Now())
	found, err := e.Loki.QueryRange(r.Context(), query.LogQuery{LogQL: v.Query, Start: win.Start, End: win.End, Limit: logLimit})
	if err != nil {
		return fmt.Errorf("looking for lines that are ahead of the clock: %w", err)
	}
	if len(found.Lines) == 0 {
		return nil
	}
	newest := found.Lines[0]
	n := strconv.Itoa(len(found.Lines))
	if len(found.Lines) == logLimit {
		n = "more than " + n
	}
	v.Ahead = changed(r, "/logs", win)
	v.AheadText = fmt.Sprintf("%s %s ahead of this machine's clock, by up to %s: %s.", n, plural(len(found.Lines), "line is", "lines are"),
		duration(newest.Time.Sub(e.Now()).Truncate(100*time.Millisecond)), cmp.Or(newest.Service(), query.UnknownService))
	return nil
}

// changed returns the page of a request for another time.
func changed(r *http.Request, path string, w window) string {
	v := r.URL.Query()
	v.Del("since")
	for k, vs := range w.values() {
		v[k] = vs
	}
	return path + "?" + v.Encode()
}

// read makes the query from the filters unless one was typed.
func (v *logsView) read() (err error) {
	if v.TraceID != "" {
		if v.TraceID, err = query.ParseTraceID(v.TraceID); err != nil {
			return err
		}
		v.TraceHref = "/traces/" + v.TraceID
	}
	if v.SpanID != "" {
		if v.SpanID, err = query.ParseSpanID(v.SpanID); err != nil {
			return err
		}
		if v.TraceHref != "" {
			v.TraceHref = spanHref(v.TraceID, v.SpanID)
		}
	}
	if v.Query == "" {
		v.Query = query.LogFilter{Service: v.Service, Level: v.Level, Text: v.Text, TraceID: v.TraceID, Fields: v.Fields}.LogQL()
	}
	return nil
}

func (v *logsView) show(e *explorer, res *query.LogResult, win window, params url.Values) {
	if res.Type != "streams" {
		v.Graph, v.Legend = e.seriesGraph("Result of the LogQL query", res.Series, win)
		if more := len(res.Series) - maxDrawn; more > 0 {
			v.Notes = append(v.Notes, fmt.Sprintf("The chart shows the first %d series, and %s more are not drawn.", maxDrawn, grouped(more)))
		}
		return
	}
	seen := map[string]int{}
	for _, l := range res.Lines {
		row := e.lineRow(l, seen)
		if row.Marked = v.SpanID != "" && row.SpanID == v.SpanID; row.Marked {
			v.Marked++
		}
		v.Lines = append(v.Lines, row)
	}
	if v.Cut = len(v.Lines) == logLimit; v.Cut {
		v.Older = older("/logs", params, win, res.Lines[len(res.Lines)-1].Time.Add(1)) // that line too, as others may have its time
	}
	if v.TraceID != "" { // what happened in a trace is read from its beginning
		slices.Reverse(v.Lines)
	}
}

// lineRow returns a row with an ID, in which seen counts. The same line has the same ID
// after a refresh, which keeps it open.
func (e *explorer) lineRow(l query.LogLine, seen map[string]int) logRow {
	row := e.logRow(l)
	row.ID = "line-" + strconv.FormatInt(l.Time.UnixNano(), 36) + "-" + strings.ReplaceAll(row.Service, " ", "_")
	if seen[row.ID]++; seen[row.ID] > 1 {
		row.ID += "-" + strconv.Itoa(seen[row.ID])
	}
	return row
}

func (e *explorer) logRow(l query.LogLine) logRow {
	row := logRow{Time: e.moment(l.Time), Level: l.Level(), Service: l.Service(), Class: e.class(l.Service()), Message: shortened(query.StripANSI(l.Message())),
		Text: l.Text, Labels: sortedFields(l.Labels), Metadata: sortedFields(l.Metadata), TraceID: l.TraceID(), SpanID: l.SpanID()}
	if l.Cut > 0 {
		row.More = fmt.Sprintf("and %s more bytes, which this page does not show", grouped(l.Cut))
	}
	switch row.Level {
	case query.LevelError, query.LevelCritical:
		row.LevelClass = "bad"
	case query.LevelWarning:
		row.LevelClass = "warn"
	}
	if row.TraceID != "" {
		row.TraceShort, row.TraceHref = row.TraceID[:8], "/traces/"+row.TraceID
		if row.SpanID != "" {
			row.TraceHref = spanHref(row.TraceID, row.SpanID)
		}
	}
	row.Fields = slices.Clone(l.Fields)
	for i, f := range l.Fields {
		f.Value = query.StripANSI(f.Value) // the line itself has them
		row.Fields[i].Value = f.Value
		if query.MessageKey(f.Key) || query.LevelKey(f.Key) {
			continue
		}
		switch f.Key {
		case contract.FieldTimestamp, contract.FieldLogger, contract.FieldTraceID, contract.FieldSpanID, contract.FieldBackendURL:
		case contract.FieldDurationSeconds:
			if s, err := strconv.ParseFloat(f.Value, 64); err == nil {
				f.Value = short(s) // three digits are enough at a glance; opened, the line has them all
			}
			row.Summary = append(row.Summary, f)
		default:
			row.Summary = append(row.Summary, f)
		}
	}
	return row
}

func sortedFields(m map[string]string) []query.Field {
	var a query.Attributes
	for k, v := range m {
		a = append(a, query.Attribute{Key: k, Value: v})
	}
	var out []query.Field
	for _, kv := range a.Sorted() {
		out = append(out, query.Field{Key: kv.Key, Value: shortened(query.FormatValue(kv.Value))})
	}
	return out
}

// logsHref links to the lines of a filter; those of span are marked.
func logsHref(f query.LogFilter, span string, w window) string {
	p := w.values()
	p.Set("q", f.LogQL())
	if f.Service != "" {
		p.Set("service", f.Service)
	}
	if f.TraceID != "" {
		p.Set("trace_id", f.TraceID)
	}
	if span != "" {
		p.Set("span_id", span)
	}
	return "/logs?" + p.Encode()
}

// values returns the parameters of a window.
func (w window) values() url.Values {
	switch {
	case w.Since != "":
		return url.Values{"since": {w.Since}}
	case w.Open:
		return url.Values{"start": {timeParam(w.Start)}}
	}
	return url.Values{"start": {timeParam(w.Start)}, "end": {timeParam(w.End)}}
}

// legendItem names a line of a chart.
type legendItem struct{ Name, Class, Value string }

// maxDrawn is the number of series that a chart of a query draws: more cannot be distinguished.
const maxDrawn = 8

// seriesGraph draws whatever series a typed query gave, at most maxDrawn of them. Series
// of different services have the colours of these.
func (e *explorer) seriesGraph(label string, series []query.Series, win window) (template.HTML, []legendItem) {
	zone := e.Now().Location()
	classes := e.seriesClasses(series)
	p := chart.Plot{Label: label, Start: win.Start.In(zone), End: win.End.In(zone), Height: 180, Format: short, Moments: e.moments()}
	var legend []legendItem
	for i, s := range series {
		if i == maxDrawn {
			break
		}
		l := chart.Line{Name: seriesName(s.Labels), Class: classes[i], Gap: 3 * win.step()}
		for _, pt := range s.Points {
			l.Samples = append(l.Samples, chart.Sample{Time: pt.Time.In(zone), Value: pt.Value})
		}
		p.Lines = append(p.Lines, l)
		legend = append(legend, legendItem{l.Name, l.Class, short(s.Last())})
	}
	if len(p.Lines) == 0 {
		return "", nil
	}
	return p.HTML(), legend
}

// seriesClasses returns the classes that colour series: those of their services if
// each has another one, or by their place.
func (e *explorer) seriesClasses(series []query.Series) []string {
	var services, places []string
	seen := map[string]bool{}
	for i, s := range series {
		service := cmp.Or(s.Labels["service_name"], s.Labels["service"], s.Labels["job"])
		seen[service] = true
		services, places = append(services, e.class(service)), append(places, "c-s"+strconv.Itoa(i%8))
	}
	if len(seen) == len(series) && !seen[""] {
		return services
	}
	return places
}

// seriesName writes labels as PromQL does.
func seriesName(labels map[string]string) string {
	var parts []string
	for _, f := range sortedFields(labels) {
		if f.Key != "__name__" {
			parts = append(parts, f.Key+"="+query.Quote(f.Value))
		}
	}
	name := labels["__name__"]
	if len(parts) > 0 || name == "" {
		name += "{" + strings.Join(parts, ", ") + "}"
	}
	return name
}
