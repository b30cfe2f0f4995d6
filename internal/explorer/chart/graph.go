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

// HTML draws it.
func (g Graph) HTML() template.HTML {
	layers := g.layers()
	tallest := 1
	for _, l := range layers {
		tallest = max(tallest, len(l))
	}
	height := float64(max(g.Height, nodeSpace*tallest+10))
	type place struct{ x, y float64 } // percent, pixels
	at := map[string]place{}
	for i, l := range layers {
		for j, name := range l {
			// Each column has its nodes around the middle of the drawing.
			y := height/2 - 22 + nodeSpace*(float64(j)-float64(len(l)-1)/2)
			at[name] = place{(float64(i) + .5) / float64(len(layers)) * 100, max(y, nodeTop)}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="graph" width="100%%" height="%g" role="group" aria-label="%s">`, height, esc(g.Label))
	for _, e := range g.Edges {
		from, to := at[e.From], at[e.To]
		class := "edge"
		if e.Failed {
			class = "edge failed"
		}
		fmt.Fprintf(&b, `<g class="%s"><title>%s</title><line x1="%s" y1="%.1f" x2="%s" y2="%.1f"/>`, class, esc(e.Title), Percent(from.x), from.y, Percent(to.x), to.y)
		x, y := (from.x+to.x)/2, (from.y+to.y)/2
		point := "M-5-6L5 0L-5 6Z"
		if to.x < from.x {
			point = "M5-6L-5 0L5 6Z"
		}
		fmt.Fprintf(&b, `<svg x="%s" y="%.1f" overflow="visible"><path class="arrow" d="%s"/></svg><text x="%s" y="%.1f" text-anchor="middle">%s</text></g>`,
			Percent(x), y, point, Percent(x), y-11, esc(e.Text))
	}
	for _, n := range g.Nodes {
		p := at[n.Name]
		if n.Href != "" {
			fmt.Fprintf(&b, `<a href="%s" aria-label="%s">`, esc(n.Href), esc(n.Name+", "+strings.Join(n.Lines, ", ")))
		}
		fmt.Fprintf(&b, `<g class="node %s"><circle cx="%s" cy="%.1f" r="%d"/>`, esc(n.Class), Percent(p.x), p.y, nodeRadius)
		if n.Failed > 0 {
			fmt.Fprintf(&b, `<circle class="node-failed" cx="%s" cy="%.1f" r="%d" pathLength="100" stroke-dasharray="%.1f 100"/>`, Percent(p.x), p.y, nodeRadius, 100*min(n.Failed, 1))
		}
		fmt.Fprintf(&b, `<text class="node-name" x="%s" y="%.1f" text-anchor="middle">%s</text>`, Percent(p.x), p.y+nodeRadius+17, esc(n.Name))
		for i, line := range n.Lines {
			fmt.Fprintf(&b, `<text x="%s" y="%.1f" text-anchor="middle">%s</text>`, Percent(p.x), p.y+nodeRadius+33+15*float64(i), esc(line))
		}
		b.WriteString(`</g>`)
		if n.Href != "" {
			b.WriteString(`</a>`)
		}
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
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
