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

	"dicelab/internal/contract"
	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
)

// logLimit is the number of lines on a page.
const logLimit = 200

type logsView struct {
	Query, Service, Level, Text, TraceID, SpanID string
	Services, Levels, Ranges, Hidden             []choice
	Fixed                                        string
	InputError                                   string
	Failure                                      *failure
	Notes                                        []string
	Lines                                        []logRow
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
	v := logsView{Query: trimmed(r, "q"), Service: trimmed(r, "service"), Level: trimmed(r, "level"), Text: trimmed(r, "text"),
		TraceID: trimmed(r, "trace_id"), SpanID: trimmed(r, "span_id"), FrontendURL: e.FrontendURL}
	win, err := parseWindow(r.URL.Query(), e.Now(), "1h")
	if err == nil {
		err = v.read()
	}
	if err != nil {
		v.InputError = err.Error()
	}
	v.Ranges, v.Hidden, v.Fixed = win.choices(), win.hidden(), win.text()
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
	v.Levels = options([]string{contract.LevelInfo, contract.LevelWarning, contract.LevelError}, v.Level)
	if res != nil {
		v.show(e, res, win, r.URL.Query())
	}
	if len(v.Lines) > 0 {
		var err error
		if v.Graph, v.Legend, err = e.histogram(r.Context(), v.Query, win, func(w window) string { return changed(r, "/logs", w) }); err != nil {
			v.Notes = append(v.Notes, "The lines could not be counted over time: "+err.Error())
		}
	}
	status := v.Failure.status()
	if v.InputError != "" {
		status = http.StatusBadRequest
	}
	e.render(w, status, "logs", page{Wide: true, Window: win.chosen(r), Service: v.Service, Title: "Logs", Section: "Logs", Live: win.Since != "", Data: v})
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
		v.Query = query.LogFilter{Service: v.Service, Level: v.Level, Text: v.Text, TraceID: v.TraceID}.LogQL()
	}
	return nil
}

func (v *logsView) show(e *explorer, res *query.LogResult, win window, params url.Values) {
	if res.Type != "streams" {
		v.Graph, v.Legend = e.seriesGraph("Result of the LogQL query", res.Series, win)
		return
	}
	seen := map[string]int{}
	for _, l := range res.Lines {
		row := e.logRow(l)
		// The same line has the same ID after a refresh, which keeps it open.
		row.ID = "line-" + strconv.FormatInt(l.Time.UnixNano(), 36) + "-" + row.Service
		if seen[row.ID]++; seen[row.ID] > 1 {
			row.ID += "-" + strconv.Itoa(seen[row.ID])
		}
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
	if w.Since != "" {
		return url.Values{"since": {w.Since}}
	}
	return url.Values{"start": {timeParam(w.Start)}, "end": {timeParam(w.End)}}
}

// legendItem names a line of a chart.
type legendItem struct{ Name, Class, Value string }

// seriesGraph draws whatever series a typed query gave, at most eight of them. Series
// of different services have the colours of these.
func (e *explorer) seriesGraph(label string, series []query.Series, win window) (template.HTML, []legendItem) {
	const most = 8
	zone := e.Now().Location()
	classes := e.seriesClasses(series)
	p := chart.Plot{Label: label, Start: win.Start.In(zone), End: win.End.In(zone), Height: 180, Format: short}
	var legend []legendItem
	for i, s := range series {
		if i == most {
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
