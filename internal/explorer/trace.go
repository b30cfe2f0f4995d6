package explorer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// A trace may be opened before its last span was stored: the page that shows
// an incomplete trace reloads a few times.
const reloads = 5

// The ages up to which a trace may have spans that have not arrived: of any, and of one that names
// spans which it does not have.
const (
	freshFor  = 15 * time.Second
	recentFor = time.Minute
)

type traceView struct {
	ID, Root, RootService string
	Time                  moment
	Duration              string
	Between               string // from the first span to the last, where that is another time
	Spans, Errors         int
	Die, DieClass, Result string
	Services              []serviceShare
	MoreServices          int // that are not among them
	Origin                *origin
	Notes                 []traceNote
	Find                  findView
	Pills                 []pill
	Map                   *minimap
	Ticks                 []axisTick
	Rows                  []wfRow
	Count                 string // of the spans that a filter shows
	Rest                  control
	Flame                 *flameView
	Views                 []pill
	Hops                  []hop
	MoreHops              int // that are not among them
	HopCount              int
	HopsOpen              bool
	Lines                 int
	LinesText             string
	LogsHref, JSONHref    string
	HTMLHref, CompareHref string
	Focus, FocusName      string
	All                   control // leads from a subtree to the whole
	MetricsHref           string
	Exact                 string    // the duration to the nanosecond; "" if Duration says it
	Back                  string    // the search that led here
	File                  *fileView // nil for a stored trace
	Offline               bool      // the page is a file by itself
	Again                 bool      // spans may be on their way

	lines []query.LogLine // oldest first
	start time.Time
}

// serviceShare is a service's part in a trace.
type serviceShare struct {
	Name, Class, Self, Share string
	X, Width                 string // in the bar of all services, percent
	Spans, Errors            int
	Find                     control

	self time.Duration
}

// origin is the failed span that may be the cause of a failure: none beneath it has failed.
type origin struct {
	Service, Class, Name, Message, After string
	Callers                              int // failed spans above it
	Show                                 control
}

// pill is a choice of what is shown.
type pill struct {
	control
	On    bool
	Count int
}

// findView is the search within a trace.
type findView struct {
	Text          string
	Hidden        []choice
	Found, Place  int
	Before, After control
	Clear         control
}

func (e *explorer) trace(w http.ResponseWriter, r *http.Request) {
	id, ok := e.traceID(w, r)
	if !ok {
		return
	}
	t, err := e.Tempo.Trace(r.Context(), id)
	switch {
	case errors.Is(err, query.ErrNotFound):
		e.noTrace(w, r, id)
		return
	case err != nil:
		f := newFailure(err)
		e.render(w, f.status(), "notrace", page{Title: "Trace " + id[:8], Section: "Traces", Data: noTraceView{ID: id,
			Failure: f}})
		return
	}
	view := e.traceView(r.Context(), t, askOf(t.ID, r.URL.Query(), false), r.URL.Query(), nil)
	view.Back = back(r)
	e.render(w, http.StatusOK, "trace", page{Wide: true, Title: view.Root + " " + id[:8], Section: "Traces",
		Data: view})
}

// back links to the search that led to a page, or to the page Traces.
func back(r *http.Request) string {
	if from, err := url.Parse(r.Referer()); err == nil && from.Host == r.Host && strings.HasSuffix(from.Path,
		"/traces") && from.RawQuery != "" {
		return "/traces?" + from.RawQuery
	}
	return "/traces"
}

// traceID reads the ID in the path. One without its leading zeros, or in
// capitals, is answered with a redirect to the full one.
func (e *explorer) traceID(w http.ResponseWriter, r *http.Request) (string, bool) {
	given := r.PathValue("id")
	if isShort(given) && len(given) < longID { // as a list shows it
		http.Redirect(w, r, "/traces?q="+given, http.StatusSeeOther)
		return "", false
	}
	id, err := query.ParseTraceID(given)
	if err != nil {
		e.message(w, http.StatusBadRequest, "Not a trace ID",
			fmt.Sprintf("%.80q is not a trace ID: it has up to 32 hex digits.", given))
		return "", false
	}
	if id != given {
		u := "/traces/" + id
		if r.URL.RawQuery != "" {
			u += "?" + r.URL.RawQuery
		}
		http.Redirect(w, r, u, http.StatusPermanentRedirect)
		return "", false
	}
	return id, true
}

type noTraceView struct {
	ID          string
	Retention   string
	FrontendURL string
	Again       bool // the page loads itself again
	Try, Tries  int
	LogsHref    string
	Failure     *failure
}

func (e *explorer) noTrace(w http.ResponseWriter, r *http.Request, id string) {
	try, err := strconv.Atoi(r.URL.Query().Get("try"))
	if err != nil || try < 0 {
		try = 0
	}
	v := noTraceView{ID: id, Retention: e.Retention, FrontendURL: e.FrontendURL, Again: try < reloads, Try: try + 1,
		Tries:    reloads + 1,
		LogsHref: logsHref(query.LogFilter{TraceID: id}, "", window{Since: "24h"})}
	p := page{Title: "Trace " + id[:8], Section: "Traces", Data: &v}
	if v.Again {
		p.Reload, p.ReloadURL = try+2, fmt.Sprintf("/traces/%s?try=%d", id, try+1) // seconds: 2, 3, 4, 5, 6
	}
	e.render(w, http.StatusNotFound, "notrace", p)
}

// maxExportSpan limits a span that is downloaded, in bytes of JSON: to what the
// embedded store answers with. The command dicelab export, which has its memory to
// itself, reads larger ones.
const maxExportSpan = 16 << 20

// traceJSON sends a trace to be saved, as OTLP JSON: what "dicelab import", the
// page for traces from files and other programs read.
func (e *explorer) traceJSON(w http.ResponseWriter, r *http.Request) {
	id, ok := e.savedID(w, r)
	if !ok {
		return
	}
	t, partial, err := e.Tempo.Export(r.Context(), id, maxExportSpan)
	if err != nil {
		e.notSaved(w, err, " If the trace is too large for this page, save it with: dicelab export "+id)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	name := "trace-" + id
	if partial { // OTLP has no word for it, so the name says it
		name += "-partial"
	}
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`.json"`)
	if err := t.Write(w); err != nil {
		restart(w) // with what has been written
		e.message(w, http.StatusInternalServerError, "This trace cannot be saved",
			err.Error()+". Try: dicelab export "+id)
	}
}

// savedID reads the ID of a trace that is to be saved or compared, or answers that it is none.
func (e *explorer) savedID(w http.ResponseWriter, r *http.Request) (string, bool) {
	id, err := query.ParseTraceID(r.PathValue("id"))
	if err != nil {
		e.message(w, http.StatusBadRequest, "Not a trace ID", err.Error()+".")
	}
	return id, err == nil
}

// notSaved answers that a trace cannot be read. advice is for a trace that is there.
func (e *explorer) notSaved(w http.ResponseWriter, err error, advice string) {
	if errors.Is(err, query.ErrNotFound) {
		e.message(w, http.StatusNotFound, "Trace not found", "Traces are kept "+e.Retention+".")
		return
	}
	f := newFailure(err)
	e.message(w, f.status(), f.Title, err.Error()+"."+advice)
}

// traceView makes the page of a trace, stored or from a file.
func (e *explorer) traceView(ctx context.Context, t *query.Trace, ask traceAsk, params url.Values,
	file *fileView) traceView {
	tree := t.Tree()
	v := traceView{ID: t.ID, File: file, Offline: ask.offline, Spans: tree.Spans, Errors: t.Errors(),
		Die:    t.Text(contract.AttrDieType),
		Result: cmp.Or(t.Text(contract.AttrDieResult), t.Text(contract.AttrRollValue)), JSONHref: "/traces/" + t.ID +
			"/trace.json",
		HTMLHref: "/traces/" + t.ID + "/trace.html", CompareHref: "/traces/" + t.ID + "/compare"}
	around := around(tree.Start, tree.End, e.Now())
	var lines traceLines
	if file == nil {
		lines = e.linesOf(ctx, t.ID, around)
	}
	v.lines, v.start = lines.lines, tree.Start
	v.Notes = traceNotes(t, tree)
	if !e.hidesNotes() {
		v.Notes = append(v.Notes, e.oddities(ctx, t, tree, lines, ask)...)
	}
	if lines.err != nil {
		v.Notes = append(v.Notes, traceNote{Text: "The log lines of this trace could not be read: " + lines.err.Error()})
	}
	if ask.aligned && len(tree.Skews) > 0 {
		raw := tree
		tree = t.Aligned(tree).Tree()
		lines.align(raw, tree)
	}
	v.setFacts(e, t, tree)
	v.LogsHref = logsHref(query.LogFilter{TraceID: t.ID}, "", around)
	v.MetricsHref = "/metrics?" + around.values().Encode()
	v.Lines, v.LinesText = len(lines.lines), linesText(len(lines.lines))
	v.Services = e.shares(tree, ask)
	v.MoreServices = len(v.Services) - min(len(v.Services), maxShares)
	v.Services = v.Services[:len(v.Services)-v.MoreServices]
	v.Origin = e.originOf(tree, ask)
	v.Again = file == nil && !ask.offline && e.mayGrow(tree)

	wf := waterfall{view: e, ask: ask, around: around, sheet: &sheet{maxSheet}, failing: failing(tree)}
	show := tree
	focus, target := v.asked(tree, params)
	if focus != nil {
		show = subtree(focus)
		v.Focus, v.FocusName, v.All = focus.SpanID, clip(focus.Service+" "+focus.Name), ask.link("Show the whole trace",
			"", whole()...)
	}
	wf.tree = show
	wf.setScale()
	found := ask.find.find(show)
	wf.found = make(map[*query.Node]bool, len(found))
	for _, n := range found {
		wf.found[n] = true
	}
	v.setFind(ask, show, found, target)
	v.setPills(ask, &wf)
	v.Views = []pill{{control: ask.link("Waterfall", "", paramView, ""), On: !ask.flame},
		{control: ask.link("Flame graph", "", paramView, "flame"), On: ask.flame}}
	if ask.flame {
		v.Flame = e.flame(show, ask, params.Get(paramAt))
		return v
	}
	wf.lines, _ = placeLines(show, lines.lines)
	v.Ticks = wf.ticks()
	if !ask.offline {
		v.Map = wf.minimap()
	}
	var chosen *selection
	v.Rows, chosen = wf.rows(target)
	v.setCount(ask, &wf, chosen)
	v.setHops(e, tree, ask)
	return v
}

// align moves lines as the spans that wrote them were moved.
func (l *traceLines) align(raw, aligned *query.Tree) {
	moved := map[string]time.Duration{}
	raw.Walk(func(n *query.Node) bool { moved[n.SpanID] = time.Duration(n.Start.UnixNano()); return true })
	aligned.Walk(func(n *query.Node) bool { moved[n.SpanID] -= time.Duration(n.Start.UnixNano()); return true })
	for i := range l.lines {
		l.lines[i].Time = l.lines[i].Time.Add(-moved[l.lines[i].SpanID()])
	}
}

// setFacts fills in what the page says about the trace as a whole.
func (v *traceView) setFacts(e *explorer, t *query.Trace, tree *query.Tree) {
	v.Time, v.Duration, v.Exact = e.moment(tree.Start), duration(tree.Duration()), exact(tree.Duration())
	v.RootService, v.Root = rootOf(tree)
	v.DieClass = dieClass(v.Die)
	if len(tree.Skews) > 0 && len(tree.Roots) == 1 &&
		!tree.Roots[0].Orphan { // the end of another clock says nothing about this one
		v.Between = v.Duration
		v.Duration, v.Exact = duration(tree.Roots[0].Duration), exact(tree.Roots[0].Duration)
	}
}

// mayGrow reports whether spans of the trace may be on their way.
func (e *explorer) mayGrow(tree *query.Tree) bool {
	age := e.Now().Sub(tree.End)
	return age < freshFor || age < recentFor && slices.ContainsFunc(tree.Roots,
		func(n *query.Node) bool { return n.Orphan })
}

// failing returns the spans that failed, and a child with them.
func failing(tree *query.Tree) map[*query.Node]bool {
	out := map[*query.Node]bool{}
	tree.Walk(func(n *query.Node) bool {
		if n.Failed() && n.Parent != nil && n.Parent.Failed() {
			out[n.Parent] = true
		}
		return true
	})
	return out
}

// originOf returns the deepest failed span, of several the first, or nil if none failed.
func (e *explorer) originOf(tree *query.Tree, ask traceAsk) *origin {
	var at *query.Node
	tree.Walk(func(n *query.Node) bool {
		if n.Failed() && (at == nil || n.Depth > at.Depth) {
			at = n
		}
		return true
	})
	if at == nil {
		return nil
	}
	o := &origin{Service: clip(at.Service), Class: e.class(at.Service), Name: cmp.Or(clip(at.Name), noName),
		Message: at.StatusMessage,
		After:   duration(at.End().Sub(tree.Start)), Show: ask.link("Show span", "button small", append(whole(),
			paramSpan, at.SpanID, paramView, "")...)}
	for _, ev := range at.Events {
		o.Message = cmp.Or(o.Message, ev.Attributes.Text("exception.message"), ev.Attributes.Text("exception.type"))
	}
	o.Message = query.Clip(cmp.Or(o.Message, at.Attributes.Text("error.type")), maxName)
	for n := at.Parent; n != nil; n = n.Parent {
		if n.Failed() {
			o.Callers++
		}
	}
	return o
}

// setFind fills in the search.
func (v *traceView) setFind(ask traceAsk, show *query.Tree, found []*query.Node, target *query.Node) {
	v.Find = findView{Text: ask.find.text, Hidden: ask.hidden(paramFind), Found: len(found), Clear: ask.link("Clear",
		"", paramFind, "", paramOnly, "")}
	if len(found) == 0 {
		return
	}
	order := make(map[*query.Node]int, show.Spans)
	show.Walk(func(n *query.Node) bool { order[n] = len(order); return true })
	before, after, place := neighbours(found, target, order)
	v.Find.Place = place
	v.Find.Before = ask.link("Previous", "button small", paramSpan, before.SpanID)
	v.Find.After = ask.link("Next", "button small", paramSpan, after.SpanID)
}

// setPills fills in the filters, with the number of spans that each shows.
func (v *traceView) setPills(ask traceAsk, wf *waterfall) {
	counts := map[string]int{}
	wf.tree.Walk(func(n *query.Node) bool {
		for _, only := range []string{onlyMatches, onlyFailed, onlyPath, onlyLong} {
			if (traceAsk{only: only}).includes(n, wf.found, wf.long()) {
				counts[only]++
			}
		}
		return true
	})
	for _, p := range [][2]string{{onlyMatches, "Matches only"}, {onlyFailed, "Failed"}, {onlyPath, "Critical path"},
		{onlyLong, "≥ 10 %"}} {
		only, on := p[0], ask.only == p[0]
		if counts[only] == 0 && !on || only == onlyLong && wf.tree.Spans < 2 {
			continue
		}
		set := only
		if on {
			set = ""
		}
		v.Pills = append(v.Pills, pill{control: ask.link(p[1], "", paramOnly, set), On: on, Count: counts[only]})
	}
}

// setCount says how many spans a filter or the chosen time leaves, and leads to the rest of them.
func (v *traceView) setCount(ask traceAsk, wf *waterfall, s *selection) {
	spans := 0
	for _, r := range v.Rows {
		if r.Span != nil {
			spans++
		}
	}
	switch {
	case ask.only != "":
		v.Count = fmt.Sprintf("%s of %s shown: those of the filter, and the spans above them.", grouped(spans),
			count(wf.tree.Spans, "span", "spans"))
	case ask.to > 0:
		outside := 0
		for _, out := range wf.outside {
			if out {
				outside++
			}
		}
		v.Count = fmt.Sprintf("%s outside of the chosen time.", count(outside, "span is", "spans are"))
	}
	if s.dropped > 0 {
		v.Rest = ask.link(fmt.Sprintf("%d more", s.dropped), "", paramSkip, strconv.Itoa(ask.skip+s.included))
	}
}

// rootOf returns service and name of a trace's root, or what stands for them if the
// trace has none.
func rootOf(tree *query.Tree) (service, name string) {
	for _, n := range tree.Roots {
		if !n.Orphan {
			return clip(n.Service), cmp.Or(clip(n.Name), noName)
		}
	}
	return clip(tree.Roots[0].Service), noRoot
}

// asked returns the span beneath which alone spans are shown, and the one that is to be
// among the rows; nil for none.
func (v *traceView) asked(tree *query.Tree, params url.Values) (focus, target *query.Node) {
	if id, err := query.ParseSpanID(params.Get("focus")); err == nil {
		focus = tree.Find(id)
	}
	text := params.Get("span")
	if text == "" {
		return focus, nil
	}
	if id, err := query.ParseSpanID(text); err == nil {
		target = tree.Find(id)
	}
	if target == nil {
		v.Notes = append(v.Notes, traceNote{Text: fmt.Sprintf("There is no span %.40q in this trace.", text)})
		return focus, nil
	}
	above := 0
	for n := target; n != focus && n != nil; n = n.Parent {
		if above++; above == maxRows/3 && n.Parent != nil { // the spans above would fill the page
			return n, target
		}
		if n.Parent == nil {
			focus = nil // the span is elsewhere
		}
	}
	return focus, target
}

// subtree returns the tree of a span and those beneath it.
func subtree(top *query.Node) *query.Tree {
	show := &query.Tree{Roots: []*query.Node{top}, Start: top.Start, End: top.End(), Spans: top.Below + 1}
	show.Walk(func(n *query.Node) bool {
		if n.Start.Before(show.Start) {
			show.Start = n.Start
		}
		if n.End().After(show.End) {
			show.End = n.End()
		}
		return true
	})
	return show
}
