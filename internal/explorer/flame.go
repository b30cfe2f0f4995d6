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

// Limits of the flame graph, and its measures in pixels.
const (
	maxFrames   = 400 // that are drawn
	maxFrameRow = 60  // rows
	minFrame    = .15 // percent of the width; narrower ones are left out
	minLabelled = 2.5 // percent of the width from which on a frame has its name
	frameHeight = 24
	maxByName   = 15 // rows of the table
)

// flameView is the flame graph of a trace: a frame for all spans that have one path of names from
// the root. Its width is the self time of these and of all spans beneath them.
type flameView struct {
	Frames  []flameFrame
	Height  int
	Left    int // frames that are not drawn
	Zoomed  bool
	Whole   control
	ByName  []nameRow
	MoreRow int
}

type flameFrame struct {
	control
	X, Width     string // percent
	Y            int    // pixels
	Class, Label string
	Title        string
	Failed       bool
	Above        bool // of the frame that was chosen
}

// nameRow is all spans of one name and service.
type nameRow struct {
	Name, Service, Class        string
	Spans, Failed               int
	Total, Self, Share, Longest string
	Find                        control
	total, self, longest        time.Duration
}

// flame draws the flame graph of a tree. at is the path of the frame that is as wide as the
// drawing, numbers with dots between them; "" for all.
func (e *explorer) flame(tree *query.Tree, ask traceAsk, at string) *flameView {
	top := frames(tree)
	base := top
	var path []string
	for _, text := range strings.FieldsFunc(at, func(r rune) bool { return r == '.' }) {
		i, err := strconv.Atoi(text)
		if err != nil || i < 0 || i >= len(base.children) {
			break
		}
		base = base.children[i]
		path = append(path, text)
	}
	v := &flameView{Zoomed: base != top, Whole: ask.link("Whole trace", "", paramAt, "")}
	v.setNames(e, tree, ask)
	for f, p := base.parent, path; f != nil && f != top; f = f.parent {
		p = p[:len(p)-1]
		v.add(e, ask, f, p, 0, 100, top.whole, true)
	}
	type work struct {
		f    *frame
		path []string
		x    float64
	}
	pending := []work{{base, path, 0}}
	for len(pending) > 0 {
		w := pending[0]
		pending = pending[1:]
		width := chart.Linear{To: float64(base.whole), High: 100}.At(float64(w.f.whole))
		if w.f != top {
			if width < minFrame || len(v.Frames) >= maxFrames || w.f.depth >= maxFrameRow {
				v.Left++
				continue
			}
			v.add(e, ask, w.f, w.path, w.x, width, top.whole, false)
		}
		x := w.x
		for i, c := range w.f.children {
			pending = append(pending, work{c, append(slices.Clone(w.path), strconv.Itoa(i)), x})
			x += chart.Linear{To: float64(base.whole), High: 100}.At(float64(c.whole))
		}
	}
	return v
}

// add draws a frame.
func (v *flameView) add(e *explorer, ask traceAsk, f *frame, path []string, x, width float64, whole time.Duration,
	above bool) {
	name := cmp.Or(clip(f.name), noName)
	part := percent(chart.Linear{To: float64(whole), High: 1}.At(float64(f.whole)))
	d := flameFrame{control: ask.link("", "", paramAt, strings.Join(path, ".")), X: chart.Percent(x),
		Width: chart.Percent(min(width, 100-x)),
		Y:     f.depth * frameHeight, Class: e.class(f.service), Failed: f.failed > 0, Above: above}
	d.Title = fmt.Sprintf("%s, %s: %s, %s with all beneath (%s), %s self time", name, clip(f.service), count(f.spans,
		"span", "spans"), duration(f.whole), part, duration(f.self))
	if f.failed > 0 {
		d.Title += fmt.Sprintf(", %d failed", f.failed)
	}
	if width >= minLabelled {
		d.Label = name
		if f.spans > 1 {
			d.Label = fmt.Sprintf("%s ×%d", name, f.spans)
		}
	}
	v.Frames = append(v.Frames, d)
	v.Height = max(v.Height, (f.depth+1)*frameHeight)
}

// setNames fills in the table of names, the most self time first.
func (v *flameView) setNames(e *explorer, tree *query.Tree, ask traceAsk) {
	type key struct{ service, name string }
	at := map[key]*nameRow{}
	var rows []*nameRow
	whole := time.Duration(0)
	tree.Walk(func(n *query.Node) bool {
		k := key{n.Service, n.Name}
		r := at[k]
		if r == nil {
			r = &nameRow{Name: cmp.Or(clip(n.Name), noName), Service: clip(n.Service), Class: e.class(n.Service),
				Find: ask.link("", "", paramFind, findService(n.Service, n.Name), paramView, "", paramAt, "")}
			at[k] = r
			rows = append(rows, r)
		}
		r.Spans++
		if n.Failed() {
			r.Failed++
		}
		r.total, r.self, r.longest = addUp(r.total, n.Duration), addUp(r.self, n.SelfTime), max(r.longest, n.Duration)
		whole = addUp(whole, n.SelfTime)
		return true
	})
	slices.SortStableFunc(rows, func(a, b *nameRow) int { return cmp.Compare(b.self, a.self) })
	v.MoreRow = max(0, len(rows)-maxByName)
	for _, r := range rows[:min(len(rows), maxByName)] {
		r.Total, r.Self, r.Longest = duration(r.total), duration(r.self), duration(r.longest)
		r.Share = percent(chart.Linear{To: float64(whole), High: 1}.At(float64(r.self)))
		v.ByName = append(v.ByName, *r)
	}
}
