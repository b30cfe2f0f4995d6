package explorer

import (
	"net/url"
	"strconv"

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
	ParentHref        string // "" where the parent is not shown
	Long              bool   // name or service are cut in the row
	Open              bool   // the span was asked for
	Exact             string // the duration to the nanosecond; "" if Duration says it
	Dropped           string // names what the recording SDK dropped
	DroppedOfResource string
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
