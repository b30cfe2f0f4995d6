package traceql

// tree knows which spans are below which: a span is below those whose ID it has
// as its parent's. Not every trace is a tree. A parent may be missing, there may
// be several roots, an ID may be there twice (then each of them is the parent), or
// a span may be above itself in a circle (then it is below itself, too).
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

// below marks the children of the spans in a set, or all that is below them.
// Every span is looked at once, however deep the tree is.
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
				if all && !in[child] { // those in the set are looked at anyway
					next = append(next, child)
				}
			}
		}
	}
	return marked
}
