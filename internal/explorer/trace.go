package explorer

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
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
	LogsHref, JSONHref    string
	Traceparent           string
	Focus, FocusName      string
	All                   control // leads from a subtree to the whole
	MetricsHref           string
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
	e.render(w, http.StatusOK, "trace", page{Wide: true, Title: view.Root + " " + id[:8], Section: "Traces", Data: view})
}

// traceID reads the ID in the path. One without its leading zeros, or in
// capitals, is answered with a redirect to the full one.
func (e *explorer) traceID(w http.ResponseWriter, r *http.Request) (string, bool) {
	given := r.PathValue("id")
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
		Root: clip(tree.Roots[0].Name), RootService: clip(tree.Roots[0].Service)}
	v.DieClass = dieClass(v.Die)
	if v.Result == "" {
		v.Result = t.Text(contract.AttrRollValue)
	}
	around := around(tree.Start, tree.End, e.Now())
	v.LogsHref = logsHref(query.LogFilter{TraceID: t.ID}, "", around)
	v.MetricsHref = "/metrics?" + around.values().Encode()
	v.Notes = traceNotes(t, tree)
	v.Services = e.shares(tree)

	wf := waterfall{view: e, traceID: t.ID, around: around, file: file != nil, sheet: &sheet{maxSheet}}
	show := tree
	if focus, err := query.ParseSpanID(params.Get("focus")); err == nil {
		if n := tree.Find(focus); n != nil {
			show = &query.Tree{Roots: []*query.Node{n}, Start: n.Start, End: n.End(), Spans: n.Below + 1}
			for _, c := range n.Children {
				if c.End().After(show.End) {
					show.End = c.End()
				}
			}
			v.Focus, v.FocusName, v.All = focus, clip(n.Service+" "+n.Name), wf.linkTo("Show the whole trace", "", "", 0)
		}
	}
	wf.tree, wf.scale = show, chart.Time{Start: show.Start, End: show.End}
	if !show.End.After(show.Start) {
		wf.scale.End = show.Start.Add(time.Microsecond) // a trace of no length still needs a scale
	}
	v.Ticks = wf.ticks()
	v.Rows = wf.rows(skipped(params))
	v.Hops = e.hops(tree, t.ID)
	return v
}

// traceNotes returns what is wrong with a trace, if anything is.
func traceNotes(t *query.Trace, tree *query.Tree) []string {
	var notes []string
	if t.Partial {
		notes = append(notes, "The trace store says that spans are missing. "+t.Message)
	}
	var orphans, cycles, duplicates int
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
	Received                  bool // as the receiving span recorded it; else put together from its parent ID
	Problem                   string
	TraceOK, ParentOK         bool
}

// hops lists where the trace crosses from one service to another.
func (e *explorer) hops(tree *query.Tree, traceID string) []hop {
	var out []hop
	tree.Walk(func(n *query.Node) bool {
		if n.Parent == nil || n.Parent.Service == n.Service || len(out) == 50 {
			return true
		}
		h := hop{From: n.Parent.Service, FromClass: e.class(n.Parent.Service), FromSpan: n.Parent.Name, FromHref: "#span-" + n.ParentID,
			To: n.Service, ToClass: e.class(n.Service), ToSpan: n.Name, ToHref: "#span-" + n.SpanID}
		h.Text = traceparent.Header{Version: "00", TraceID: traceID, ParentID: n.ParentID, Flags: "01"}.String()
		if sent, ok := n.Attributes.Get(contract.AttrTraceparent).([]any); ok && len(sent) > 0 {
			h.Text, h.Received = query.FormatValue(sent[0]), true
		}
		var err error
		if h.Header, err = traceparent.Parse(h.Text); err != nil {
			h.Problem = err.Error()
		}
		h.TraceOK, h.ParentOK = h.Header.TraceID == traceID, h.Header.ParentID == n.ParentID
		out = append(out, h)
		return true
	})
	return out
}
