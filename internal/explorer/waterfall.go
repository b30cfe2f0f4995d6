package explorer

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
)

// Bounds of the waterfall: beyond maxRows subtrees are left out, level by level, and opened as a
// page of their own, so that a trace of any size opens.
const (
	maxRows    = 300
	maxOffline = 2000 // rows of a page that is a file by itself
	maxDepth   = 16   // of indentation; deeper spans say their depth
	maxBars    = 100  // of a group
	maxDetails = 100  // rows of a large trace that come with the details of their span
	maxWhole   = 200  // spans of a trace that has details in all rows
)

// wfRow is a row of the waterfall, or the end of a group.
type wfRow struct {
	Span  *spanRow
	Group *groupRow
	More  *control // leads to spans that are left out here
	Depth int
	End   bool // of the rows of a group
}

// spanRow is a span in the waterfall.
type spanRow struct {
	SpanID, ParentID  string
	ParentHref        string // "" where the parent is not shown
	Long              bool   // name or service are cut in the row
	Open              bool   // the span was asked for
	Match             bool   // the search found it
	Exact             string // the duration to the nanosecond; "" if Duration says it
	Dropped           string // names what the recording SDK dropped
	DroppedOfResource string
	Anchor            string // "" for a further span with the same ID
	Name, Service     string
	Class             string
	Indent, Depth     int
	X, Width, End     string // of the bar, percent
	Critical          []bar
	OnPath            string // yes, no, or why it is unknown
	Path              bool
	Kind, Status      string
	StatusMessage     string
	Failed            bool
	BelowFailed       bool // a span beneath it failed, and this one with it
	FailedBeneath     int  // failed spans among those that are left out beneath
	Offset            string
	Duration, Self    string
	SelfShare         string
	Flags             []string
	Time              moment
	Attributes        fieldList
	Resource          fieldList
	Events            []eventRow
	MoreEvents        string // names those that are left out
	Links             []linkRow
	MoreLinks         string
	Within            string // names what is left out of lists within attributes
	Scope, TraceState string
	LogsHref          string    // "" where there are none to look at
	Marks             []rowMark // of events and log lines
	Lines             []spanLine
	MoreLines         int
	Detail            control // leads to the details, where the row has none
	Below             int     // spans left out beneath
	Beneath           control // leads to them
}

// groupRow is equal siblings in one row.
type groupRow struct {
	ID                     string // of the first span
	Name, Service, Class   string
	Indent, Depth, Count   int
	Total, Longest, Spread string
	Bars                   []bar
	End                    string // of the last bar, percent
	Marks                  []rowMark
	Open                   bool
}

type bar struct{ X, Width string }

// rowMark is an event or a log line in a row of the waterfall.
type rowMark struct {
	X, Title string
	Line     bool // a log line, not an event
	Failed   bool
}

type eventRow struct {
	Name, At   string
	Flag       string // that it lies outside of the span
	Attributes fieldList
	Dropped    string
}

type linkRow struct {
	TraceID, SpanID, Href string // Href is "" where it leads nowhere
	TraceState            string
	Attributes            fieldList
	Dropped               string
}

// waterfall lays out the spans of a tree.
type waterfall struct {
	view    *explorer
	ask     traceAsk
	tree    *query.Tree
	around  window
	scale   chart.Time
	sheet   *sheet
	outside map[*query.Node]bool // spans that do not reach into the time that is shown
	found   map[*query.Node]bool // spans that the search found
	lines   map[*query.Node][]query.LogLine
	failing map[*query.Node]bool // failed spans with a failed child
	base    int                  // depth of the first spans
}

// setScale sets the time that is shown: all of it, or the part that was asked for.
func (wf *waterfall) setScale() {
	wf.scale = chart.Time{Start: wf.tree.Start, End: wf.tree.End}
	wf.outside = map[*query.Node]bool{}
	if wf.ask.to > 0 {
		wf.scale = chart.Time{Start: wf.tree.Start.Add(wf.ask.from), End: wf.tree.Start.Add(wf.ask.to)}
		wf.tree.Walk(func(n *query.Node) bool {
			wf.outside[n] = n.End().Before(wf.scale.Start) || n.Start.After(wf.scale.End)
			return true
		})
	}
	if !wf.scale.End.After(wf.scale.Start) {
		wf.scale.End = wf.scale.Start.Add(time.Microsecond) // a trace of no length still needs a scale
	}
	if len(wf.tree.Roots) > 0 {
		wf.base = wf.tree.Roots[0].Depth
	}
}

// axisTick is a label of the axis, and its place.
type axisTick struct{ X, Anchor, Label string }

// ticks returns the labels of the axis: its quarters, so that one drawing of lines fits them all.
func (wf *waterfall) ticks() []axisTick {
	const parts = 4
	total := wf.scale.End.Sub(wf.scale.Start)
	var out []axisTick
	for i := range parts + 1 {
		d := time.Duration(float64(total) / parts * float64(i))
		if i == parts {
			d = total
		}
		t := axisTick{X: chart.Percent(100 * float64(i) / parts), Anchor: "middle", Label: duration(wf.ask.from + d)}
		switch i {
		case 0:
			t.Anchor = "start"
		case parts:
			t.Anchor = "end"
		}
		out = append(out, t)
	}
	return out
}

// rows returns the rows of the spans that are shown, in order, and how many spans there was no
// room for. target, unless it is nil, is shown whatever its place.
func (wf *waterfall) rows(target *query.Node) ([]wfRow, *selection) {
	s := wf.choose(target)
	l := layout{waterfall: wf, selection: s, more: wf.omissions(s), target: target, marks: wf.marks(s)}
	roots := wf.within(wf.tree.Roots)
	l.emit(roots, 0)
	return l.out, s
}

// layout writes the rows of a selection.
type layout struct {
	*waterfall
	*selection
	more   map[*query.Node]omitted
	marks  map[*query.Node]marked
	target *query.Node
	out    []wfRow

	details int // rows that have details, or a way to them
}

// emit writes the rows of siblings and of what is beneath them. inset is the number of groups that
// they are in.
func (l *layout) emit(siblings []*query.Node, inset int) {
	for _, n := range siblings {
		switch g := l.groups[n]; {
		case g != nil && g.members[0] == n:
			l.emitGroup(g, inset)
		case g != nil:
		case l.selection.rows[n]:
			l.emitSpan(n, inset)
		}
		if m, ok := l.more[n]; ok && m.where == "beside" {
			l.emitMore(m, n.Depth-l.base+inset)
		}
	}
}

func (l *layout) emitSpan(n *query.Node, inset int) {
	r := l.row(n, inset)
	if l.details++; l.details <= maxDetails || n == l.target || l.ask.offline || l.tree.Spans <= maxWhole {
		l.detail(&r, n)
	} else {
		r.Detail = l.ask.link("Show the details of this span", "", paramSpan, n.SpanID)
	}
	r.Open, r.Match = n == l.target, l.found[n]
	r.Marks, r.Lines, r.MoreLines = l.marks[n].marks, l.marks[n].lines, l.marks[n].moreLines
	switch {
	case n.Parent == nil:
		r.ParentHref = ""
	case !l.selection.rows[n.Parent] && (l.ask.file || l.ask.offline):
		r.ParentHref = ""
	case !l.selection.rows[n.Parent]:
		r.ParentHref = spanHref(l.ask.id, n.ParentID)
	}
	children := l.beneath(n)
	open := false
	for _, c := range children {
		open = open || l.selection.rows[c] || l.groups[c] != nil
	}
	if !open && n.Below > 0 {
		r.Below, r.FailedBeneath = n.Below, failedBeneath(n)
		r.Beneath = l.ask.link(fmt.Sprintf("Show the %d spans beneath", n.Below), "button small", append(whole(),
			paramFocus, n.SpanID)...)
	}
	l.out = append(l.out, wfRow{Span: &r, Depth: r.Depth})
	if m, ok := l.more[n]; ok && m.where == "beneath" {
		l.emitMore(m, r.Depth+1)
	}
	if open {
		l.emit(children, inset)
	}
}

func (l *layout) emitMore(m omitted, depth int) {
	text := fmt.Sprintf("%d more spans %s this one", m.count, m.where)
	if m.failed > 0 {
		text += fmt.Sprintf(", %d failed", m.failed)
	}
	to := l.ask.link(text, "", paramFocus, m.focus, paramSkip, fmt.Sprint(m.from))
	l.out = append(l.out, wfRow{More: &to, Depth: depth})
}

// emitGroup writes the row of a group, the rows of those of its spans that are shown, and a way to
// the others.
func (l *layout) emitGroup(g *group, inset int) {
	first := g.members[0]
	depth := first.Depth - l.base + inset
	r := groupRow{ID: first.SpanID, Name: cmp.Or(clip(first.Name), noName), Service: clip(first.Service),
		Class:  l.view.class(first.Service),
		Indent: min(depth, maxDepth), Depth: depth, Count: len(g.members), Marks: l.marks[first].group}
	total, longest, shortest := time.Duration(0), time.Duration(0), first.Duration
	var stretches []query.Interval
	last := first.End()
	for _, n := range g.members {
		total = addUp(total, n.Duration)
		longest, shortest = max(longest, n.Duration), min(shortest, n.Duration)
		stretches = append(stretches, query.Interval{Start: n.Start, End: n.End()})
		r.Open = r.Open || n == l.target
		if n.End().After(last) {
			last = n.End()
		}
	}
	r.Total, r.Longest, r.Spread = duration(total), duration(longest), duration(shortest)+" to "+duration(longest)
	r.Bars = l.merged(stretches, 100.0/maxBars)
	r.End = chart.Percent(max(0, min(100, l.scale.At(last))))
	l.out = append(l.out, wfRow{Group: &r, Depth: depth})
	hidden := 0
	for _, n := range g.members {
		if l.selection.rows[n] {
			l.emitSpan(n, inset+1)
		} else {
			hidden++
		}
	}
	if hidden > 0 {
		to := l.ask.link(fmt.Sprintf("All %d, a row for each", len(g.members)), "", paramFocus, first.ParentID,
			paramGroup, "off")
		if first.Parent == nil {
			to = l.ask.link(to.Text, "", paramGroup, "off")
		}
		l.out = append(l.out, wfRow{More: &to, Depth: depth + 1})
	}
	l.out = append(l.out, wfRow{End: true, Depth: depth})
}

// failedBeneath counts the failed spans beneath a span.
func failedBeneath(n *query.Node) (failed int) {
	(&query.Tree{Roots: n.Children}).Walk(func(c *query.Node) bool {
		if c.Failed() {
			failed++
		}
		return true
	})
	return failed
}

// addUp adds durations, which telemetry may give any value.
func addUp(a, b time.Duration) time.Duration {
	if b > math.MaxInt64-a {
		return math.MaxInt64
	}
	return a + b
}
