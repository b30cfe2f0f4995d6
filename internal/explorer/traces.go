package explorer

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
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
	Duration        string
	Die, DieClass   string

	start time.Time
	took  time.Duration
}

// Failed reports whether any span failed.
func (r traceRow) Failed() bool { return r.Errors > 0 }

type serviceCount struct {
	Name, Class string
	Spans       int
}

// search finds traces and the die of each.
func (e *explorer) search(ctx context.Context, s query.Search) ([]traceRow, *query.SearchResult, error) {
	res, err := e.Tempo.Search(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	rows := make([]traceRow, 0, len(res.Traces))
	for _, t := range res.Traces {
		rows = append(rows, e.row(t))
	}
	return rows, res, e.findDice(ctx, rows, s)
}

func (e *explorer) row(t query.Found) traceRow {
	r := traceRow{ID: t.TraceID, Short: t.TraceID[:8], Href: "/traces/" + t.TraceID, Time: e.moment(t.Start),
		Service: clip(t.RootService), Class: e.class(t.RootService), Name: clip(t.RootName), Spans: t.Spans(), Errors: t.Errors(),
		Duration: duration(t.Duration), Die: t.Text(contract.AttrDieType), start: t.Start, took: t.Duration}
	if r.Name == "" {
		r.Name = "root span not received"
	}
	if t.Duration == 0 {
		r.Duration = "< 1 ms" // Tempo's search rounds down
	}
	r.DieClass = dieClass(r.Die)
	e.setServices(&r, slices.Collect(maps.Keys(t.Services)))
	for i := range r.Services {
		r.Services[i].Spans = t.Services[r.Services[i].Name].Spans
	}
	return r
}

// setServices sets the first of a trace's services, in order.
func (e *explorer) setServices(r *traceRow, names []string) {
	slices.SortFunc(names, compareServices)
	for _, name := range names[:min(len(names), maxChips)] {
		r.Services = append(r.Services, serviceCount{Name: name, Class: e.class(name)})
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

// findDice fills in the dice of the rows. A search answers only with attributes
// that it asks for, and the die is not on the root span; so each die is searched
// for in the stretch of time between the starts of the rows, as far as the search
// covered it. (TraceQL's select would do it in one request, but the embedded server
// has none.)
func (e *explorer) findDice(ctx context.Context, rows []traceRow, s query.Search) error {
	from, to := s.End, s.Start
	at := map[string][]int{}
	for i, r := range rows {
		if r.Die != "" {
			continue
		}
		at[r.ID] = append(at[r.ID], i)
		if r.start.Before(from) {
			from = r.start
		}
		if r.start.After(to) {
			to = r.start
		}
	}
	if len(at) == 0 {
		return nil
	}
	// A trace that a search finds may begin at any time.
	from, to = from.Add(-time.Second), to.Add(time.Minute)
	if from.Before(s.Start) {
		from = s.Start
	}
	if end := s.End.Add(time.Minute); to.After(end) {
		to = end
	}
	dice := contract.Dice()
	found, errs := make([]*query.SearchResult, len(dice)), make([]error, len(dice))
	var asks []func()
	for i, die := range dice {
		asks = append(asks, func() {
			found[i], errs[i] = e.Tempo.Search(ctx, query.Search{TraceQL: query.SpanFilter{Die: die}.TraceQL(),
				Start: from, End: to, Limit: maxTraces, SpansPerSet: 1})
		})
	}
	inParallel(asks...)
	for i, die := range dice {
		if errs[i] != nil {
			return fmt.Errorf("finding the die of each trace: %w", errs[i])
		}
		for _, t := range found[i].Traces {
			for _, j := range at[t.TraceID] {
				rows[j].Die, rows[j].DieClass = die, dieClass(die)
			}
		}
	}
	return nil
}

type tracesView struct {
	Service, Name, Die, Status, Min, Max, Query string
	Services, Names, Dice, Statuses, Ranges     []choice
	Hidden                                      []choice
	Fixed                                       string
	Limit                                       int
	InputError                                  string
	Failure                                     *failure
	Notes                                       []string
	Rows                                        []traceRow
	Failed                                      int
	Scatter                                     template.HTML
	FrontendURL                                 string
	Filtered                                    bool
}

func (e *explorer) traces(w http.ResponseWriter, r *http.Request) {
	v := tracesView{Service: trimmed(r, "service"), Name: trimmed(r, "name"), Die: trimmed(r, "die"), Status: trimmed(r, "status"),
		Min: trimmed(r, "min"), Max: trimmed(r, "max"), Query: trimmed(r, "q"), Limit: defaultTraces, FrontendURL: e.FrontendURL}
	// A pasted trace ID in the TraceQL box means that trace.
	if id, err := query.ParseTraceID(v.Query); err == nil && len(v.Query) >= 16 {
		http.Redirect(w, r, "/traces/"+id, http.StatusSeeOther)
		return
	}
	win, err := parseWindow(r.URL.Query(), e.Now(), "1h")
	if err == nil {
		err = v.read(r)
	}
	if err != nil {
		v.InputError = err.Error()
	}
	v.Filtered = v.Query != "{}"
	v.Ranges, v.Hidden, v.Fixed = win.choices(), win.hidden(), win.text()
	var res *query.SearchResult
	var searchErr, servicesErr, namesErr error
	var services, names []string
	asks := []func(){
		func() { services, servicesErr = e.Tempo.TagValues(r.Context(), "resource.service.name") },
		func() { names, namesErr = e.Tempo.TagValues(r.Context(), "name") },
	}
	if v.InputError == "" {
		asks = append(asks, func() {
			v.Rows, res, searchErr = e.search(r.Context(), query.Search{TraceQL: v.Query, Start: win.Start, End: win.End, Limit: v.Limit})
		})
	}
	inParallel(asks...)
	v.Failure = newFailure(searchErr)
	if v.Failure == nil {
		for _, err := range []error{servicesErr, namesErr} {
			if err != nil {
				v.Notes = append(v.Notes, "The lists of services and names are incomplete: "+err.Error())
				break
			}
		}
	}
	if res != nil {
		if res.Partial || res.Message != "" {
			v.Notes = append(v.Notes, strings.TrimSpace("The answer is partial. "+res.Message))
		}
		if len(v.Rows) == v.Limit {
			v.Notes = append(v.Notes, fmt.Sprintf("Only the newest %d are shown: narrow the search or the time to see others.", v.Limit))
		}
	}
	v.Services, v.Names = options(services, v.Service), options(names, v.Name)
	v.Dice, v.Statuses = options(contract.Dice(), v.Die), options([]string{query.StatusError, query.StatusOK, query.StatusUnset}, v.Status)
	v.Scatter = scatter(v.Rows, win, e.Now().Location())
	for _, row := range v.Rows {
		if row.Failed() {
			v.Failed++
		}
	}
	status := v.Failure.status()
	if v.InputError != "" {
		status = http.StatusBadRequest
	}
	e.render(w, status, "traces", page{Wide: true, Title: "Traces", Section: "Traces", Live: win.Since != "", Data: v})
}

// read makes the query from the filters unless one was typed.
func (v *tracesView) read(r *http.Request) error {
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
	f := query.SpanFilter{Service: v.Service, Name: v.Name, Die: v.Die, Status: v.Status}
	switch v.Status {
	case "", query.StatusError, query.StatusOK, query.StatusUnset:
	default:
		return fmt.Errorf("reading the status: %.20q is none of error, ok and unset", v.Status)
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

// options turns values into choices; a selected one that is not among them is
// added, so that a form never loses a selection.
func options(values []string, selected string) []choice {
	var out []choice
	found := selected == ""
	for _, v := range values {
		found = found || v == selected
		out = append(out, choice{Value: v, Label: v, Selected: v == selected})
	}
	if !found {
		out = append(out, choice{Value: selected, Label: selected, Selected: true})
	}
	return out
}

// scatter draws the traces, each by its start and duration.
func scatter(rows []traceRow, win window, zone *time.Location) template.HTML {
	if len(rows) == 0 {
		return ""
	}
	p := chart.Plot{Label: "Duration of each trace over time", Start: win.Start.In(zone), End: win.End.In(zone), Height: 170,
		Format: secondsText}
	for _, r := range rows {
		d := chart.Dot{Time: r.start, Value: r.took.Seconds(), Class: r.DieClass, Href: r.Href,
			Title: strings.Join([]string{r.Time.Short, r.Service + " " + r.Name, r.Duration, r.Die}, "  ")}
		if r.Failed() {
			d.Class, d.Cross, d.Title = "c-bad", true, d.Title+"  failed"
		}
		p.Dots = append(p.Dots, d)
	}
	return p.HTML()
}
