package chart

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
)

// Node is something that calls others or is called.
type Node struct {
	Name, Class, Href string
	Lines             []string // below the name
	Failed            float64  // share of the ring that is drawn as failed, 0 to 1
}

// Edge is calls from one node to another, by name.
type Edge struct {
	From, To, Text string
	Title          string // shown on hover and read aloud
	Failed         bool
}

// Graph draws which node calls which, callers to the left.
type Graph struct {
	Label  string
	Height int // pixels; 0: as high as it must be
	Nodes  []Node
	Edges  []Edge
}

const (
	nodeRadius = 20  // pixels
	nodeSpace  = 118 // pixels from a node to the one below it
	nodeTop    = 40  // pixels above the first node's centre
)

// place is where a node is drawn: percent of the width, and pixels from the top.
type place struct{ x, y float64 }

// HTML draws it.
func (g Graph) HTML() template.HTML {
	columns := g.columns()
	at, height := g.places(columns)
	most := max(shortName, nameRoom/max(1, len(columns))) // letters of a name
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="graph" width="100%%" height="%g" role="group" aria-label="%s">`, height, esc(g.Label))
	both := map[[2]string]bool{}
	for _, e := range g.Edges {
		both[[2]string{e.From, e.To}] = true
	}
	for _, e := range g.Edges {
		class := "edge"
		if e.Failed {
			class = "edge failed"
		}
		fmt.Fprintf(&b, `<g class="%s"><title>%s</title>`, class, esc(e.Title))
		from, to := at[e.From], at[e.To]
		switch {
		case e.From == e.To:
			writeLoop(&b, e, from)
		case both[[2]string{e.To, e.From}]: // side by side
			aside := float64(bothAside)
			if to.x < from.x {
				aside = -bothAside
			}
			from.y, to.y = from.y-aside, to.y-aside
			writeEdge(&b, e, from, to, to.x < from.x)
		default:
			writeEdge(&b, e, from, to, false)
		}
		b.WriteString(`</g>`)
	}
	for _, n := range g.Nodes {
		n.write(&b, at[n.Name], most)
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

const (
	maxColumn = 8   // nodes in a column
	shortName = 12  // letters of a name that are shown at least
	nameRoom  = 130 // letters of the names of all columns together, in a drawing of usual width
	bothAside = 7   // pixels by which calls in both directions are drawn apart, each
	loopSpace = 34  // pixels above a node that calls itself
)

// columns returns the layers, those with many nodes as several.
func (g Graph) columns() (out [][]string) {
	for _, layer := range g.layers() {
		n := (len(layer) + maxColumn - 1) / maxColumn
		out = slices.AppendSeq(out, slices.Chunk(layer, (len(layer)+n-1)/n))
	}
	return out
}

// places returns the place of each node, and the height of the drawing.
func (g Graph) places(columns [][]string) (at map[string]place, height float64) {
	tallest, top := 1, float64(nodeTop)
	for _, c := range columns {
		tallest = max(tallest, len(c))
	}
	if slices.ContainsFunc(g.Edges, func(e Edge) bool { return e.From == e.To }) {
		top += loopSpace
	}
	height = max(float64(g.Height), nodeSpace*float64(tallest)+10+top-nodeTop)
	at = map[string]place{}
	for i, c := range columns {
		for j, name := range c {
			// Each column has its nodes around the middle of the drawing.
			y := height/2 - 22 + (top-nodeTop)/2 + nodeSpace*(float64(j)-float64(len(c)-1)/2)
			at[name] = place{(float64(i) + .5) / float64(len(columns)) * 100, max(y, top)}
		}
	}
	return at, height
}

// writeEdge draws a call. The text is below the line if it is the lower one of two.
func writeEdge(b *strings.Builder, e Edge, from, to place, below bool) {
	x, y := (from.x+to.x)/2, (from.y+to.y)/2
	point, text := "M-5-6L5 0L-5 6Z", y-11
	if to.x < from.x {
		point = "M5-6L-5 0L5 6Z"
	}
	if below {
		text = y + 19
	}
	fmt.Fprintf(b, `<line x1="%s" y1="%.1f" x2="%s" y2="%.1f"/><svg x="%s" y="%.1f" overflow="visible"><path class="arrow" d="%s"/></svg>`+
		`<text x="%s" y="%.1f" text-anchor="middle">%s</text>`,
		Percent(from.x), from.y, Percent(to.x), to.y, Percent(x), y, point, Percent(x), text, esc(e.Text))
}

// writeLoop draws the calls of a node to itself, above it.
func writeLoop(b *strings.Builder, e Edge, at place) {
	fmt.Fprintf(b, `<svg x="%s" y="%.1f" overflow="visible"><path class="loop" d="M-12-16C-34-56 34-56 12-16" fill="none"/>`+
		`<path class="arrow" d="M-5-52L5-46L-5-40Z"/></svg><text x="%s" y="%.1f" text-anchor="middle">%s</text>`,
		Percent(at.x), at.y, Percent(at.x), at.y-nodeRadius-37, esc(e.Text))
}

// write draws a node. A name of more than most letters is cut.
func (n Node) write(b *strings.Builder, p place, most int) {
	if n.Href != "" {
		fmt.Fprintf(b, `<a href="%s" aria-label="%s">`, esc(n.Href), esc(n.Name+", "+strings.Join(n.Lines, ", ")))
	}
	fmt.Fprintf(b, `<g class="node %s"><title>%s</title><circle cx="%s" cy="%.1f" r="%d"/>`, esc(n.Class), esc(n.Name), Percent(p.x), p.y, nodeRadius)
	if n.Failed > 0 {
		fmt.Fprintf(b, `<circle class="node-failed" cx="%s" cy="%.1f" r="%d" pathLength="100" stroke-dasharray="%.1f 100"/>`,
			Percent(p.x), p.y, nodeRadius, 100*min(n.Failed, 1))
	}
	name := []rune(n.Name)
	if len(name) > most {
		name = append(name[:most-1], '…')
	}
	fmt.Fprintf(b, `<text class="node-name" x="%s" y="%.1f" text-anchor="middle">%s</text>`, Percent(p.x), p.y+nodeRadius+17, esc(string(name)))
	for i, line := range n.Lines {
		fmt.Fprintf(b, `<text x="%s" y="%.1f" text-anchor="middle">%s</text>`, Percent(p.x), p.y+nodeRadius+33+15*float64(i), esc(line))
	}
	b.WriteString(`</g>`)
	if n.Href != "" {
		b.WriteString(`</a>`)
	}
}

// layers puts each node to the right of everything that calls it. A call that
// closes a circle is not counted.
func (g Graph) layers() [][]string {
	depth, reached := map[string]int{}, map[string]bool{}
	var visit func(name string, path []string)
	visit = func(name string, path []string) {
		for _, e := range g.Edges {
			if e.From == name && !slices.Contains(path, e.To) && depth[e.To] < len(path) {
				depth[e.To], reached[e.To] = len(path), true
				visit(e.To, append(slices.Clone(path), e.To))
			}
		}
	}
	called := map[string]bool{}
	for _, e := range g.Edges {
		called[e.To] = called[e.To] || e.From != e.To
	}
	start := func(name string) {
		visit(name, []string{name})
		reached[name] = true
	}
	for _, n := range g.Nodes {
		if !called[n.Name] {
			start(n.Name)
		}
	}
	for _, n := range g.Nodes { // cycles without a caller from outside
		if !reached[n.Name] {
			start(n.Name)
		}
	}
	var out [][]string
	for _, n := range g.Nodes {
		for len(out) <= depth[n.Name] {
			out = append(out, nil)
		}
		out[depth[n.Name]] = append(out[depth[n.Name]], n.Name)
	}
	return slices.DeleteFunc(out, func(l []string) bool { return len(l) == 0 })
}
