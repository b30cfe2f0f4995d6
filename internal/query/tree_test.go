package query_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dicelab/internal/query"

	"github.com/google/go-cmp/cmp"
)

// sp makes a span of milliseconds.
func sp(id, parent, service string, from, to int) query.Span {
	return query.Span{SpanID: id, ParentID: parent, Service: service, Name: id, Start: now().Add(time.Duration(from) * time.Millisecond),
		Duration: time.Duration(to-from) * time.Millisecond}
}

// side returns a span with a kind.
func side(s query.Span, kind string) query.Span {
	s.Kind = kind
	return s
}

// outline writes a tree: indentation, name, self time, critical stretches, and
// what is wrong with a node.
func outline(tree *query.Tree) []string {
	var out []string
	tree.Walk(func(n *query.Node) bool {
		line := fmt.Sprintf("%s%s self %d", strings.Repeat("  ", n.Depth), n.Name, n.SelfTime.Milliseconds())
		for i := len(n.Critical) - 1; i >= 0; i-- {
			c := n.Critical[i]
			line += fmt.Sprintf(" %d-%d", c.Start.Sub(now()).Milliseconds(), c.End.Sub(now()).Milliseconds())
		}
		for _, f := range []struct {
			on   bool
			text string
		}{{n.Orphan, "orphan"}, {n.Cycle, "cycle"}, {n.Duplicate, "duplicate"}, {n.Early > 0, "early " + n.Early.String()}, {n.Shared, "shared"}} {
			if f.on {
				line += " " + f.text
			}
		}
		out = append(out, line)
		return true
	})
	return out
}

func TestTree(t *testing.T) {
	tests := []struct {
		name  string
		spans []query.Span
		want  []string
	}{
		{"a chain", []query.Span{sp("a", "", "f", 0, 100), sp("b", "a", "f", 10, 90), sp("c", "b", "r", 20, 80)},
			[]string{"a self 20 0-10 90-100", "  b self 20 10-20 80-90", "    c self 60 20-80"}},
		{"children side by side", []query.Span{sp("a", "", "f", 0, 100), sp("b", "a", "f", 10, 60), sp("c", "a", "f", 20, 90)},
			[]string{"a self 20 0-20 90-100", "  b self 50", "  c self 70 20-90"}},
		{"one after the other", []query.Span{sp("a", "", "f", 0, 100), sp("b", "a", "f", 10, 40), sp("c", "a", "f", 50, 90)},
			[]string{"a self 30 0-10 40-50 90-100", "  b self 30 10-40", "  c self 40 50-90"}},
		{"a child that outlives its parent", []query.Span{sp("a", "", "f", 0, 50), sp("b", "a", "f", 10, 90)},
			[]string{"a self 10 0-50", "  b self 80"}},
		{"a missing parent", []query.Span{sp("b", "gone", "r", 10, 20), sp("c", "b", "r", 11, 12)},
			[]string{"b self 9 10-11 12-20 orphan", "  c self 1 11-12"}},
		{"several roots", []query.Span{sp("a", "", "f", 0, 10), sp("b", "", "f", 20, 30)},
			[]string{"a self 10 0-10", "b self 10 20-30"}},
		{"parents in a circle", []query.Span{sp("a", "c", "f", 0, 10), sp("b", "a", "f", 1, 9), sp("c", "b", "f", 2, 8), sp("d", "c", "f", 3, 4)},
			[]string{"a self 2 0-1 9-10 cycle", "  b self 2 1-2 8-9", "    c self 5 2-3 4-8", "      d self 1 3-4"}},
		{"its own parent", []query.Span{sp("a", "a", "f", 0, 10)}, []string{"a self 10 0-10 cycle"}},
		{"one ID twice", []query.Span{sp("a", "", "f", 0, 10), sp("a", "", "r", 2, 8), sp("b", "a", "r", 3, 4)},
			[]string{"a self 10 0-10", "a self 5 2-3 4-8 duplicate", "  b self 1 3-4"}},
		{"one ID twice, of one service", []query.Span{sp("a", "", "f", 0, 10), sp("a", "", "f", 2, 8), sp("b", "a", "f", 3, 4)},
			[]string{"a self 9 0-3 4-10", "  b self 1 3-4", "a self 6 2-8 duplicate"}},
		{"one ID for both sides of a call", []query.Span{sp("r", "", "f", 0, 20), side(sp("a", "r", "f", 1, 12), query.KindClient), sp("b", "a", "f", 1, 2),
			side(sp("a", "r", "g", 3, 9), query.KindServer), sp("c", "a", "g", 4, 5), side(sp("d", "a", "h", 6, 7), query.KindServer)},
			[]string{"r self 9 0-1 12-20", "  a self 4 2-3 9-12", "    b self 1 1-2", "    a self 4 3-4 5-6 7-9 shared", "      c self 1 4-5", "      d self 1 6-7"}},
		{"both sides of a call, the server's first", []query.Span{side(sp("a", "", "g", 3, 9), query.KindServer), side(sp("a", "", "f", 4, 12), query.KindClient)},
			[]string{"a self 3 4-12", "  a self 6 early 1ms shared"}},
		{"delivered twice", []query.Span{sp("a", "", "f", 0, 10), sp("a", "", "f", 0, 10)}, []string{"a self 10 0-10"}},
		{"clocks that disagree", []query.Span{sp("b", "a", "r", -5000, -4990), sp("a", "", "f", 0, 100)},
			[]string{"a self 100 0-100", "  b self 10 early 5s"}},
		{"no length", []query.Span{sp("a", "", "f", 5, 5)}, []string{"a self 0"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tr := query.Trace{Spans: test.spans}
			if d := cmp.Diff(test.want, outline(tr.Tree())); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTreeIsDeep(t *testing.T) {
	var tr query.Trace
	const n = 10_000
	for i := range n {
		parent := ""
		if i > 0 {
			parent = fmt.Sprint(i - 1)
		}
		tr.Spans = append(tr.Spans, sp(fmt.Sprint(i), parent, "f", i, 2*n-i))
	}
	tree := tr.Tree()
	deepest := tree.Find(fmt.Sprint(n - 1))
	if tree.Spans != n || deepest == nil || deepest.Depth != n-1 || tree.Roots[0].Below != n-1 || tree.Duration() != 2*n*time.Millisecond {
		t.Errorf("got %d spans, deepest %+v", tree.Spans, deepest)
	}
}
