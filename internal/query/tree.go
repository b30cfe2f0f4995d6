package query

import (
	"slices"
	"sort"
	"time"
)

// Interval is a stretch of time.
type Interval struct{ Start, End time.Time }

// Node is a span in its place.
type Node struct {
	*Span
	Parent   *Node
	Children []*Node // by start
	Depth    int     // 0 for a root
	Below    int     // how many spans are beneath it
	// SelfTime is the span's time in which none of its children ran.
	SelfTime time.Duration
	// Critical lists the stretches in which this span, and none beneath it, held
	// up the end of its root. Empty off the critical path.
	Critical []Interval

	Orphan    bool          // its parent is not in the trace
	Cycle     bool          // its parent is beneath it; shown as a root
	Duplicate bool          // an earlier span has the same ID
	Shared    bool          // its ID is also that of the client's span of the same call, which is its parent here
	Early     time.Duration // by how much it starts before its parent: the clocks disagree
	// Ahead is the difference between the clock of this span and that of its caller in another
	// service, where the span lies outside of the call: positive if this one is ahead. See [Skew].
	Ahead time.Duration
	// Unplaced reports that a call of this span is answered by a span with another clock. When the
	// answer began is unknown, so there is neither self time nor critical path of this span.
	Unplaced bool
}

// Tree is a trace put in order. It holds every span exactly once, whatever is
// wrong with the trace.
type Tree struct {
	Roots      []*Node // by start
	Start, End time.Time
	Spans      int
	Redundant  int // spans that came twice, all alike, and are shown once
	Skews      []Skew
}

// Duration returns the time from the first start to the last end.
func (t *Tree) Duration() time.Duration { return t.End.Sub(t.Start) }

// Walk calls f for every node, parents before children, in order of start.
// Where f returns false the nodes beneath are left out.
func (t *Tree) Walk(f func(*Node) bool) {
	stack := reversed(t.Roots)
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if f(n) {
			stack = append(stack, reversed(n.Children)...)
		}
	}
}

// Find returns the first node with the span ID, or nil.
func (t *Tree) Find(spanID string) *Node {
	var found *Node
	t.Walk(func(n *Node) bool {
		if found == nil && n.SpanID == spanID {
			found = n
		}
		return found == nil
	})
	return found
}

// Tree puts the spans in order. It tolerates missing parents, several roots,
// parents in a circle, several spans with one ID and clocks that disagree: none
// of them loses a span, and each is marked on its node.
func (t *Trace) Tree() *Tree {
	tree := &Tree{}
	byID := make(map[string]namesakes, len(t.Spans))
	type identity struct {
		id, service, name string
		start             time.Time
		d                 time.Duration
	}
	seen := make(map[identity]bool, len(t.Spans))
	var nodes []*Node
	for i := range t.Spans {
		s := &t.Spans[i]
		key := identity{s.SpanID, s.Service, s.Name, s.Start, s.Duration}
		if seen[key] {
			// Delivered twice: OTLP promises at least once, not exactly once.
			tree.Redundant++
			continue
		}
		seen[key] = true
		n := &Node{Span: s}
		nodes = append(nodes, n)
		byID[s.SpanID] = append(byID[s.SpanID], n)
		if tree.Start.IsZero() || s.Start.Before(tree.Start) {
			tree.Start = s.Start
		}
		if s.End().After(tree.End) {
			tree.End = s.End()
		}
	}
	tree.Spans = len(nodes)
	for _, same := range byID {
		same.share()
	}
	for _, n := range nodes {
		if n.Shared { // has its parent
			continue
		}
		parent := byID[n.ParentID].parentOf(n)
		switch {
		case n.ParentID == "":
		case parent == nil:
			n.Orphan = true
		case parent == n:
			n.Cycle = true
		default:
			n.Parent = parent
		}
	}
	cutCycles(nodes)
	for _, n := range nodes {
		if n.Parent == nil {
			tree.Roots = append(tree.Roots, n)
			continue
		}
		n.Parent.Children = append(n.Parent.Children, n)
		n.Early = max(0, n.Parent.Start.Sub(n.Start))
	}
	tree.findSkews(nodes)
	tree.measure()
	return tree
}

// namesakes are the nodes with one span ID, in order. Usually it is one.
type namesakes []*Node

// share makes a server's span the child of the client's span of the same call, if both
// have one ID, as Zipkin's libraries give them. Others with the ID are duplicates.
func (same namesakes) share() {
	if len(same) < 2 {
		return
	}
	client := slices.IndexFunc(same, func(n *Node) bool { return n.Kind == KindClient || n.Kind == KindProducer })
	for i, n := range same {
		server := n.Kind == KindServer || n.Kind == KindConsumer
		if client >= 0 && server && n.ParentID != n.SpanID {
			n.Parent, n.Shared = same[client], true
			continue
		}
		n.Duplicate = i > 0 && i != client
	}
}

// parentOf returns the node that n's parent ID means: of several, the one of n's own
// service, else a server's, whose calls further on these are, else the first; nil if
// there is none.
func (same namesakes) parentOf(n *Node) *Node {
	if len(same) == 0 {
		return nil
	}
	for _, fits := range []func(*Node) bool{
		func(p *Node) bool { return p != n && p.Service == n.Service },
		func(p *Node) bool { return p != n && p.Shared },
	} {
		if i := slices.IndexFunc(same, fits); i >= 0 {
			return same[i]
		}
	}
	return same[0]
}

// cutCycles makes one span of each circle of parents a root: the first.
func cutCycles(nodes []*Node) {
	const (
		unseen = iota
		onPath
		done
	)
	state := make(map[*Node]int, len(nodes))
	for _, n := range nodes {
		var path []*Node
		for at := n; at != nil && state[at] != done; at = at.Parent {
			if state[at] == onPath {
				at.Parent, at.Cycle = nil, true
				break
			}
			state[at] = onPath
			path = append(path, at)
		}
		for _, p := range path {
			state[p] = done
		}
	}
}

// measure fills in depth, size, self time and critical path. Spans below are
// done before those above; nothing recurses, so a deep trace costs no stack.
func (t *Tree) measure() {
	var order []*Node
	t.Walk(func(n *Node) bool {
		if n.Parent != nil {
			n.Depth = n.Parent.Depth + 1
		}
		order = append(order, n)
		return true
	})
	for i := len(order) - 1; i >= 0; i-- {
		n := order[i]
		for _, c := range n.Children {
			n.Below += 1 + c.Below
		}
		if !n.Unplaced {
			n.SelfTime = selfTime(n)
		}
	}
	type work struct {
		n   *Node
		end time.Time
	}
	var pending []work
	for _, r := range t.Roots {
		pending = append(pending, work{r, r.End()})
	}
	for len(pending) > 0 {
		w := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if w.n.Unplaced {
			continue
		}
		cursor := w.end
		byEnd := append([]*Node(nil), w.n.Children...)
		sort.SliceStable(byEnd, func(i, j int) bool { return byEnd[i].End().After(byEnd[j].End()) })
		for _, c := range byEnd {
			// What starts outside its parent, or ends after what the parent was
			// held up by, did not hold it up.
			if c.Start.Before(w.n.Start) || c.End().After(cursor) || !c.Start.Before(cursor) || c.Duration == 0 {
				continue
			}
			if cursor.After(c.End()) {
				w.n.Critical = append(w.n.Critical, Interval{c.End(), cursor})
			}
			pending = append(pending, work{c, c.End()})
			cursor = c.Start
		}
		if cursor.After(w.n.Start) {
			w.n.Critical = append(w.n.Critical, Interval{w.n.Start, cursor})
		}
	}
}

// selfTime returns the duration less the union of the children's, as far as they lie
// inside.
func selfTime(n *Node) time.Duration {
	self, at := n.Duration, n.Start
	for _, c := range n.Children { // by start
		from, to := c.Start, c.End()
		if from.Before(at) {
			from = at
		}
		if to.After(n.End()) {
			to = n.End()
		}
		if to.After(from) {
			self -= to.Sub(from)
			at = to
		}
	}
	return self
}

func reversed(n []*Node) []*Node {
	out := make([]*Node, len(n))
	for i := range n {
		out[len(n)-1-i] = n[i]
	}
	return out
}
