package explorer

import (
	"cmp"
	"fmt"
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

func (wf waterfall) row(n *query.Node, base int) spanRow {
	width := max(wf.scale.Width(n.Duration), minWidth)
	x := min(wf.scale.At(n.Start), 100-min(width, 100)) // what has no length is visible at the end, too
	depth := n.Depth - base
	r := spanRow{SpanID: n.SpanID, ParentID: n.ParentID, ParentHref: "#span-" + n.ParentID,
		Name: cmp.Or(clip(n.Name), noName), Service: clip(n.Service), Class: wf.view.class(n.Service),
		Indent: min(depth, maxDepth), Depth: depth, X: chart.Percent(x), Width: chart.Percent(width),
		Kind: n.Kind, Status: n.Status, StatusMessage: shortened(n.StatusMessage), Failed: n.Failed(),
		Offset: offset(n.Start.Sub(wf.scale.Start)), Duration: duration(n.Duration), Self: duration(n.SelfTime),
		Time: wf.view.moment(n.Start), Attributes: wf.sheet.list(n.Attributes, n.Cut.Attributes), Resource: wf.sheet.list(n.Resource, 0),
		Scope: clip(n.Scope), TraceState: clip(n.TraceState), OnPath: len(n.Critical) > 0, Exact: exact(n.Duration),
		Dropped: droppedText(n.Dropped), DroppedOfResource: droppedOf(n.Dropped.Resource + n.Dropped.Scope)}
	if n.Unfinished {
		r.Duration, r.Self, r.Exact = noEnd, "–", ""
	}
	if !wf.file {
		r.LogsHref = logsHref(query.LogFilter{Service: n.Service, TraceID: wf.traceID}, n.SpanID, wf.around)
	}
	if n.Duration > 0 {
		r.SelfShare = percent(float64(n.SelfTime) / float64(n.Duration))
	}
	r.Long = len(r.Name) > maxInRow || len(r.Service) > maxInRow
	r.Critical = wf.path(n.Critical)
	if !n.Duplicate && !n.Shared {
		r.Anchor = "span-" + n.SpanID
	}
	r.Flags = spanFlags(n, depth)
	for _, ev := range n.Events[:min(len(n.Events), maxSpanRecords)] {
		r.Events = append(r.Events, eventRow{cmp.Or(clip(ev.Name), noName), wf.eventTime(ev), eventFlag(n, ev), wf.sheet.list(ev.Attributes, 0), droppedOf(ev.Dropped)})
	}
	r.MoreEvents = moreRecords(len(n.Events)-len(r.Events)+n.Cut.Events, "events")
	for _, l := range n.Links[:min(len(n.Links), maxSpanRecords)] {
		link := linkRow{TraceID: l.TraceID, SpanID: l.SpanID, Href: spanHref(l.TraceID, l.SpanID), TraceState: clip(l.TraceState),
			Attributes: wf.sheet.list(l.Attributes, 0), Dropped: droppedOf(l.Dropped)}
		if wf.file || l.TraceID == "" { // what it leads to is another matter than what is stored under that ID
			link.Href = ""
		}
		r.Links = append(r.Links, link)
	}
	r.MoreLinks = moreRecords(len(n.Links)-len(r.Links)+n.Cut.Links, "links")
	r.Within = moreRecords(n.Cut.Within, "values within lists")
	return r
}

// spanHref links to a span of a stored trace, which is shown whatever its place in it.
func spanHref(traceID, spanID string) string {
	if spanID == "" {
		return "/traces/" + traceID
	}
	return "/traces/" + traceID + "?span=" + spanID + "#span-" + spanID
}

// path returns the stretches of the critical path, those together that cannot be told
// apart in the drawing.
func (wf waterfall) path(stretches []query.Interval) (bars []bar) {
	var from, to float64 // of the last one
	add := func() { bars = append(bars, bar{chart.Percent(from), chart.Percent(to - from)}) }
	for i := len(stretches) - 1; i >= 0; i-- { // the last comes first
		start, end := wf.scale.At(stretches[i].Start), wf.scale.At(stretches[i].End)
		switch {
		case i == len(stretches)-1:
			from, to = start, end
		case start-to < minWidth:
			to = max(to, end)
		default:
			add()
			from, to = start, end
		}
	}
	if len(stretches) > 0 {
		add()
	}
	return bars
}

// spanFlags returns what is unusual about a span.
func spanFlags(n *query.Node, depth int) (flags []string) {
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
		{n.Early > 0, "starts " + duration(n.Early) + " before its parent"},
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

func (wf waterfall) eventTime(ev query.Event) string {
	if !hasTime(ev) {
		return ""
	}
	return "at " + offset(ev.Time.Sub(wf.scale.Start))
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
