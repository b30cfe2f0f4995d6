package traceql

// tree holds the relations of the spans of a trace: a span's children are those whose
// parent ID is its ID. Not every trace is a tree. A parent may be missing, there may be
// several roots, two spans may have one ID (then both are the parent), or parents may form
// a cycle (then a span is below itself, too).
type tree struct {
	spans    []Span
	order    []int
	children [][]int // of the span at that index
	parents  [][]int
	numbers  []numbers // made when they are needed
}

// numbers are the bounds of a span in a walk through its trace, depth first from the roots:
// those of its descendants are between them. They are 0 for spans below no root. parent is
// the left one of the parent, -1 for a root.
type numbers struct{ left, right, parent int64 }

func newTree(spans []Span, order []int) *tree {
	if order == nil {
		order = make([]int, len(spans))
		for i := range order {
			order[i] = i
		}
	}
	byID := make(map[string][]int, len(spans))
	for i, s := range spans {
		byID[string(s.GetSpanId())] = append(byID[string(s.GetSpanId())], i)
	}
	t := &tree{spans: spans, order: order, children: make([][]int, len(spans)), parents: make([][]int, len(spans))}
	for _, i := range order {
		if parent := spans[i].GetParentSpanId(); len(parent) > 0 {
			t.parents[i] = byID[string(parent)]
			for _, p := range t.parents[i] {
				t.children[p] = append(t.children[p], i)
			}
		}
	}
	return t
}

// number returns the numbers of a span.
func (t *tree) number(i int) numbers {
	if t.numbers != nil {
		return t.numbers[i]
	}
	t.numbers = make([]numbers, len(t.spans))
	next := make([]int, len(t.spans)) // the child to be visited next
	n := int64(1)
	for _, root := range t.order {
		if len(t.spans[root].GetParentSpanId()) > 0 {
			continue
		}
		t.numbers[root] = numbers{left: n, parent: -1}
		n++
		for path := []int{root}; len(path) > 0; {
			at := path[len(path)-1]
			if next[at] == len(t.children[at]) {
				t.numbers[at].right = n
				n++
				path = path[:len(path)-1]
				continue
			}
			child := t.children[at][next[at]]
			next[at]++
			if t.numbers[child].left == 0 { // else it has two parents
				t.numbers[child] = numbers{left: n, parent: t.numbers[at].left}
				n++
				path = append(path, child)
			}
		}
	}
	return t.numbers[i]
}

// relate returns the spans that have the relation of an operator (> >> < << ~) to a span of
// the set: the children of these, and so on.
func (t *tree) relate(op string, in []bool) []bool {
	switch op {
	case ">":
		return mark(t.children, in, false)
	case ">>":
		return mark(t.children, in, true)
	case "<":
		return mark(t.parents, in, false)
	case "<<":
		return mark(t.parents, in, true)
	}
	siblings := make(map[string]int) // spans of the set by parent; roots are siblings, as in Tempo
	for i, s := range t.spans {
		if in[i] {
			siblings[string(s.GetParentSpanId())]++
		}
	}
	marked := make([]bool, len(in))
	for i, s := range t.spans {
		n := siblings[string(s.GetParentSpanId())]
		marked[i] = n > 1 || n == 1 && !in[i]
	}
	return marked
}

// mark marks the next spans of those in a set, or all that can be reached. It visits every
// span once, however deep the tree is.
func mark(nexts [][]int, in []bool, all bool) []bool {
	marked := make([]bool, len(in))
	var open []int
	for i, is := range in {
		if is {
			open = append(open, i)
		}
	}
	for len(open) > 0 {
		i := open[len(open)-1]
		open = open[:len(open)-1]
		for _, n := range nexts[i] {
			if !marked[n] {
				marked[n] = true
				if all && !in[n] { // spans in the set are visited anyway
					open = append(open, n)
				}
			}
		}
	}
	return marked
}
