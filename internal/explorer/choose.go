package explorer

import (
	"fmt"

	"dicelab/internal/query"
)

// rows returns the rows of the spans that are shown, in order. It leaves out the first skip
// children of the top span, or of several roots the first skip: the rest of a long list is
// reached with a link. target, unless it is nil, is shown whatever its place.
func (wf waterfall) rows(skip int, target *query.Node) []spanRow {
	shown := wf.choose(skip, target)
	more := wf.omissions(shown, skip)
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
		r.Ticks, r.Open = ticks, n == target
		switch {
		case n.Parent == nil:
			r.ParentHref = ""
		case !shown[n.Parent] && wf.file:
			r.ParentHref = ""
		case !shown[n.Parent]:
			r.ParentHref = spanHref(wf.traceID, n.ParentID)
		}
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
			r.Beside = wf.linkTo(fmt.Sprintf("%d more spans %s this one", m.count, m.where), "", m.focus, m.from)
		}
		out = append(out, r)
		return true
	})
	return out
}

// omitted is a stretch of siblings that are not shown.
type omitted struct {
	count, from int
	focus       string // their parent; "" for roots
	where       string
}

// aroundTarget is the number of siblings before and after a target that are shown with it,
// and of its children.
const aroundTarget = 10

// choose picks what is shown: the target with what is around it, and the rest level by
// level while there is room. Of a level that does not fit as a whole, the first spans are
// shown.
func (wf waterfall) choose(skip int, target *query.Node) map[*query.Node]bool {
	shown := map[*query.Node]bool{}
	if target != nil {
		wf.chooseAround(target, shown)
	}
	level := wf.tree.Roots
	if len(level) > 1 {
		level = level[min(skip, len(level)):]
	}
	for first := true; len(level) > 0; first = false {
		var next []*query.Node
		for _, n := range level {
			if len(shown) >= maxRows && !shown[n] {
				continue
			}
			shown[n] = true
			children := n.Children
			if first && len(wf.tree.Roots) == 1 && skip < len(children) {
				children = children[skip:]
			}
			next = append(next, children...)
		}
		if len(shown) >= maxRows {
			break
		}
		level = next
	}
	return shown
}

// chooseAround adds a span, those above it, and some beside and beneath it.
func (wf waterfall) chooseAround(target *query.Node, shown map[*query.Node]bool) {
	top := wf.tree.Roots[0].Parent // of a subtree; nil for all
	siblings := wf.tree.Roots
	if target.Parent != top {
		siblings = target.Parent.Children
	}
	at := indexOf(siblings, target)
	for _, n := range siblings[max(0, at-aroundTarget):min(len(siblings), at+aroundTarget+1)] {
		shown[n] = true
	}
	for _, n := range target.Children[:min(len(target.Children), aroundTarget)] {
		shown[n] = true
	}
	for n := target; n != top; n = n.Parent {
		shown[n] = true
	}
}

// omissions finds the siblings that are left out of what is shown, by the span after
// whose row that is said: the one before them, or else their parent. Those that were
// skipped on purpose are not among them.
func (wf waterfall) omissions(shown map[*query.Node]bool, skip int) map[*query.Node]omitted {
	more := map[*query.Node]omitted{}
	find := func(parent *query.Node, siblings []*query.Node, from int) {
		for i := from; i < len(siblings); i++ {
			if shown[siblings[i]] {
				continue
			}
			o := omitted{from: i, where: "beside"}
			for ; i < len(siblings) && !shown[siblings[i]]; i++ {
				o.count++
			}
			after := parent
			if o.from > 0 && shown[siblings[o.from-1]] {
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
	if roots := wf.tree.Roots; len(roots) > 1 {
		find(nil, roots, min(skip, len(roots)))
	}
	for n := range shown {
		from := 0
		if len(wf.tree.Roots) == 1 && n == wf.tree.Roots[0] && skip < len(n.Children) {
			from = skip
		}
		find(n, n.Children, from)
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
