package traceql

// tree holds the children of each span: the spans whose parent ID is its ID. Not every
// trace is a tree. A parent may be missing, there may be several roots, two spans may have
// one ID (then both are the parent), or parents may form a cycle (then a span is below
// itself, too).
type tree struct {
	children [][]int // of the span at that index
}

func newTree(spans []Span) tree {
	byParent := make(map[string][]int)
	for i, s := range spans {
		if parent := s.GetParentSpanId(); len(parent) > 0 {
			byParent[string(parent)] = append(byParent[string(parent)], i)
		}
	}
	t := tree{children: make([][]int, len(spans))}
	for i, s := range spans {
		t.children[i] = byParent[string(s.GetSpanId())]
	}
	return t
}

// below marks the children of the spans in a set, or all their descendants. It visits every
// span once, however deep the tree is.
func (t tree) below(in []bool, all bool) []bool {
	marked := make([]bool, len(in))
	var next []int
	for i, is := range in {
		if is {
			next = append(next, i)
		}
	}
	for len(next) > 0 {
		i := next[len(next)-1]
		next = next[:len(next)-1]
		for _, child := range t.children[i] {
			if !marked[child] {
				marked[child] = true
				if all && !in[child] { // spans in the set are visited anyway
					next = append(next, child)
				}
			}
		}
	}
	return marked
}
