package explorer

import (
	"time"

	"dicelab/internal/query"
)

// Limits of the rows of a waterfall.
const (
	minEqual     = 5  // equal siblings that are shown as one row
	maxEqual     = 20 // of them that are shown beneath that row in a large trace
	aroundTarget = 10 // siblings before and after a target that are shown with it, and of its children
)

// group is equal siblings in one row: with one name, of one service. Those that were searched for,
// have failed, or have such spans beneath them have a row of their own.
type group struct {
	members []*query.Node // by start
}

// selection is the spans of a tree that are shown.
type selection struct {
	rows     map[*query.Node]bool
	groups   map[*query.Node]*group // by each of the members
	dropped  int                    // spans that a filter includes and that have no room
	included int                    // those that are shown
	skip     int                    // of the first list
	first    []*query.Node          // that list
	room     int
}

// beneath returns the children of a span that are shown, as far as time goes.
func (wf *waterfall) beneath(n *query.Node) []*query.Node { return wf.within(n.Children) }

// within returns those of the nodes that reach into the time that is shown.
func (wf *waterfall) within(nodes []*query.Node) []*query.Node {
	if wf.ask.to == 0 {
		return nodes
	}
	var out []*query.Node
	for _, n := range nodes {
		if !wf.outside[n] {
			out = append(out, n)
		}
	}
	return out
}

// roots returns the first list of spans, without those that are skipped on purpose.
func (wf *waterfall) roots() []*query.Node {
	roots := wf.within(wf.tree.Roots)
	if len(roots) > 1 {
		return roots[min(wf.ask.skip, len(roots)):]
	}
	return roots
}

// choose picks what is shown: the target with what is around it, the spans that the search found,
// failed ones, and then the rest level by level while there is room. Of a level that does not fit
// as a whole, the first spans are shown. A filter shows the spans that it includes, and those above.
func (wf *waterfall) choose(target *query.Node) *selection {
	s := &selection{rows: map[*query.Node]bool{}, groups: map[*query.Node]*group{}, room: wf.limit(), skip: wf.ask.skip}
	if target != nil {
		wf.chooseAround(target, s)
	}
	if wf.ask.only != "" {
		skip := wf.ask.skip
		wf.tree.Walk(func(n *query.Node) bool {
			if !wf.outside[n] && wf.ask.includes(n, wf.found, wf.long()) {
				switch skip--; {
				case skip >= 0:
				case wf.addPath(n, s):
					s.included++
				default:
					s.dropped++
				}
			}
			return true
		})
		return s
	}
	for _, first := range []func(n *query.Node) bool{
		func(n *query.Node) bool { return wf.found[n] },
		(*query.Node).Failed,
		wf.narrow(),
	} {
		wf.tree.Walk(func(n *query.Node) bool {
			if first(n) && s.room > 0 && !s.rows[n] && !wf.outside[n] {
				wf.addPath(n, s)
			}
			return true
		})
	}
	wf.fill(s)
	return s
}

// limit is the number of rows that the page may have.
func (wf *waterfall) limit() int {
	if wf.ask.offline {
		return maxOffline
	}
	return maxRows
}

// long is the duration from which on a span counts as long: a tenth of the trace.
func (wf *waterfall) long() time.Duration { return wf.tree.Duration() / 10 }

// narrow returns a function that reports whether a span of a large trace is on the critical path,
// where it and each span above it have few siblings: that part of the path is shown before spans
// beside it. It is called with parents before their children.
func (wf *waterfall) narrow() func(n *query.Node) bool {
	few := map[*query.Node]bool{}
	return func(n *query.Node) bool {
		siblings := len(wf.tree.Roots)
		if n.Parent != wf.top() {
			siblings = len(n.Parent.Children)
		}
		few[n] = siblings <= aroundTarget && (n.Parent == wf.top() || few[n.Parent])
		return few[n] && len(n.Critical) > 0 && wf.tree.Spans > wf.limit()
	}
}

// add shows a span if there is room.
func (s *selection) add(n *query.Node) bool {
	switch {
	case s.rows[n]:
		return true
	case s.room <= 0:
		return false
	}
	s.rows[n] = true
	s.room--
	return true
}

// addPath shows a span and those above it, or none of them if there is no room for all.
func (wf *waterfall) addPath(n *query.Node, s *selection) bool {
	top, needed := wf.top(), 0
	for at := n; at != top && at != nil && !s.rows[at]; at = at.Parent {
		needed++
	}
	if needed > s.room {
		return false
	}
	for at := n; at != top && at != nil; at = at.Parent {
		s.add(at)
	}
	return true
}

// top returns the parent of the first spans: nil unless a subtree is shown.
func (wf *waterfall) top() *query.Node {
	if len(wf.tree.Roots) == 0 {
		return nil
	}
	return wf.tree.Roots[0].Parent
}

// chooseAround adds a span, those above it, and some beside and beneath it.
func (wf *waterfall) chooseAround(target *query.Node, s *selection) {
	siblings := wf.tree.Roots
	if target.Parent != wf.top() {
		siblings = target.Parent.Children
	}
	wf.addPath(target, s)
	at := indexOf(siblings, target)
	for _, n := range siblings[max(0, at-aroundTarget):min(len(siblings), at+aroundTarget+1)] {
		s.add(n)
	}
	for _, n := range target.Children[:min(len(target.Children), aroundTarget)] {
		s.add(n)
	}
}

// fill shows further spans level by level, and, when all levels are done, those of groups.
func (wf *waterfall) fill(s *selection) {
	s.first = wf.roots()
	if len(wf.tree.Roots) == 1 && len(s.first) == 1 && s.add(s.first[0]) {
		children := wf.beneath(s.first[0])
		s.first = children[min(s.skip, len(children)):]
	}
	level := [][]*query.Node{s.first}
	var groups []*group
	whole := wf.tree.Spans <= wf.limit()
	for len(level) > 0 {
		var next [][]*query.Node
		for _, siblings := range level {
			groups = append(groups, wf.group(siblings, s)...)
			for _, n := range siblings {
				if s.groups[n] == nil && s.add(n) {
					next = append(next, wf.beneath(n))
				}
			}
		}
		for ; len(next) == 0 && len(groups) > 0; groups = groups[1:] {
			members := groups[0].members
			if !whole {
				members = members[:min(len(members), maxEqual)]
			}
			for _, n := range members {
				if s.add(n) && whole {
					next = append(next, wf.beneath(n))
				}
			}
		}
		level = next
	}
}

// group puts equal siblings that have no row yet into groups.
func (wf *waterfall) group(siblings []*query.Node, s *selection) (groups []*group) {
	if wf.ask.single || len(siblings) < minEqual {
		return nil
	}
	type key struct{ service, name string }
	equal := map[key][]*query.Node{}
	var order []key
	for _, n := range siblings {
		if s.rows[n] || n.Unfinished {
			continue
		}
		k := key{n.Service, n.Name}
		if equal[k] == nil {
			order = append(order, k)
		}
		equal[k] = append(equal[k], n)
	}
	for _, k := range order {
		if len(equal[k]) < minEqual || s.room <= 0 {
			continue
		}
		s.room--
		g := &group{members: equal[k]}
		for _, n := range g.members {
			s.groups[n] = g
		}
		groups = append(groups, g)
	}
	return groups
}

// omitted is a stretch of siblings that are not shown.
type omitted struct {
	count, from int
	failed      int
	focus       string // their parent; "" for roots
	where       string
}

// omissions finds the siblings that are left out of what is shown, by the span after
// whose row that is said: the one before them, or else their parent. Those that were
// skipped on purpose are not among them.
func (wf *waterfall) omissions(s *selection) map[*query.Node]omitted {
	more := map[*query.Node]omitted{}
	if wf.ask.only != "" {
		return more
	}
	shown := func(n *query.Node) bool { return s.rows[n] || s.groups[n] != nil }
	find := func(parent *query.Node, siblings []*query.Node, from int) {
		for i := from; i < len(siblings); i++ {
			if shown(siblings[i]) {
				continue
			}
			o := omitted{from: i, where: "beside"}
			for ; i < len(siblings) && !shown(siblings[i]); i++ {
				o.count++
				if siblings[i].Failed() {
					o.failed++
				}
			}
			after := parent
			if o.from > 0 && shown(siblings[o.from-1]) {
				after = siblings[o.from-1]
			} else {
				o.where = "beneath"
			}
			if parent != nil {
				o.focus = parent.SpanID
			}
			if after != nil && (o.where == "beside" || o.count < len(siblings)) {
				more[after] = o
			}
		}
	}
	if roots := wf.within(wf.tree.Roots); len(roots) > 1 {
		find(nil, roots, min(s.skip, len(roots)))
	}
	for n := range s.rows {
		from := 0
		if len(wf.tree.Roots) == 1 && n == wf.tree.Roots[0] && s.skip < len(n.Children) {
			from = s.skip
		}
		find(n, wf.beneath(n), from)
	}
	return more
}

func indexOf(nodes []*query.Node, n *query.Node) int {
	for i := range nodes {
		if nodes[i] == n {
			return i
		}
	}
	return len(nodes)
}
