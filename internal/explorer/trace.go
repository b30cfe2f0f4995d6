package explorer

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
	"dicelab/internal/traceparent"
)

// A trace may be opened before its last span was stored: the page that shows
// an incomplete trace reloads a few times.
const reloads = 5

type traceView struct {
	ID, Root, RootService string
	Time                  moment
	Duration              string
	Spans, Errors         int
	Die, DieClass, Result string
	Services              []serviceShare
	Notes                 []string
	Ticks                 []axisTick
	Rows                  []spanRow
	Hops                  []hop
	MoreHops              int // that are not among them
	LogsHref, JSONHref    string
	Traceparent           string
	Focus, FocusName      string
	All                   control // leads from a subtree to the whole
	MetricsHref           string
	Exact                 string    // the duration to the nanosecond; "" if Duration says it
	Back                  string    // the search that led here
	MoreServices          int       // that are not among Services
	File                  *fileView // nil for a stored trace
}

// serviceShare is a service's part in a trace.
type serviceShare struct {
	Name, Class, Self string
	Spans, Errors     int
}

type axisTick struct{ X, Anchor, Label string }

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
		e.render(w, f.status(), "notrace", page{Title: "Trace " + id[:8], Section: "Traces", Data: noTraceView{ID: id, Failure: f}})
		return
	}
	view := e.traceView(t, r.URL.Query(), nil)
	view.Back = back(r)
	e.render(w, http.StatusOK, "trace", page{Wide: true, Title: view.Root + " " + id[:8], Section: "Traces", Data: view})
}

// back links to the search that led to a page, or to the page Traces.
func back(r *http.Request) string {
	if from, err := url.Parse(r.Referer()); err == nil && from.Host == r.Host && strings.HasSuffix(from.Path, "/traces") && from.RawQuery != "" {
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
		e.message(w, http.StatusBadRequest, "Not a trace ID", fmt.Sprintf("%.80q is not a trace ID: it has up to 32 hex digits.", given))
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
	v := noTraceView{ID: id, Retention: e.Retention, FrontendURL: e.FrontendURL, Again: try < reloads, Try: try + 1, Tries: reloads + 1,
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
	id, err := query.ParseTraceID(r.PathValue("id"))
	if err != nil {
		e.message(w, http.StatusBadRequest, "Not a trace ID", err.Error()+".")
		return
	}
	t, partial, err := e.Tempo.Export(r.Context(), id, maxExportSpan)
	switch {
	case errors.Is(err, query.ErrNotFound):
		e.message(w, http.StatusNotFound, "Trace not found", "Traces are kept "+e.Retention+".")
		return
	case err != nil:
		f := newFailure(err)
		e.message(w, f.status(), f.Title, err.Error()+". If the trace is too large for this page, save it with: dicelab export "+id)
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
		e.message(w, http.StatusInternalServerError, "This trace cannot be saved", err.Error()+". Try: dicelab export "+id)
	}
}

// traceView makes the page of a trace, stored or from a file.
func (e *explorer) traceView(t *query.Trace, params url.Values, file *fileView) traceView {
	tree := t.Tree()
	v := traceView{ID: t.ID, Time: e.moment(tree.Start), Duration: duration(tree.Duration()), Spans: tree.Spans, Errors: t.Errors(),
		Die: t.Text(contract.AttrDieType), Result: t.Text(contract.AttrDieResult), JSONHref: "/traces/" + t.ID + "/trace.json", File: file,
		Exact: exact(tree.Duration())}
	v.RootService, v.Root = rootOf(tree)
	v.DieClass = dieClass(v.Die)
	if v.Result == "" {
		v.Result = t.Text(contract.AttrRollValue)
	}
	around := around(tree.Start, tree.End, e.Now())
	v.LogsHref = logsHref(query.LogFilter{TraceID: t.ID}, "", around)
	v.MetricsHref = "/metrics?" + around.values().Encode()
	v.Notes = traceNotes(t, tree)
	v.Services = e.shares(tree)
	v.MoreServices = len(v.Services) - min(len(v.Services), maxChips)
	v.Services = v.Services[:len(v.Services)-v.MoreServices]

	wf := waterfall{view: e, traceID: t.ID, around: around, file: file != nil, sheet: &sheet{maxSheet}}
	show := tree
	focus, target := v.asked(tree, params)
	if focus != nil {
		show = subtree(focus)
		v.Focus, v.FocusName, v.All = focus.SpanID, clip(focus.Service+" "+focus.Name), wf.linkTo("Show the whole trace", "", "", 0)
	}
	wf.tree, wf.scale = show, chart.Time{Start: show.Start, End: show.End}
	if !show.End.After(show.Start) {
		wf.scale.End = show.Start.Add(time.Microsecond) // a trace of no length still needs a scale
	}
	v.Ticks = wf.ticks()
	v.Rows = wf.rows(skipped(params), target)
	v.setHops(e, tree)
	return v
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
		v.Notes = append(v.Notes, fmt.Sprintf("There is no span %.40q in this trace.", text))
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

// traceNotes returns what is wrong with a trace, if anything is.
func traceNotes(t *query.Trace, tree *query.Tree) []string {
	var notes []string
	if t.Partial {
		notes = append(notes, "The trace store says that spans are missing. "+t.Message)
	}
	var orphans, cycles, duplicates, shared, unfinished, backwards, dropped int
	var early time.Duration
	tree.Walk(func(n *query.Node) bool {
		if n.Orphan {
			orphans++
		}
		if n.Cycle {
			cycles++
		}
		if n.Duplicate {
			duplicates++
		}
		if n.Shared {
			shared++
		}
		if n.Unfinished {
			unfinished++
		}
		if n.Backwards > 0 {
			backwards++
		}
		if d := n.Dropped; d.Attributes+d.Events+d.Links > 0 {
			dropped++
		}
		early = max(early, n.Early)
		return true
	})
	if orphans > 0 {
		notes = append(notes, count(orphans, "span names a parent that is", "spans name parents that are")+
			" not in this trace: the parent was not recorded, not exported, or has not arrived yet.")
	}
	if len(tree.Roots)-orphans > 1 {
		notes = append(notes, fmt.Sprintf("This trace has %d roots.", len(tree.Roots)))
	}
	if cycles > 0 {
		notes = append(notes, count(cycles, "span has", "spans have")+" a parent beneath itself; it is shown as a root.")
	}
	if duplicates > 0 {
		notes = append(notes, count(duplicates, "span shares its", "spans share their")+" ID with an earlier one.")
	}
	if tree.Redundant > 0 {
		notes = append(notes, count(tree.Redundant, "span was", "spans were")+" delivered twice and is shown once.")
	}
	if shared > 0 {
		notes = append(notes, count(shared, "span has", "spans have")+" the span ID of the call that caused "+plural(shared, "it", "them")+
			": Zipkin's libraries give both sides of a call one ID.")
	}
	if unfinished > 0 {
		notes = append(notes, count(unfinished, "span has", "spans have")+" no end: "+plural(unfinished, "it was", "they were")+
			" not ended before "+plural(unfinished, "it was", "they were")+" sent. How long "+plural(unfinished, "it", "they")+" took is not known.")
	}
	if backwards > 0 {
		notes = append(notes, count(backwards, "span ends before it starts", "spans end before they start")+
			": the clock was set back meanwhile, or the times are wrong. "+plural(backwards, "Its", "Their")+" duration is shown as 0 s.")
	}
	if dropped > 0 {
		notes = append(notes, count(dropped, "span is", "spans are")+" incomplete: attributes, events or links were dropped where "+
			plural(dropped, "it was", "they were")+" recorded.")
	}
	if early > 0 {
		notes = append(notes, "Some span starts "+duration(early)+" before its parent: the clocks of the services disagree.")
	}
	return notes
}

// shares adds up self time by service, in the order in which they appear.
func (e *explorer) shares(tree *query.Tree) []serviceShare {
	var out []serviceShare
	at := map[string]int{}
	self := map[string]time.Duration{}
	tree.Walk(func(n *query.Node) bool {
		i, ok := at[n.Service]
		if !ok {
			i = len(out)
			at[n.Service] = i
			out = append(out, serviceShare{Name: n.Service, Class: e.class(n.Service)})
		}
		out[i].Spans++
		if n.Failed() {
			out[i].Errors++
		}
		self[n.Service] += min(n.SelfTime, math.MaxInt64-self[n.Service])
		return true
	})
	for i := range out {
		out[i].Self = duration(self[out[i].Name])
	}
	return out
}

// hop is one crossing from a service to another, and the traceparent that
// carried the trace across.
type hop struct {
	From, FromClass, FromSpan string
	To, ToClass, ToSpan       string
	ToHref, FromHref          string
	Header                    traceparent.Header
	Text                      string
	HasFlags                  bool // the flags were recorded
	Received                  bool // as the receiving span recorded it; else put together from its parent ID
	Problem                   string
	TraceOK, ParentOK         bool
}

// maxHops limits the hops on a page.
const maxHops = 50

// setHops lists where the trace crosses from one service to another. Flags are those that
// were recorded: of the header, or else of the span.
func (v *traceView) setHops(e *explorer, tree *query.Tree) {
	shown := map[string]bool{}
	for _, r := range v.Rows {
		shown[r.SpanID] = true
	}
	link := func(spanID string) string {
		switch {
		case shown[spanID]:
			return "#span-" + spanID
		case v.File != nil:
			return ""
		}
		return spanHref(v.ID, spanID)
	}
	tree.Walk(func(n *query.Node) bool {
		if n.Parent == nil || n.Parent.Service == n.Service {
			return true
		}
		if len(v.Hops) == maxHops {
			v.MoreHops++
			return true
		}
		parent := n.Parent.SpanID
		h := hop{From: clip(n.Parent.Service), FromClass: e.class(n.Parent.Service), FromSpan: cmp.Or(clip(n.Parent.Name), noName), FromHref: link(parent),
			To: clip(n.Service), ToClass: e.class(n.Service), ToSpan: cmp.Or(clip(n.Name), noName), ToHref: link(n.SpanID)}
		h.HasFlags = n.Flags != 0
		h.Text = traceparent.Header{Version: "00", TraceID: v.ID, ParentID: parent, Flags: fmt.Sprintf("%02x", n.Flags&0xff)}.String()
		if sent, ok := n.Attributes.Get(contract.AttrTraceparent).([]any); ok && len(sent) > 0 {
			h.Text, h.Received, h.HasFlags = query.FormatValue(sent[0]), true, true
		}
		var err error
		if h.Header, err = traceparent.Parse(h.Text); err != nil {
			h.Problem = err.Error()
		}
		h.TraceOK, h.ParentOK = h.Header.TraceID == v.ID, h.Header.ParentID == parent
		v.Hops = append(v.Hops, h)
		return true
	})
}
