package explorer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
)

// Limits of the comparison of two traces.
const (
	maxCompared  = 300 // rows
	maxCauseRows = 5   // of the list of the largest differences
	likeWindow   = time.Hour
	maxLike      = 100 // traces that are looked at for one that is like this
)

// The traces that a comparison finds by itself.
const (
	withTypical = "typical" // of those with the same root, the one in the middle by duration
	withFastest = "fastest"
)

type compareView struct {
	ID, With   string
	InputError string
	Failure    *failure
	A, B       *compareSide // nil until both are read
	Verdict    string
	Notes      []string
	Causes     []compareRow
	Rows       []compareRow
	Left       int // rows without a difference that are not shown
	Only       bool
	Toggle     control
	Swap       string
}

// compareSide is one of two traces that are compared.
type compareSide struct {
	ID, Short, Href, Service, Class, Root, Duration string
	Time                                            moment
	Spans, Errors                                   int

	took time.Duration
	tree *query.Tree
}

// compareRow is the spans of one path of names in both traces.
type compareRow struct {
	Anchor               string
	Name, Service, Class string
	Indent, Depth        int
	State                string // missing, new, or "" for spans in both
	A, B                 comparePart
	Difference           string
	SelfDifference       string
	Notable              bool

	self time.Duration
}

// comparePart is the spans of a row in one of the traces.
type comparePart struct {
	Text     string // duration and number
	Href     string
	Failed   int
	X, Width string // percent
	Here     bool
}

func (e *explorer) compare(w http.ResponseWriter, r *http.Request) {
	id, ok := e.savedID(w, r)
	if !ok {
		return
	}
	v := compareView{ID: id, With: trimmed(r, "with"), Only: r.URL.Query().Get(paramOnly) == "differences"}
	status := http.StatusOK
	switch v.With {
	case "":
	case withTypical, withFastest:
		if with := e.like(r.Context(), &v); with != "" {
			http.Redirect(w, r, compareHref(id, with, false), http.StatusSeeOther)
			return
		}
		v.With = ""
		status = http.StatusNotFound
	default:
		status = e.readBoth(r.Context(), &v)
	}
	if v.Failure != nil {
		status = v.Failure.status()
	}
	e.render(w, status, "compare", page{Wide: true, Title: "Compare trace " + id[:8], Section: "Traces", Data: &v})
}

// compareHref links to a comparison.
func compareHref(id, with string, only bool) string {
	p := url.Values{"with": {with}}
	if only {
		p.Set(paramOnly, "differences")
	}
	return "/traces/" + id + "/compare?" + p.Encode()
}

// like finds a trace with the same root as another: the fastest, or one of the usual duration. If there is
// none, or it cannot be found, it returns "" and the view says why.
func (e *explorer) like(ctx context.Context, v *compareView) string {
	t, err := e.Tempo.Trace(ctx, v.ID)
	if err != nil {
		v.fail(v.ID, err)
		return ""
	}
	tree := t.Tree()
	root := tree.Roots[0]
	traceQL := "{" + query.Roots + " && " + strings.TrimPrefix(query.SpanFilter{Service: root.Service, Name: root.Name,
		Status: query.StatusNotError}.TraceQL(), "{")
	around := window{Start: tree.Start.Add(-likeWindow), End: tree.End.Add(likeWindow)}
	if now := e.Now(); tree.Start.Before(now) && around.End.After(now) {
		around.End = now
	}
	found, err := e.Tempo.Search(ctx, query.Search{TraceQL: traceQL, Start: around.Start, End: around.End,
		Limit: maxLike})
	if err != nil {
		v.Failure = newFailure(err)
		return ""
	}
	others := slices.DeleteFunc(found.Traces, func(f query.Found) bool { return f.TraceID == v.ID })
	if len(others) == 0 {
		v.InputError = fmt.Sprintf("there is no other trace of %s %s within an hour of this one that "+
			"did not fail: give the ID of a trace", clip(root.Service), clip(root.Name))
		return ""
	}
	slices.SortStableFunc(others, func(a, b query.Found) int { return cmp.Compare(a.Duration, b.Duration) })
	if v.With == withFastest {
		return others[0].TraceID
	}
	return others[len(others)/2].TraceID
}

// fail records why a trace cannot be compared.
func (v *compareView) fail(id string, err error) {
	if errors.Is(err, query.ErrNotFound) {
		v.InputError = "there is no trace " + id
		return
	}
	v.Failure = newFailure(err)
}

// readBoth reads and compares the traces, and returns the status of the page.
func (e *explorer) readBoth(ctx context.Context, v *compareView) int {
	ids, err := e.findID(ctx, v.With)
	if err == nil && len(ids) == 0 {
		var id string
		id, err = query.ParseTraceID(v.With)
		ids = []string{id}
	}
	if err != nil {
		v.InputError = err.Error()
		return http.StatusBadRequest
	}
	v.With = ids[0]
	if v.With == v.ID {
		v.InputError = "this is the same trace: give the ID of another one"
		return http.StatusBadRequest
	}
	var traces [2]*query.Trace
	for i, id := range []string{v.ID, v.With} { // one after the other, since both may be large
		if traces[i], err = e.Tempo.Trace(ctx, id); err != nil {
			v.fail(id, err)
			return http.StatusNotFound
		}
	}
	v.A, v.B = e.side(traces[0], v), e.side(traces[1], v)
	v.Swap = compareHref(v.With, v.ID, v.Only)
	v.compareTrees(e)
	return http.StatusOK
}

// side describes one of the traces.
func (e *explorer) side(t *query.Trace, v *compareView) *compareSide {
	tree := t.Tree()
	if len(tree.Skews) > 0 {
		v.Notes = append(v.Notes, "The clocks of the services of "+t.ID[:8]+" differ: it is shown as if they agreed.")
		tree = t.Aligned(tree).Tree()
	}
	if t.Partial {
		v.Notes = append(v.Notes, "The trace store says that spans of "+t.ID[:8]+" are missing. "+t.Message)
	}
	s := &compareSide{ID: t.ID, Short: t.ID[:8], Href: "/traces/" + t.ID, Time: e.moment(tree.Start), Spans: tree.Spans,
		Errors: t.Errors(), took: tree.Duration(), tree: tree}
	s.Service, s.Root = rootOf(tree)
	s.Class, s.Duration = e.class(s.Service), duration(s.took)
	return s
}

// compareTrees aligns the traces by the names of their spans, and lists the differences.
func (v *compareView) compareTrees(e *explorer) {
	longest := max(v.A.took, v.B.took, 1)
	least := max(longest/100, time.Microsecond)
	var all []compareRow
	keep := []int{} // for each row, the index of the row above it, or -1
	missing, added := 0, 0
	type pair struct {
		a, b  *frame
		depth int
		above int
	}
	pending := pairs(frames(v.A.tree), frames(v.B.tree), func(a, b *frame) pair { return pair{a, b, 0, -1} })
	for len(pending) > 0 {
		p := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		r := v.row(e, p.a, p.b, p.depth, longest, least)
		r.Anchor = fmt.Sprintf("row-%d", len(all))
		missing += max(0, p.a.count()-p.b.count())
		added += max(0, p.b.count()-p.a.count())
		at := len(all)
		all, keep = append(all, r), append(keep, p.above)
		pending = append(pending, pairs(p.a, p.b, func(a, b *frame) pair { return pair{a, b, p.depth + 1, at} })...)
	}
	v.Verdict = v.verdict(missing, added)
	v.causes(all, least)
	v.choose(all, keep)
}

// pairs returns the children of two frames, those with one name together, so that the first is the
// last in the list. Either frame may be nil.
func pairs[T any](a, b *frame, make func(a, b *frame) T) (out []T) {
	var as, bs []*frame
	if a != nil {
		as = a.children
	}
	if b != nil {
		bs = slices.Clone(b.children)
	}
	for _, c := range as {
		i := slices.IndexFunc(bs, func(o *frame) bool { return o.service == c.service && o.name == c.name })
		if i < 0 {
			out = append(out, make(c, nil))
			continue
		}
		out = append(out, make(c, bs[i]))
		bs = slices.Delete(bs, i, i+1)
	}
	for _, c := range bs {
		out = append(out, make(nil, c))
	}
	slices.Reverse(out)
	return out
}

// row compares the spans of one path.
func (v *compareView) row(e *explorer, a, b *frame, depth int, longest, least time.Duration) compareRow {
	f := cmp.Or(a, b)
	r := compareRow{Name: cmp.Or(clip(f.name), noName), Service: clip(f.service), Class: e.class(f.service),
		Indent: min(depth, maxDepth), Depth: depth}
	scale := chart.Time{End: time.Time{}.Add(longest)}
	part := func(f *frame, side *compareSide) comparePart {
		if f == nil {
			return comparePart{}
		}
		p := comparePart{Here: true, Text: duration(f.total), Failed: f.failed, Href: spanHref(side.ID, f.first.SpanID)}
		if f.spans > 1 {
			p.Text += fmt.Sprintf(" ×%d", f.spans)
		}
		width := max(minWidth, min(scale.Width(f.to-f.from), 100))
		p.X, p.Width = chart.Percent(max(0, min(scale.Width(f.from), 100-width))), chart.Percent(width)
		return p
	}
	r.A, r.B = part(a, v.A), part(b, v.B)
	switch {
	case b == nil:
		r.State, r.Notable, r.self = "missing", true, -a.self
	case a == nil:
		r.State, r.Notable, r.self = "new", true, b.self
	default:
		d := b.total - a.total
		r.self = b.self - a.self
		r.Difference = signed(d)
		r.Notable = d.Abs() >= least || a.spans != b.spans || (a.failed > 0) != (b.failed > 0)
	}
	r.SelfDifference = signed(r.self)
	return r
}

// signed writes a difference.
func signed(d time.Duration) string {
	if d > 0 {
		return "+" + duration(d)
	}
	return duration(d)
}

// verdict says in a sentence how the second trace differs from the first.
func (v *compareView) verdict(missing, added int) string {
	d := v.B.took - v.A.took
	text := fmt.Sprintf("B took as long as A, %s", v.B.Duration)
	if d != 0 {
		word := "longer"
		if d < 0 {
			word = "shorter"
		}
		text = fmt.Sprintf("B took %s, %s %s than A", v.B.Duration, duration(d.Abs()), word)
		if v.A.took > 0 {
			text += fmt.Sprintf(" (%s of it)", percent(float64(v.B.took)/float64(v.A.took)))
		}
	}
	if missing > 0 {
		text += "; " + count(missing, "span of A is", "spans of A are") + " missing in B"
	}
	if added > 0 {
		text += "; " + count(added, "span of B is", "spans of B are") + " new"
	}
	if missing+added == 0 {
		text += "; both have the same calls"
	}
	return text + "."
}

// causes lists the rows whose self time differs most.
func (v *compareView) causes(all []compareRow, least time.Duration) {
	largest := slices.Clone(all)
	slices.SortStableFunc(largest, func(a, b compareRow) int { return cmp.Compare(b.self.Abs(), a.self.Abs()) })
	for _, r := range largest[:min(len(largest), maxCauseRows)] {
		if r.self.Abs() >= least {
			v.Causes = append(v.Causes, r)
		}
	}
}

// choose picks the rows that are shown: all, or, if that was asked for or they are too many, those
// with a difference and the ones above these.
func (v *compareView) choose(all []compareRow, above []int) {
	v.Toggle = control{Text: "Differences only", Href: compareHref(v.ID, v.With, true)}
	if v.Only {
		v.Toggle = control{Text: "All rows", Href: compareHref(v.ID, v.With, false)}
	}
	shown := make([]bool, len(all))
	for i, r := range all {
		for at := i; r.Notable && at >= 0 && !shown[at]; at = above[at] {
			shown[at] = true
		}
	}
	for i, r := range all {
		if !shown[i] && (v.Only || len(all) > maxCompared) || len(v.Rows) >= maxCompared {
			v.Left++
			continue
		}
		v.Rows = append(v.Rows, r)
	}
	causes := v.Causes[:0]
	for _, c := range v.Causes { // links lead to rows that are shown
		if !slices.ContainsFunc(v.Rows, func(r compareRow) bool { return r.Anchor == c.Anchor }) {
			c.Anchor = ""
		}
		causes = append(causes, c)
	}
	v.Causes = causes
}
