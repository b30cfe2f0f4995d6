package explorer

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
)

// maxRows bounds the waterfall: beyond it subtrees are collapsed, level by
// level, and opened as a page of their own, so that a trace of any size opens.
const (
	maxRows  = 300
	maxDepth = 16 // of indentation; deeper spans say their depth
)

// spanRow is a span in the waterfall.
type spanRow struct {
	SpanID, ParentID  string
	Anchor            string // "" for a further span with the same ID
	Name, Service     string
	Class             string
	Indent, Depth     int
	X, Width          string // of the bar, percent
	LabelRight        bool
	Ticks             []axisTick
	Critical          []bar
	OnPath            bool
	Kind, Status      string
	StatusMessage     string
	Failed            bool
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
	LogsHref          string  // "" where there are none to look at
	Below             int     // spans collapsed beneath
	Beneath           control // leads to them
	More              int     // siblings left out after this row
	Beside            control // leads to them
}

type bar struct{ X, Width string }

type eventRow struct {
	Name, Offset string
	Attributes   fieldList
}

type linkRow struct {
	TraceID, SpanID, Href string // Href is "" where it leads nowhere
	Attributes            fieldList
}

// waterfall lays out the spans of a tree.
type waterfall struct {
	view    *explorer
	tree    *query.Tree
	traceID string
	around  window
	scale   chart.Time
	file    bool // the trace is in a file alone
	sheet   *sheet
}

// linkTo returns a link to a part of the trace: the spans beneath focus, or all if focus is
// "", without the first skip of them.
func (wf waterfall) linkTo(text, class, focus string, skip int) control {
	v := url.Values{}
	if focus != "" {
		v.Set("focus", focus)
	}
	if skip > 0 {
		v.Set("skip", strconv.Itoa(skip))
	}
	to := control{Text: text, Class: class}
	if wf.file {
		v.Set("trace", wf.traceID)
		to.Show = v.Encode()
		return to
	}
	to.Href = "/traces/" + wf.traceID
	if len(v) > 0 {
		to.Href += "?" + v.Encode()
	}
	return to
}

func (wf waterfall) ticks() []axisTick {
	var out []axisTick
	total := wf.scale.End.Sub(wf.scale.Start)
	for _, d := range chart.DurationTicks(total, 4) {
		x := wf.scale.Width(d)
		t := axisTick{X: chart.Percent(x), Anchor: "middle", Label: duration(d)}
		switch {
		case d == 0:
			t.Anchor, t.Label = "start", "0"
		case x > 94:
			t.Anchor = "end"
		}
		out = append(out, t)
	}
	return out
}

// rows returns the rows of the spans that are shown, in order. It leaves out the first skip
// children of the top span: the rest of a long list is reached with a link.
func (wf waterfall) rows(skip int) []spanRow {
	shown, more := wf.choose(skip)
	var out []spanRow
	ticks := wf.ticks()
	base := 0
	if len(wf.tree.Roots) > 0 {
		base = wf.tree.Roots[0].Depth
	}
	wf.tree.Walk(func(n *query.Node) bool {
		if !shown[n] {
			return false
		}
		r := wf.row(n, base)
		r.Ticks = ticks
		open := false
		for _, c := range n.Children {
			open = open || shown[c]
		}
		if !open {
			r.Below = n.Below
			r.Beneath = wf.linkTo(fmt.Sprintf("Show the %d spans beneath", n.Below), "button small", n.SpanID, 0)
		}
		if m, ok := more[n]; ok {
			r.More = m.count
			r.Beside = wf.linkTo(fmt.Sprintf("%d more spans beside this one", m.count), "", n.ParentID, m.from)
		}
		out = append(out, r)
		return true
	})
	return out
}

type omitted struct{ count, from int }

// choose picks what is shown: level by level while there is room. Of a level
// that does not fit as a whole, the first spans are shown.
func (wf waterfall) choose(skip int) (map[*query.Node]bool, map[*query.Node]omitted) {
	shown, more := map[*query.Node]bool{}, map[*query.Node]omitted{}
	level := wf.tree.Roots
	for first := true; len(level) > 0 && len(shown) < maxRows; first = false {
		var next []*query.Node
		for i, n := range level {
			if len(shown) == maxRows {
				// Siblings that are left out are reached from the last one shown;
				// roots have no parent to open, and a trace has few.
				if last := level[i-1]; last.Parent != nil && last.Parent == n.Parent {
					rest := len(n.Parent.Children) - indexOf(n.Parent.Children, n)
					more[last] = omitted{rest, len(n.Parent.Children) - rest}
				}
				break
			}
			shown[n] = true
			children := n.Children
			if first && skip > 0 && skip < len(children) {
				children = children[skip:]
			}
			next = append(next, children...)
		}
		level = next
	}
	return shown, more
}

func indexOf(nodes []*query.Node, n *query.Node) int {
	for i := range nodes {
		if nodes[i] == n {
			return i
		}
	}
	return len(nodes)
}

func (wf waterfall) row(n *query.Node, base int) spanRow {
	x, width := wf.scale.At(n.Start), wf.scale.Width(n.Duration)
	depth := n.Depth - base
	r := spanRow{SpanID: n.SpanID, ParentID: n.ParentID, Name: clip(n.Name), Service: clip(n.Service), Class: wf.view.class(n.Service),
		Indent: min(depth, maxDepth), Depth: depth, X: chart.Percent(x), Width: chart.Percent(max(width, .25)),
		Kind: n.Kind, Status: n.Status, StatusMessage: shortened(n.StatusMessage), Failed: n.Failed(),
		Offset: "+" + duration(n.Start.Sub(wf.scale.Start)), Duration: duration(n.Duration), Self: duration(n.SelfTime),
		Time: wf.view.moment(n.Start), Attributes: wf.sheet.list(n.Attributes, n.Cut.Attributes), Resource: wf.sheet.list(n.Resource, 0),
		Scope: clip(n.Scope), TraceState: clip(n.TraceState), OnPath: len(n.Critical) > 0}
	if !wf.file {
		r.LogsHref = logsHref(query.LogFilter{Service: n.Service, TraceID: wf.traceID}, n.SpanID, wf.around)
	}
	if n.Duration > 0 {
		r.SelfShare = percent(float64(n.SelfTime) / float64(n.Duration))
	}
	for _, c := range n.Critical {
		r.Critical = append(r.Critical, bar{chart.Percent(wf.scale.At(c.Start)), chart.Percent(wf.scale.Width(c.End.Sub(c.Start)))})
	}
	if n.Orphan {
		r.Flags = append(r.Flags, "parent "+n.ParentID+" missing")
	}
	if n.Cycle {
		r.Flags = append(r.Flags, "parents form a circle")
	}
	if !n.Duplicate {
		r.Anchor = "span-" + n.SpanID
	} else {
		r.Flags = append(r.Flags, "span ID used twice")
	}
	if n.Early > 0 {
		r.Flags = append(r.Flags, "starts "+duration(n.Early)+" before its parent")
	}
	if depth > maxDepth {
		r.Flags = append(r.Flags, fmt.Sprintf("depth %d", depth))
	}
	for _, ev := range n.Events[:min(len(n.Events), maxSpanRecords)] {
		r.Events = append(r.Events, eventRow{clip(ev.Name), "+" + duration(ev.Time.Sub(wf.scale.Start)), wf.sheet.list(ev.Attributes, 0)})
	}
	r.MoreEvents = moreRecords(len(n.Events)-len(r.Events)+n.Cut.Events, "events")
	for _, l := range n.Links[:min(len(n.Links), maxSpanRecords)] {
		link := linkRow{l.TraceID, l.SpanID, "/traces/" + l.TraceID + "#span-" + l.SpanID, wf.sheet.list(l.Attributes, 0)}
		if wf.file || l.TraceID == "" { // what it leads to is another matter than what is stored under that ID
			link.Href = ""
		}
		r.Links = append(r.Links, link)
	}
	r.MoreLinks = moreRecords(len(n.Links)-len(r.Links)+n.Cut.Links, "links")
	r.Within = moreRecords(n.Cut.Within, "values within lists")
	return r
}

// Summary returns the text of the bar for screen readers.
func (r spanRow) Summary() string {
	parts := []string{r.Service, r.Name, "starts at " + r.Offset, "takes " + r.Duration, "self time " + r.Self}
	if r.Failed {
		parts = append(parts, "failed")
	}
	if r.OnPath {
		parts = append(parts, "on the critical path")
	}
	return strings.Join(parts, ", ")
}
