package explorer

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
)

// How many traces a search asks for by default, and at most, and how many services
// of a trace a table shows.
const (
	defaultTraces = 50
	maxTraces     = 500
	maxChips      = 12
)

// traceRow is a trace in a table.
type traceRow struct {
	ID, Short, Href string
	Time            moment
	Service, Class  string // of the root
	Name            string
	Services        []serviceCount
	MoreServices    int // that are not among them
	Spans           int // 0: the server does not say
	Errors          int
	Failed          bool // the root has status error
	Duration        string
	Die, DieClass   string

	start time.Time
	took  time.Duration
}

// traceRows are the traces in a table.
type traceRows []traceRow

// Dice reports whether any trace has a die: tables and charts show it only then.
func (rows traceRows) Dice() bool {
	return slices.ContainsFunc(rows, func(r traceRow) bool { return r.Die != "" })
}

// Failed counts the traces that failed.
func (rows traceRows) Failed() (n int) {
	for _, r := range rows {
		if r.Failed {
			n++
		}
	}
	return n
}

// Roots returns the services in which the traces begin, at most maxChips of them.
func (rows traceRows) Roots() (roots []serviceCount) {
	for _, r := range rows {
		if root := (serviceCount{Name: r.Service, Class: r.Class}); len(roots) < maxChips && !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	slices.SortFunc(roots, func(a, b serviceCount) int { return compareServices(a.Name, b.Name) })
	return roots
}

type serviceCount struct {
	Name, Class string
	Spans       int
	service     string // as the server names it
}

// search finds traces, the die of each, and whether it failed.
func (e *explorer) search(ctx context.Context, s query.Search) (traceRows, *query.SearchResult, error) {
	res, err := e.Tempo.Search(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	rows := make(traceRows, 0, len(res.Traces))
	for _, t := range res.Traces {
		rows = append(rows, e.row(t))
	}
	return rows, res, e.complete(ctx, rows, s)
}

// tempoNoRoot is Tempo's name for the service of a root that it does not have, or that has
// no service name.
const tempoNoRoot = "<root span not yet received>"

func (e *explorer) row(t query.Found) traceRow {
	r := traceRow{ID: t.TraceID, Short: t.TraceID[:8], Href: "/traces/" + t.TraceID, Time: e.moment(t.Start),
		Service: clip(t.RootService), Class: e.class(t.RootService), Name: clip(t.RootName), Spans: t.Spans(), Errors: t.Errors(),
		Duration: duration(t.Duration), Die: t.Text(contract.AttrDieType), start: t.Start, took: t.Duration}
	if t.RootService == tempoNoRoot {
		r.Service, r.Class = query.UnknownService, e.class(query.UnknownService)
		if t.RootName == "" {
			r.Service, r.Name = "", noRoot
		}
	}
	r.Name = cmp.Or(r.Name, noName)
	if t.Duration == 0 {
		r.Duration = "< 1 ms" // Tempo's search rounds down
	}
	r.DieClass = dieClass(r.Die)
	e.setServices(&r, slices.Collect(maps.Keys(t.Services)))
	for i := range r.Services {
		r.Services[i].Spans = t.Services[r.Services[i].service].Spans
	}
	return r
}

// setServices sets the first of a trace's services, in order.
func (e *explorer) setServices(r *traceRow, names []string) {
	slices.SortFunc(names, compareServices)
	for _, name := range names[:min(len(names), maxChips)] {
		shown := clip(cmp.Or(name, query.UnknownService))
		r.Services = append(r.Services, serviceCount{Name: shown, Class: e.class(shown), service: name})
	}
	r.MoreServices = len(names) - len(r.Services)
}

// compareServices orders services as a roll passes through them, others after them
// by name.
func compareServices(a, b string) int {
	rank := func(s string) int {
		if at := slices.Index([]string{contract.ServiceTraffic, contract.ServiceFrontend, contract.ServiceRoller}, s); at >= 0 {
			return at
		}
		return math.MaxInt
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

// complete fills in the dice of the rows, and whether their roots failed. A search
// answers only with attributes that it asks for, and neither need be on the spans that it
// finds; so both are searched for in the stretch of time between the starts of the rows, as
// far as the search covered it.
func (e *explorer) complete(ctx context.Context, rows traceRows, s query.Search) error {
	from, to := s.End, s.Start
	at := map[string][]int{}
	noDie, errors := false, false
	for i, r := range rows {
		if r.Die != "" && r.Errors == 0 {
			continue
		}
		noDie, errors = noDie || r.Die == "", errors || r.Errors > 0
		at[r.ID] = append(at[r.ID], i)
		if r.start.Before(from) {
			from = r.start
		}
		if r.start.After(to) {
			to = r.start
		}
	}
	// A trace that a search finds may begin at any time.
	from, to = from.Add(-time.Second), to.Add(time.Minute)
	if from.Before(s.Start) {
		from = s.Start
	}
	if end := s.End.Add(time.Minute); to.After(end) {
		to = end
	}
	var mu sync.Mutex
	var failure error
	// mark calls do with the rows of the traces that have a span.
	mark := func(span query.SpanFilter, do func(*traceRow)) func() {
		return func() {
			found, err := e.Tempo.Search(ctx, query.Search{TraceQL: span.TraceQL(), Start: from, End: to, Limit: maxTraces, SpansPerSet: 1})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failure = fmt.Errorf("finding the die of each trace, and whether it failed: %w", err)
				return
			}
			for _, t := range found.Traces {
				for _, i := range at[t.TraceID] {
					do(&rows[i])
				}
			}
		}
	}
	var asks []func()
	if errors {
		asks = append(asks, mark(query.SpanFilter{Status: query.StatusError}, func(r *traceRow) { r.Failed = true }))
	}
	if noDie {
		for _, die := range contract.Dice() {
			asks = append(asks, mark(query.SpanFilter{Die: die}, func(r *traceRow) { r.Die, r.DieClass = die, dieClass(die) }))
		}
	}
	inParallel(asks...)
	return failure
}

type tracesView struct {
	Service, Name, Die, Status, Min, Max, Query string
	Services, Names, Dice, Statuses             []choice
	Hidden                                      []choice
	Conditions                                  []conditionRow
	Attributes                                  []string // that spans have
	Sorts                                       []choice
	When                                        string // the time, at the end of a sentence
	Limit                                       int
	InputError                                  string
	Failure                                     *failure
	Notes                                       []string
	Rows                                        traceRows
	MoreHref                                    string // shows more traces; "" if these are all
	Older                                       string // shows those before them; "" if these are all
	Scatter                                     template.HTML
	FrontendURL                                 string
	Filtered                                    bool
}

func (e *explorer) traces(w http.ResponseWriter, r *http.Request) {
	v := tracesView{Service: trimmed(r, "service"), Name: trimmed(r, "name"), Die: trimmed(r, "die"), Status: trimmed(r, "status"),
		Min: trimmed(r, "min"), Max: trimmed(r, "max"), Query: trimmed(r, "q"), Limit: defaultTraces, FrontendURL: e.FrontendURL}
	// A pasted trace ID in the TraceQL box means that trace.
	found, err := e.findID(r.Context(), v.Query)
	if len(found) == 1 {
		http.Redirect(w, r, "/traces/"+found[0], http.StatusSeeOther)
		return
	}
	idErr := err
	win, err := parseWindow(r.URL.Query(), e.Now(), defaultSince)
	conditions, conditionErr := readConditions(r.URL.Query())
	if err = cmp.Or(err, conditionErr); err == nil {
		err = v.read(r, conditions)
	}
	if err = cmp.Or(idErr, err); err != nil {
		v.InputError = err.Error()
	}
	v.Filtered = v.Query != "{}"
	v.Hidden, v.When = win.hidden(), win.phrase()
	var res *query.SearchResult
	var searchErr, servicesErr, namesErr, tagsErr error
	var services, names, dice []string
	var asks []func()
	v.Conditions, asks = e.conditionRows(r.Context(), conditions, r.URL.Query())
	asks = append(asks,
		func() { v.Attributes, tagsErr = e.tags(r.Context()) },
		func() { dice, _ = e.Tempo.TagValues(r.Context(), "span."+contract.AttrDieType) }, // without it there is one filter less
		func() { services, servicesErr = e.Tempo.TagValues(r.Context(), "resource.service.name") },
		func() { names, namesErr = e.Tempo.TagValues(r.Context(), "name") },
	)
	if v.InputError == "" {
		asks = append(asks, func() {
			v.Rows, res, searchErr = e.search(r.Context(), query.Search{TraceQL: v.Query, Start: win.Start, End: win.End, Limit: v.Limit})
		})
	}
	inParallel(asks...)
	v.Failure = newFailure(searchErr)
	if v.Failure == nil {
		for _, err := range []error{servicesErr, namesErr, tagsErr} {
			if err != nil {
				v.Notes = append(v.Notes, "The lists of services, names and attributes are incomplete: "+err.Error())
				break
			}
		}
	}
	if res != nil {
		if res.Partial || res.Message != "" {
			v.Notes = append(v.Notes, strings.TrimSpace("The answer is partial. "+res.Message))
		}
		if len(v.Rows) == v.Limit {
			v.MoreHref = moreTraces(r.URL.Query(), v.Limit)
			v.Older = older("/traces", r.URL.Query(), win, v.Rows[len(v.Rows)-1].start)
		}
	}
	for _, list := range []struct {
		what   string
		values *[]string
	}{{"services", &services}, {"span names", &names}, {"attributes", &v.Attributes}} {
		if n := len(*list.values); n > maxOptions {
			*list.values = (*list.values)[:maxOptions]
			v.Notes = append(v.Notes, fmt.Sprintf("The list of %s is cut: it has the first %d of %s. Others are found by TraceQL.", list.what, maxOptions, grouped(n)))
		}
	}
	v.Services, v.Names = options(services, v.Service), options(names, v.Name)
	v.Dice, v.Statuses = options(dice, v.Die), statuses(v.Status)
	v.Scatter = e.scatter(v.Rows, spread(v.Rows, win))
	v.sort(trimmed(r, "sort"), r.URL.Query())
	status := v.Failure.status()
	if v.InputError != "" {
		status = http.StatusBadRequest
	}
	e.render(w, status, "traces", page{Wide: true, Window: win.chosen(r), Service: v.Service, Time: e.timeBar(r, "/traces", win),
		Title: titled("Traces", v.Service, v.Name, v.statusName()), Section: "Traces", Live: win.moves(), Data: v})
}

// maxOptions is the number of values in a drop-down of services or names.
const maxOptions = 1000

// The IDs of traces as lists show them are their first digits. A trace is found by
// minShort of them, or more, among those that began in the last shortSince.
const (
	minShort   = 6
	longID     = 16 // digits of an ID of 64 bits, whose other half is zeros
	shortSince = 48 * time.Hour
)

// isShort reports whether a text can be the first digits of a trace ID.
func isShort(text string) bool {
	return len(text) >= minShort && len(text) < 32 && strings.Trim(strings.ToLower(text), "0123456789abcdef") == ""
}

// findID returns the trace that a text names: one, or none and nil if the text is no
// ID. An error says which traces begin with it, or that none does.
func (e *explorer) findID(ctx context.Context, text string) ([]string, error) {
	id, err := query.ParseTraceID(text)
	switch {
	case err == nil && !isShort(text) && len(text) >= 32:
		return []string{id}, nil
	case !isShort(text):
		return nil, nil
	}
	prefix := strings.ToLower(text)
	// Whole seconds, and the newest included.
	res, searchErr := e.Tempo.Search(ctx, query.Search{TraceQL: `{trace:id=~` + query.Quote(prefix+".*") + `}`, Start: e.Now().Add(-shortSince), End: e.Now(), Limit: maxChips})
	var ids []string
	if res != nil {
		for _, t := range res.Traces {
			if strings.HasPrefix(t.TraceID, prefix) {
				ids = append(ids, t.TraceID)
			}
		}
	}
	switch {
	case len(ids) == 1 || len(ids) == 0 && len(text) >= longID && err == nil:
		return []string{cmp.Or(strings.Join(ids, ""), id)}, nil
	case len(ids) > 1:
		return nil, fmt.Errorf("%s begins the IDs of several traces: %s", prefix, strings.Join(ids, ", "))
	case searchErr != nil:
		return nil, fmt.Errorf("looking for a trace whose ID begins with %s: %w", prefix, searchErr)
	}
	return nil, fmt.Errorf("no trace of the last %.0f hours has an ID that begins with %s: to find an older one, give all 32 digits", shortSince.Hours(), prefix)
}

// older links to what a page shows, with what is before t instead, or returns "" if the
// window does not reach back from there.
func older(path string, params url.Values, win window, t time.Time) string {
	if !t.After(win.Start) {
		return ""
	}
	p := maps.Clone(params)
	p.Del("since")
	p.Set("start", timeParam(win.Start))
	p.Set("end", timeParam(t))
	return path + "?" + p.Encode()
}

// read makes the query from the filters unless one was typed.
func (v *tracesView) read(r *http.Request, conditions []query.Condition) error {
	if s := trimmed(r, "limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxTraces {
			return fmt.Errorf("reading the limit: %.20q is not a number from 1 to %d", s, maxTraces)
		}
		v.Limit = n
	}
	if v.Query != "" {
		return nil
	}
	f := query.SpanFilter{Service: v.Service, Name: v.Name, Die: v.Die, Status: v.Status, Conditions: conditions}
	switch v.Status {
	case "", query.StatusError, query.StatusNotError, query.StatusOK, query.StatusUnset:
	default:
		return fmt.Errorf("reading the status: %.20q is none of error, not-error, ok and unset", v.Status)
	}
	for _, d := range []struct {
		name, text string
		to         *time.Duration
	}{{"shortest", v.Min, &f.Min}, {"longest", v.Max, &f.Max}} {
		if d.text == "" {
			continue
		}
		var err error
		if *d.to, err = time.ParseDuration(strings.ReplaceAll(d.text, " ", "")); err != nil || *d.to <= 0 {
			return fmt.Errorf("reading the %s duration: %.20q is not a duration: write it like 100ms or 1.5s", d.name, d.text)
		}
	}
	v.Query = f.TraceQL()
	return nil
}

// statusName returns the chosen status in words, "" for any.
func (v *tracesView) statusName() string {
	switch v.Status {
	case query.StatusError:
		return "failed"
	case query.StatusNotError:
		return "not failed"
	}
	return v.Status
}

// sort puts the traces that are shown in the order that was chosen.
func (v *tracesView) sort(by string, params url.Values) {
	orders := []struct {
		name, label string
		compare     func(a, b traceRow) int
	}{
		{"", "newest", func(a, b traceRow) int { return b.start.Compare(a.start) }},
		{"duration", "longest", func(a, b traceRow) int { return cmp.Compare(b.took, a.took) }},
		{"spans", "most spans", func(a, b traceRow) int { return cmp.Compare(b.Spans, a.Spans) }},
	}
	for _, o := range orders {
		p := maps.Clone(params)
		p.Set("sort", o.name)
		if o.name == "" {
			p.Del("sort")
		}
		v.Sorts = append(v.Sorts, choice{Label: o.label, Selected: o.name == by, Href: "/traces?" + p.Encode()})
		if o.name == by {
			slices.SortStableFunc(v.Rows, o.compare)
		}
	}
}

// titled returns the title of a page: what it shows before the name of the page.
func titled(name string, what ...string) string {
	what = slices.DeleteFunc(what, func(s string) bool { return s == "" })
	if len(what) == 0 {
		return name
	}
	return clip(strings.Join(what, " ")) + " · " + name
}

// statuses are the choices of the filter for a status. "ok" and "unset" are only there if
// they are selected: almost no span is set to ok, and unset means little to a reader.
func statuses(selected string) []choice {
	list := options([]string{query.StatusError, query.StatusNotError}, selected)
	list[0].Label, list[1].Label = "failed", "not failed"
	return list
}

// moreTraces returns the page with the next traces, "" if it would have too many.
func moreTraces(v url.Values, limit int) string {
	if limit >= maxTraces {
		return ""
	}
	v.Set("limit", strconv.Itoa(min(limit+defaultTraces, maxTraces)))
	return "/traces?" + v.Encode()
}

// spread returns the time over which a chart shows traces: from just before the oldest of
// them, so that a burst does not lie on one line.
func spread(rows traceRows, win window) window {
	if len(rows) == 0 {
		return win
	}
	oldest := win.End.Sub(slices.MinFunc(rows, func(a, b traceRow) int { return a.start.Compare(b.start) }).start)
	win.Start = win.End.Add(-max(time.Minute, min(oldest, win.End.Sub(win.Start))*21/20))
	return win
}

// options turns values into choices; a selected one that is not among them is
// added, so that a form never loses a selection.
func options(values []string, selected string) []choice {
	var out []choice
	found := selected == ""
	for _, v := range values {
		found = found || v == selected
		out = append(out, choice{Value: v, Label: label(v), Selected: v == selected})
	}
	if !found {
		out = append(out, choice{Value: selected, Label: label(selected), Selected: true})
	}
	return out
}

// label returns a value as a drop-down shows it: cut if it is long.
func label(value string) string {
	const most = 80 // bytes
	if len(value) <= most {
		return value
	}
	return query.Clip(value, most) + "…"
}

// scatter draws the traces, each by its start and duration.
func (e *explorer) scatter(rows traceRows, win window) template.HTML {
	if len(rows) == 0 {
		return ""
	}
	zone := e.Now().Location()
	p := chart.Plot{Label: "Duration of each trace over time", Start: win.Start.In(zone), End: win.End.In(zone), Height: 88, Ticks: 2,
		Format: secondsText, Moments: e.moments()}
	dice := rows.Dice()
	for _, r := range rows {
		class := r.Class
		if dice {
			class = r.DieClass
		}
		d := chart.Dot{Time: r.start, Value: r.took.Seconds(), Class: class, Href: r.Href,
			Title: strings.Join([]string{r.Time.Short, r.Service + " " + r.Name, r.Duration, r.Die}, "  ")}
		if r.Failed {
			d.Class, d.Cross, d.Title = "c-bad", true, d.Title+"  failed"
		}
		p.Dots = append(p.Dots, d)
	}
	return p.HTML()
}
