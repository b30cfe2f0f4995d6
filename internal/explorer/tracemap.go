package explorer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/explorer/chart"
	"dicelab/internal/query"
)

// The drawing of the minimap, in units of its own: its width, and the lines on which spans lie.
const (
	mapWidth  = 1000
	mapLines  = 20
	mapSlices = 10
	mapGap    = 4 // between two stretches that are drawn apart
)

// minimap shows all spans at once, and leads to a part of the time.
type minimap struct {
	Paths        []mapPath
	X, Width     string // of the part that is shown, percent
	Slices       []mapSlice
	Zoomed       bool
	Text         string    // the part that is shown
	Moves        []control // to other parts
	Milliseconds string    // the whole time
}

type mapPath struct{ Class, D string }

type mapSlice struct {
	control
	X, Width string
}

// minimap draws the spans, each line of the drawing a stretch of the waterfall.
func (wf *waterfall) minimap() *minimap {
	total := wf.tree.Duration()
	if wf.tree.Spans < 2 || total <= 0 {
		return nil
	}
	all := chart.Time{Start: wf.tree.Start, End: wf.tree.End}
	type key struct {
		class string
		line  int
	}
	type stretch struct{ from, to int }
	stretches := map[key][]stretch{}
	rows := min(wf.tree.Spans, mapLines)
	i := 0
	wf.tree.Walk(func(n *query.Node) bool {
		k := key{wf.view.class(n.Service), i * rows / wf.tree.Spans}
		if n.Failed() {
			k.class = "c-bad"
		}
		i++
		from := int(all.At(n.Start) * mapWidth / 100)
		stretches[k] = append(stretches[k], stretch{from, max(from+2, int(all.At(n.End())*mapWidth/100))})
		return true
	})
	drawn := map[string]*strings.Builder{}
	var classes []string
	for line := range rows {
		y := (2*line + 1) * 2 * mapLines / rows / 2
		for k, list := range stretches {
			if k.line != line {
				continue
			}
			if drawn[k.class] == nil {
				drawn[k.class] = &strings.Builder{}
				classes = append(classes, k.class)
			}
			slices.SortFunc(list, func(a, b stretch) int { return cmp.Compare(a.from, b.from) })
			at := list[0]
			for _, next := range append(list[1:], stretch{mapWidth * 10, 0}) {
				if next.from <= at.to+mapGap {
					at.to = max(at.to, next.to)
					continue
				}
				fmt.Fprintf(drawn[k.class], "M%d %dH%d", at.from, y, at.to)
				at = next
			}
		}
	}
	m := &minimap{X: "0%", Width: "100%", Zoomed: wf.ask.to > 0, Milliseconds: strconv.FormatFloat(float64(total)/1e6,
		'f', -1, 64)}
	slices.Sort(classes)
	if i := slices.Index(classes, "c-bad"); i >= 0 { // above the others
		classes = append(slices.Delete(classes, i, i+1), "c-bad")
	}
	for _, c := range classes {
		m.Paths = append(m.Paths, mapPath{c, drawn[c].String()})
	}
	part := func(text string, from, to time.Duration) control {
		from, to = max(0, from), min(total, to)
		return wf.ask.link(text, "", paramFrom, rough(from, to-from), paramTo, rough(to, to-from), paramSkip, "")
	}
	for i := range mapSlices {
		from, to := time.Duration(float64(total)/mapSlices*float64(i)),
			time.Duration(float64(total)/mapSlices*float64(i+1))
		m.Slices = append(m.Slices, mapSlice{part("Show "+duration(from)+" to "+duration(to), from, to),
			chart.Percent(100.0 / mapSlices * float64(i)), chart.Percent(100.0 / mapSlices)})
	}
	if m.Zoomed {
		from, to := wf.ask.from, wf.ask.to
		long := to - from
		x, end := max(0, all.Width(from)), min(100, all.Width(to))
		m.X, m.Width = chart.Percent(min(x, 99.5)), chart.Percent(max(.5, end-x))
		m.Text = duration(from) + " to " + duration(to) + " of " + duration(total)
		m.Moves = []control{part("Earlier", from-long/2, to-long/2), part("Later", from+long/2, to+long/2),
			part("Closer", from+long/4, to-long/4), part("Wider", from-long/2, to+long/2),
			wf.ask.link("Whole time", "", paramFrom, "", paramTo, "")}
	}
	return m
}

// rough writes a duration with the digits that matter for a part of a length.
func rough(d, length time.Duration) string {
	unit := time.Duration(1)
	for unit*10000 < length {
		unit *= 10
	}
	return d.Round(unit).String()
}
