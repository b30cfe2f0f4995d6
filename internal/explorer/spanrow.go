package explorer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
)

// The texts for what has no name or no end, on every page.
const (
	noRoot = "root span not received"
	noName = "(no name)"
	noEnd  = "no end"
)

// maxInRow is the length above which a name may be cut in a row, in bytes: the style
// sheet shows some lines of it. It is whole beneath the row.
const maxInRow = 28

// minWidth is the least width of a bar, in percent, and of the gap between two stretches
// of the critical path that are drawn apart.
const minWidth = .25

// row makes the row of a span that is within inset groups.
func (wf *waterfall) row(n *query.Node, inset int) spanRow {
	x, width := wf.place(n.Start, n.Duration)
	depth := n.Depth - wf.base + inset
	r := spanRow{SpanID: n.SpanID, ParentID: n.ParentID, ParentHref: "#span-" + n.ParentID,
		Name: cmp.Or(clip(n.Name), noName), Service: clip(n.Service), Class: wf.view.class(n.Service),
		Indent: min(depth, maxDepth), Depth: depth, X: chart.Percent(x), Width: chart.Percent(width),
		End:  chart.Percent(x + width),
		Kind: n.Kind, Status: statusText(n.Status), StatusMessage: shortened(n.StatusMessage), Failed: n.Failed(),
		BelowFailed: wf.failing[n],
		Offset:      offset(n.Start.Sub(wf.tree.Start)), Duration: duration(n.Duration), Self: duration(n.SelfTime),
		Time: wf.view.moment(n.Start), Path: len(n.Critical) > 0, OnPath: "no", Exact: exact(n.Duration)}
	if r.Path {
		r.OnPath = "yes"
	}
	if n.Duration > 0 {
		r.SelfShare = percent(float64(n.SelfTime) / float64(n.Duration))
	}
	if n.Unplaced {
		r.Self, r.SelfShare, r.OnPath = "unknown", "", "unknown"
	}
	if n.Unfinished {
		r.Duration, r.Self, r.Exact = noEnd, "–", ""
	}
	r.Critical = wf.path(n.Critical)
	if !n.Duplicate && !n.Shared {
		r.Anchor = "span-" + n.SpanID
	}
	r.Flags = spanFlags(n, depth, wf.view.hidesNotes())
	return r
}

// detail adds what is shown of a span when its row is opened.
func (wf *waterfall) detail(r *spanRow, n *query.Node) {
	r.Attributes, r.Resource = wf.sheet.list(n.Attributes, n.Cut.Attributes), wf.sheet.list(n.Resource, 0)
	r.Scope, r.TraceState = clip(n.Scope), clip(n.TraceState)
	r.Dropped, r.DroppedOfResource = droppedText(n.Dropped), droppedOf(n.Dropped.Resource+n.Dropped.Scope)
	if !wf.ask.file && !wf.ask.offline {
		r.LogsHref = logsHref(query.LogFilter{Service: n.Service, TraceID: wf.ask.id}, n.SpanID, wf.around)
	}
	r.Long = len(r.Name) > maxInRow || len(r.Service) > maxInRow
	for _, ev := range n.Events[:min(len(n.Events), maxSpanRecords)] {
		r.Events = append(r.Events, eventRow{cmp.Or(clip(ev.Name), noName), wf.eventTime(ev), eventFlag(n, ev),
			wf.sheet.list(ev.Attributes, 0), droppedOf(ev.Dropped)})
	}
	r.MoreEvents = moreRecords(len(n.Events)-len(r.Events)+n.Cut.Events, "events")
	for _, l := range n.Links[:min(len(n.Links), maxSpanRecords)] {
		link := linkRow{TraceID: l.TraceID, SpanID: l.SpanID, Href: spanHref(l.TraceID, l.SpanID),
			TraceState: clip(l.TraceState),
			Attributes: wf.sheet.list(l.Attributes, 0), Dropped: droppedOf(l.Dropped)}
		if wf.ask.file || wf.ask.offline ||
			l.TraceID == "" { // what it leads to is another matter than what is stored under that ID
			link.Href = ""
		}
		r.Links = append(r.Links, link)
	}
	r.MoreLinks = moreRecords(len(n.Links)-len(r.Links)+n.Cut.Links, "links")
	r.Within = moreRecords(n.Cut.Within, "values within lists")
}

// statusText returns a status with its meaning where the word does not say it.
func statusText(status string) string {
	if status == query.StatusUnset {
		return "unset (not set to error)"
	}
	return status
}

// place returns where a bar begins and how wide it is, in percent: within the drawing, and never
// too narrow to be seen.
func (wf *waterfall) place(start time.Time, d time.Duration) (x, width float64) {
	from, to := max(0, wf.scale.At(start)), min(100, wf.scale.At(start.Add(d)))
	width = max(to-from, minWidth)
	return max(0, min(from, 100-width)), min(width, 100) // what has no length is visible at the end, too
}

// spanHref links to a span of a stored trace, which is shown whatever its place in it.
func spanHref(traceID, spanID string) string {
	if spanID == "" {
		return "/traces/" + traceID
	}
	return "/traces/" + traceID + "?span=" + spanID + "#span-" + spanID
}

// path returns the stretches of the critical path that are shown. Stretches that look like one in
// the drawing are one.
func (wf *waterfall) path(stretches []query.Interval) []bar {
	ordered := make([]query.Interval, 0, len(stretches))
	for _, s := range slices.Backward(stretches) { // the last comes first
		ordered = append(ordered, s)
	}
	return wf.merged(ordered, minWidth)
}

// merged returns bars for stretches that are in order of their start. A bar is for several of them
// where the gap between them is less than gap, in percent.
func (wf *waterfall) merged(stretches []query.Interval, gap float64) (bars []bar) {
	var from, to float64 // of the last one
	some := false
	add := func() { bars = append(bars, bar{chart.Percent(from), chart.Percent(to - from)}) }
	for _, s := range stretches {
		start, end := max(0, wf.scale.At(s.Start)), min(100, wf.scale.At(s.End))
		if start > 100 || end < 0 || end < start {
			continue
		}
		start = min(start, 100-minWidth)
		end = max(end, start+minWidth)
		switch {
		case !some:
			from, to, some = start, end, true
		case start-to < gap:
			to = max(to, end)
		default:
			add()
			from, to = start, end
		}
	}
	if some {
		add()
	}
	return bars
}

// spanFlags returns what is unusual about a span.
func spanFlags(n *query.Node, depth int, hideClocks bool) (flags []string) {
	for _, f := range []struct {
		on   bool
		text string
	}{
		{n.Orphan, "parent " + n.ParentID + " missing"},
		{n.Cycle, "parents form a circle"},
		{n.Duplicate, "span ID used twice"},
		{n.Shared, "shares its span ID with the caller"},
		{n.Unfinished, noEnd},
		{n.Backwards > 0, "ends " + duration(n.Backwards) + " before it starts"},
		{n.Ahead > 0 && !hideClocks, "clock " + duration(n.Ahead) + " ahead"},
		{n.Ahead < 0 && !hideClocks, "clock " + duration(-n.Ahead) + " behind"},
		{n.Early > 0 && n.Ahead == 0 && !hideClocks, "starts " + duration(n.Early) + " before its parent"},
		{depth > maxDepth, fmt.Sprintf("depth %d", depth)},
	} {
		if f.on {
			flags = append(flags, f.text)
		}
	}
	return flags
}

// hasTime reports whether an event has a time: 0 is written for none.
func hasTime(ev query.Event) bool { return ev.Time.UnixNano() != 0 }

func (wf *waterfall) eventTime(ev query.Event) string {
	if !hasTime(ev) {
		return ""
	}
	return "at " + offset(ev.Time.Sub(wf.tree.Start))
}

// eventFlag says that an event lies outside of its span, or has no time.
func eventFlag(n *query.Node, ev query.Event) string {
	before, after := n.Start.Sub(ev.Time), ev.Time.Sub(n.End())
	switch {
	case !hasTime(ev):
		return "no time"
	case before > 0:
		return duration(before) + " before the span"
	case after > 0 && !n.Unfinished && n.Backwards == 0:
		return duration(after) + " after the span"
	}
	return ""
}

// droppedText names what was dropped where a span was recorded.
func droppedText(d query.Dropped) string {
	var parts []string
	for _, p := range []struct {
		n         int
		one, many string
	}{{d.Attributes, "attribute", "attributes"}, {d.Events, "event", "events"}, {d.Links, "link", "links"}} {
		if p.n > 0 {
			parts = append(parts, count(p.n, p.one, p.many))
		}
	}
	switch n := d.Attributes + d.Events + d.Links; {
	case n == 0:
		return ""
	case n == 1:
		return parts[0] + " was dropped where the span was recorded: its SDK limits how many it keeps."
	}
	return strings.Join(parts, ", ") + " were dropped where the span was recorded: its SDK limits how many it keeps."
}

// droppedOf names attributes that were dropped of an event, a link or a resource.
func droppedOf(n int) string {
	if n == 0 {
		return ""
	}
	return count(n, "attribute was", "attributes were") + " dropped where it was recorded."
}

// offset writes a time from the beginning of a trace.
func offset(d time.Duration) string {
	if d < 0 {
		return duration(d)
	}
	return "+" + duration(d)
}

// Summary returns what a row shows by its drawing alone, for screen readers.
func (r spanRow) Summary() string {
	parts := []string{fmt.Sprintf("level %d", r.Depth+1), "starts at " + r.Offset, "self time " + r.Self}
	if r.Path {
		parts = append(parts, "on the critical path")
	}
	if r.Match {
		parts = append(parts, "found")
	}
	if n := len(r.Lines) + r.MoreLines; n > 0 {
		parts = append(parts, count(n, "log line", "log lines"))
	}
	return strings.Join(parts, ", ")
}
