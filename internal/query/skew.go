package query

import (
	"cmp"
	"slices"
	"time"
)

// The least differences of two clocks that are reported. An answer cannot begin before its call. It
// can end a little later than that, because a server may still be busy when its client has all it
// needs, and record its end late.
const (
	minBehind    = time.Millisecond
	minAhead     = 10 * time.Millisecond
	minAheadPart = 10 // divides the call's duration
)

// Skew is a difference between the clocks of two services. It shows where a service answers a
// call outside of the time in which its caller waited for the answer.
type Skew struct {
	From, To string        // services: of the callers, and of those that answer
	Ahead    time.Duration // by how much the clock of To is ahead, about; negative if it is behind
	Call     *Node         // the first of the answers that lie outside; its parent is the call
	Calls    int           // answers that lie outside
}

// services names the two sides of a call.
type services struct{ from, to string }

// bounds are the differences of two clocks that calls permit: an answer lies inside of its call.
type bounds struct {
	low, high time.Duration
	seen      bool
	outside   []*Node
}

// findSkews finds the pairs of services whose clocks differ, and marks the spans where that shows.
// A span that takes longer than its call says nothing about clocks: its caller did not wait.
func (t *Tree) findSkews(nodes []*Node) {
	pairs := map[services]*bounds{}
	for _, n := range nodes {
		low, high, ok := callBounds(n)
		if !ok {
			continue
		}
		pair := services{n.Parent.Service, n.Service}
		b := pairs[pair]
		if b == nil {
			b = &bounds{}
			pairs[pair] = b
		}
		outside := high < -minBehind || low >= max(minAhead, n.Parent.Duration/minAheadPart)
		if l, h := max(b.low, low), min(b.high, high); !b.seen || outside && len(b.outside) == 0 {
			b.low, b.high = low, high
		} else if l <= h { // else the clock was set meanwhile
			b.low, b.high = l, h
		}
		b.seen = true
		if outside {
			b.outside = append(b.outside, n)
		}
	}
	for pair, b := range pairs {
		if len(b.outside) == 0 {
			continue
		}
		s := Skew{From: pair.from, To: pair.to, Ahead: b.low + (b.high-b.low)/2, Call: b.outside[0],
			Calls: len(b.outside)}
		for _, n := range b.outside {
			n.Ahead, n.Parent.Unplaced = s.Ahead, true
			if n.Start.Before(s.Call.Start) {
				s.Call = n
			}
		}
		t.Skews = append(t.Skews, s)
	}
	slices.SortFunc(t.Skews, func(a, b Skew) int {
		return cmp.Or(a.Call.Start.Compare(b.Call.Start), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
}

// callBounds returns the least and the greatest difference of clocks with which a span lies
// inside of the call that it answers. It reports false for a span that is no such answer.
func callBounds(n *Node) (low, high time.Duration, ok bool) {
	p := n.Parent
	if p == nil || p.Kind != KindClient || n.Kind != KindServer || p.Service == n.Service || n.Duration > p.Duration ||
		n.Unfinished || p.Unfinished || n.Backwards > 0 || p.Backwards > 0 {
		return 0, 0, false
	}
	return n.End().Sub(p.End()), n.Start.Sub(p.Start), true
}

// Aligned returns a copy of the trace in which every span has the time of the first root's clock,
// as far as the differences of clocks that the tree reports go. It leaves the trace as it is.
func (t *Trace) Aligned(tree *Tree) *Trace {
	ahead := map[services]time.Duration{}
	for _, s := range tree.Skews {
		ahead[services{s.From, s.To}] = s.Ahead
	}
	shifts := make(map[*Span]time.Duration, len(t.Spans))
	tree.Walk(func(n *Node) bool {
		if n.Parent != nil {
			shifts[n.Span] = shifts[n.Parent.Span] + ahead[services{n.Parent.Service, n.Service}]
		}
		return true
	})
	out := *t
	out.Spans = slices.Clone(t.Spans)
	for i := range out.Spans {
		shift := shifts[&t.Spans[i]]
		if shift == 0 {
			continue
		}
		s := &out.Spans[i]
		s.Start = s.Start.Add(-shift)
		s.Events = slices.Clone(s.Events)
		for j := range s.Events {
			if at := &s.Events[j].Time; at.UnixNano() != 0 { // which stands for no time
				*at = at.Add(-shift)
			}
		}
	}
	slices.SortStableFunc(out.Spans, func(a, b Span) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.SpanID,
			b.SpanID))
	})
	return &out
}
