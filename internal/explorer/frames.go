package explorer

import (
	"cmp"
	"time"

	"dicelab/internal/query"
)

// frame is the spans of a trace that have one path of names from the root: those of one name and
// service, whose parents are in one frame.
type frame struct {
	service, name string
	depth         int // 0 for the roots
	parent        *frame
	children      []*frame // by the start of their first span
	spans, failed int
	total, self   time.Duration // of its spans
	whole         time.Duration // self time of its spans and of all beneath them
	first         *query.Node
	from, to      time.Duration // its first start and last end, since the beginning of the trace
}

// count returns the number of spans; a nil frame has none.
func (f *frame) count() int {
	if f == nil {
		return 0
	}
	return f.spans
}

// frames puts the spans of a tree together by their path. The frame that it returns has no spans:
// its children are those of the roots.
func frames(tree *query.Tree) *frame {
	type key struct {
		parent        *frame
		service, name string
	}
	top := &frame{depth: -1}
	byKey, of := map[key]*frame{}, make(map[*query.Node]*frame, tree.Spans)
	var order []*frame
	tree.Walk(func(n *query.Node) bool {
		parent := cmp.Or(of[n.Parent], top)
		k := key{parent, n.Service, n.Name}
		f := byKey[k]
		from, to := n.Start.Sub(tree.Start), n.End().Sub(tree.Start)
		if f == nil {
			f = &frame{service: n.Service, name: n.Name, depth: parent.depth + 1, parent: parent, first: n, from: from,
				to: to}
			byKey[k] = f
			parent.children = append(parent.children, f)
			order = append(order, f)
		}
		of[n] = f
		f.spans++
		if n.Failed() {
			f.failed++
		}
		f.total, f.self = addUp(f.total, n.Duration), addUp(f.self, n.SelfTime)
		f.from, f.to = min(f.from, from), max(f.to, to)
		return true
	})
	for i := len(order) - 1; i >= 0; i-- { // those beneath come after
		f := order[i]
		f.whole = addUp(f.whole, f.self)
		f.parent.whole = addUp(f.parent.whole, f.whole)
	}
	return top
}
