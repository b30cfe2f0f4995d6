package chart

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Sample is a value at a time. NaN and infinities leave a gap.
type Sample struct {
	Time  time.Time
	Value float64
}

// Line joins samples, which must be in order of time.
type Line struct {
	Name    string
	Class   string // colours it: stroke or fill by CSS
	Samples []Sample
	// Gap is the distance in time above which two samples are not joined; 0
	// joins all.
	Gap time.Duration
}

// Dot is a mark of its own.
type Dot struct {
	Time  time.Time
	Value float64
	Class string
	Title string // shown on hover and read aloud
	Href  string // "" for no link
	Cross bool   // a cross instead of a dot, so that colour is not all that differs
}

// Plot is values over time.
type Plot struct {
	Label      string // for screen readers
	Start, End time.Time
	Min, Max   float64 // at least this much of the value axis is shown
	Height     int     // of the plotting area, pixels; 0: 160
	Ticks      int     // of the value axis; 0: 4
	Format     func(float64) string
	Lines      []Line
	Dots       []Dot
	Moments    []Moment // are marked
}

// Moment is a time with a name.
type Moment struct {
	Time time.Time
	Name string
}

const (
	axisWidth  = 52 // pixels for the labels of the value axis, if none is longer
	axisMargin = 8  // pixels between the labels of the value axis and the plot
	axisHeight = 22 // pixels for the labels of the time axis
	topSpace   = 8  // pixels above the highest tick, for half a line of text
)

// HTML draws it.
func (p Plot) HTML() template.HTML {
	height := float64(p.Height)
	if height == 0 {
		height = 160
	}
	n := p.Ticks
	if n == 0 {
		n = 4
	}
	format := p.Format
	if format == nil {
		format = func(v float64) string { return fmt.Sprintf("%g", v) }
	}
	lo, hi := p.Min, p.Max
	grow := func(t time.Time, v float64) {
		if finite(v) && !t.Before(p.Start) && !t.After(p.End) {
			lo, hi = math.Min(lo, v), math.Max(hi, v)
		}
	}
	for _, l := range p.Lines {
		for _, s := range l.Samples {
			grow(s.Time, s.Value)
		}
	}
	for _, d := range p.Dots {
		grow(d.Time, d.Value)
	}
	if hi == lo {
		hi = lo + max(1, math.Abs(lo)/1e3) // a large number plus 1 may be the same
		if math.IsInf(hi, 0) {
			lo, hi = lo-lo/1e3, lo
		}
	}
	ticks := Ticks(lo, hi, n)
	y := Linear{ticks[0], ticks[len(ticks)-1], topSpace + height, topSpace}
	x := Time{p.Start, p.End}
	total := height + topSpace + axisHeight

	var b strings.Builder
	valueAxis(&b, total, p.Label, ticks, y, format, span(p.Start, p.End))
	writeMoments(&b, p.Moments, x, topSpace+height)
	for _, t := range TimeTicks(p.Start, p.End, 6) {
		at := x.At(t.Time)
		fmt.Fprintf(&b, `<line class="tick" x1="%s" x2="%s" y1="%.1f" y2="%.1f"/><text x="%s" y="%.1f" text-anchor="%s">%s</text>`,
			Percent(at), Percent(at), topSpace+height, topSpace+height+4, Percent(at), total-5, anchor(at), esc(t.Label))
	}
	// Lines live in a square of their own that is stretched to the width;
	// CSS keeps their strokes from being stretched with it.
	fmt.Fprintf(&b, `<svg x="0" y="0" width="100%%" height="%g" viewBox="0 0 1000 %g" preserveAspectRatio="none" aria-hidden="true">`, total, total)
	for _, l := range p.Lines {
		writeLine(&b, l, x, y, p)
	}
	b.WriteString(`</svg>`)
	for _, l := range p.Lines {
		writeHovers(&b, l, x, y, p, format)
	}
	for _, d := range p.Dots {
		if finite(d.Value) && !d.Time.Before(p.Start) && !d.Time.After(p.End) {
			writeDot(&b, d, x.At(d.Time), y.At(d.Value))
		}
	}
	b.WriteString(`</svg></div>`)
	return template.HTML(b.String())
}

func writeLine(b *strings.Builder, l Line, x Time, y Linear, p Plot) {
	var path strings.Builder
	var last time.Time
	n := 0
	flush := func() {
		switch {
		case n > 1:
			fmt.Fprintf(b, `<path class="line %s" d="%s" fill="none" vector-effect="non-scaling-stroke"/>`, esc(l.Class), path.String())
		}
		path.Reset()
		n = 0
	}
	for _, s := range l.Samples {
		if !finite(s.Value) || s.Time.Before(p.Start) || s.Time.After(p.End) {
			flush()
			continue
		}
		if n > 0 && l.Gap > 0 && s.Time.Sub(last) > l.Gap {
			flush()
		}
		op := 'L'
		if n == 0 {
			op = 'M'
		}
		fmt.Fprintf(&path, "%c%.1f %.1f", op, x.At(s.Time)*10, y.At(s.Value))
		last, n = s.Time, n+1
	}
	flush()
}

// writeHovers puts an invisible, larger mark on each sample, whose title the
// browser shows on hover. A sample that stands alone is shown as a dot.
func writeHovers(b *strings.Builder, l Line, x Time, y Linear, p Plot, format func(float64) string) {
	joined := func(i, j int) bool {
		if j < 0 || j >= len(l.Samples) || !finite(l.Samples[j].Value) {
			return false
		}
		d := l.Samples[i].Time.Sub(l.Samples[j].Time).Abs()
		return l.Gap == 0 || d <= l.Gap
	}
	for i, s := range l.Samples {
		if !finite(s.Value) || s.Time.Before(p.Start) || s.Time.After(p.End) {
			continue
		}
		class := "hover"
		if !joined(i, i-1) && !joined(i, i+1) {
			class = "lone"
		}
		fmt.Fprintf(b, `<circle class="%s %s" cx="%s" cy="%.1f" r="4"><title>%s</title></circle>`, class, esc(l.Class),
			Percent(x.At(s.Time)), y.At(s.Value), esc(fmt.Sprintf("%s  %s  at %s", l.Name, format(s.Value), s.Time.Format("15:04:05"))))
	}
}

func writeDot(b *strings.Builder, d Dot, x, y float64) {
	if d.Href != "" {
		fmt.Fprintf(b, `<a href="%s" aria-label="%s">`, esc(d.Href), esc(d.Title))
	}
	fmt.Fprintf(b, `<g class="dot %s"><title>%s</title>`, esc(d.Class), esc(d.Title))
	if d.Cross {
		// A path cannot be placed in percent; a nested drawing can.
		fmt.Fprintf(b, `<svg x="%s" y="%.1f" overflow="visible"><circle class="hit" r="8"/><path class="cross" d="M-4.5-4.5L4.5 4.5M4.5-4.5L-4.5 4.5"/></svg>`, Percent(x), y)
	} else {
		fmt.Fprintf(b, `<circle class="hit" cx="%s" cy="%.1f" r="8"/><circle class="mark" cx="%s" cy="%.1f" r="4.5"/>`, Percent(x), y, Percent(x), y)
	}
	b.WriteString(`</g>`)
	if d.Href != "" {
		b.WriteString(`</a>`)
	}
}

// Bar is one value of a group.
type Bar struct {
	Class, Title string
	Value        float64
}

// Group is the bars that share a label.
type Group struct {
	Label string
	Bars  []Bar
}

// Bars is values by name.
type Bars struct {
	Label  string
	Height int     // of the plotting area, pixels; 0: 160
	Max    float64 // at least this much of the value axis is shown
	Format func(float64) string
	Groups []Group
}

// HTML draws it.
func (c Bars) HTML() template.HTML {
	height := float64(c.Height)
	if height == 0 {
		height = 160
	}
	format := c.Format
	if format == nil {
		format = func(v float64) string { return fmt.Sprintf("%g", v) }
	}
	hi := c.Max
	for _, g := range c.Groups {
		for _, bar := range g.Bars {
			if finite(bar.Value) {
				hi = math.Max(hi, bar.Value)
			}
		}
	}
	if hi == 0 {
		hi = 1
	}
	ticks := Ticks(0, hi, 4)
	y := Linear{0, ticks[len(ticks)-1], topSpace + height, topSpace}
	total := height + topSpace + axisHeight
	var b strings.Builder
	valueAxis(&b, total, c.Label, ticks, y, format, "")
	slot := 100 / float64(max(1, len(c.Groups)))
	for i, g := range c.Groups {
		width := slot * .7 / float64(max(1, len(g.Bars)))
		for j, bar := range g.Bars {
			if !finite(bar.Value) || bar.Value <= 0 {
				continue
			}
			fmt.Fprintf(&b, `<rect class="bar %s" x="%s" width="%s" y="%.1f" height="%.1f" rx="2"><title>%s</title></rect>`, esc(bar.Class),
				Percent(slot*(float64(i)+.15)+width*float64(j)), Percent(width*.92), y.At(bar.Value), y.At(0)-y.At(bar.Value), esc(bar.Title))
		}
		fmt.Fprintf(&b, `<text x="%s" y="%.1f" text-anchor="middle">%s</text>`, Percent(slot*(float64(i)+.5)), total-5, esc(g.Label))
	}
	b.WriteString(`</svg></div>`)
	return template.HTML(b.String())
}

// anchor keeps a label at an edge inside the drawing.
func anchor(percent float64) string {
	switch {
	case percent < 3:
		return "start"
	case percent > 97:
		return "end"
	}
	return "middle"
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func esc(s string) string { return template.HTMLEscapeString(s) }

// textWidth returns the width of a label in pixels, at most: of the style sheet's 11.5
// pixels high letters the digits are 7 wide, and few are wider.
func textWidth(label string) int { return 7*utf8.RuneCountInString(label) + 2 }

// span returns the attributes that say which time a chart shows, in milliseconds since 1970,
// for a script that lets a reader choose a part of it.
func span(start, end time.Time) string {
	return fmt.Sprintf(` data-start="%d" data-end="%d"`, start.UnixMilli(), end.UnixMilli())
}

func writeMoments(b *strings.Builder, moments []Moment, x Time, height float64) {
	for _, m := range moments {
		if at := x.At(m.Time); at >= 0 && at <= 100 {
			fmt.Fprintf(b, `<line class="moment" x1="%s" x2="%[1]s" y1="0" y2="%.1f"><title>%s</title></line>`, Percent(at), height, esc(m.Name))
		}
	}
}

// valueAxis begins a chart of a height: the values at its left, and the plot with a line
// at each. The caller ends the plot.
func valueAxis(b *strings.Builder, height float64, label string, ticks []float64, y Linear, format func(float64) string, attributes string) {
	width := axisWidth
	for _, t := range ticks {
		width = max(width, textWidth(format(t))+axisMargin)
	}
	fmt.Fprintf(b, `<div class="chart"><svg class="chart-values" width="%d" height="%g" aria-hidden="true">`, width, height)
	for _, t := range ticks {
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end" dominant-baseline="middle">%s</text>`,
			width-axisMargin, y.At(t), esc(format(t)))
	}
	fmt.Fprintf(b, `</svg><svg class="chart-plot" width="100%%" height="%g" role="group" aria-label="%s"%s>`, height, esc(label), attributes)
	for _, t := range ticks {
		fmt.Fprintf(b, `<line class="grid" x1="0" x2="100%%" y1="%.1f" y2="%.1f"/>`, y.At(t), y.At(t))
	}
}
