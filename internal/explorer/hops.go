package explorer

import (
	"cmp"
	"fmt"

	"dicelab/internal/contract"
	"dicelab/internal/query"
	"dicelab/internal/traceparent"
)

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
	Count                     int // hops of the same kind
}

// maxHops limits the hops on a page, and maxOpenHops those of a list that is open.
const (
	maxHops     = 50
	maxOpenHops = 3
)

// setHops lists where the trace crosses from one service to another. Flags are those that
// were recorded: of the header, or else of the span.
func (v *traceView) setHops(e *explorer, tree *query.Tree, ask traceAsk) {
	shown := map[string]bool{}
	for _, r := range v.Rows {
		if r.Span != nil {
			shown[r.Span.SpanID] = true
		}
	}
	type kind struct{ from, fromSpan, to, toSpan string }
	like := map[kind]int{} // index of the first hop that no service recorded

	link := func(spanID string) string {
		switch {
		case shown[spanID]:
			return "#span-" + spanID
		case v.File != nil || ask.offline:
			return ""
		}
		return spanHref(v.ID, spanID)
	}
	tree.Walk(func(n *query.Node) bool {
		if n.Parent == nil || n.Parent.Service == n.Service {
			return true
		}
		v.HopCount++
		k := kind{n.Parent.Service, n.Parent.Name, n.Service, n.Name}
		if i, ok := like[k]; ok && n.Attributes.Get(contract.AttrTraceparent) == nil {
			v.Hops[i].Count++
			return true
		}
		if len(v.Hops) == maxHops {
			v.MoreHops++
			return true
		}
		parent := n.Parent.SpanID
		h := hop{Count: 1, From: clip(n.Parent.Service), FromClass: e.class(n.Parent.Service),
			FromSpan: cmp.Or(clip(n.Parent.Name), noName), FromHref: link(parent),
			To: clip(n.Service), ToClass: e.class(n.Service), ToSpan: cmp.Or(clip(n.Name), noName),
			ToHref: link(n.SpanID)}
		h.HasFlags = n.Flags != 0
		h.Text = traceparent.Header{Version: "00", TraceID: v.ID, ParentID: parent, Flags: fmt.Sprintf("%02x",
			n.Flags&0xff)}.String()
		if sent, ok := n.Attributes.Get(contract.AttrTraceparent).([]any); ok && len(sent) > 0 {
			h.Text, h.Received, h.HasFlags = query.FormatValue(sent[0]), true, true
		}
		var err error
		if h.Header, err = traceparent.Parse(h.Text); err != nil {
			h.Problem = err.Error()
		}
		h.TraceOK, h.ParentOK = h.Header.TraceID == v.ID, h.Header.ParentID == parent
		if !h.Received {
			like[k] = len(v.Hops)
		}
		v.Hops = append(v.Hops, h)
		return true
	})
	v.HopsOpen = v.HopCount <= maxOpenHops
}
