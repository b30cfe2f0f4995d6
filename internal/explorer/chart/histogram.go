package chart

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"
)

// Histogram is counts over time, of one bar for each stretch, in which the lines lie one
// upon the other.
type Histogram struct {
	Label      string // for screen readers
	Start, End time.Time
	Step       time.Duration // of a bar
	Height     int           // of the plotting area, pixels; 0: 60
	// Lines hold the counts: a sample is the count of the step that ends at its time. The
	// first line is drawn at the bottom.
	Lines   []Line
	Moments []Moment // are marked
	// Href returns the page that shows the step which ends at a time.
	Href func(end time.Time) string
}

// HTML draws it.
func (h Histogram) HTML() template.HTML {
	height := float64(h.Height)
	if height == 0 {
		height = 60
	}
	sums := map[time.Time]float64{}
	hi := 1.0
	for _, l := range h.Lines {
		for _, s := range l.Samples {
			if finite(s.Value) {
				sums[s.Time] += s.Value
				hi = math.Max(hi, sums[s.Time])
			}
		}
	}
	ticks := Ticks(0, hi, 2)
	y, x := Linear{0, ticks[len(ticks)-1], topSpace + height, topSpace}, Time{h.Start, h.End}
	total := height + topSpace + axisHeight
	var b strings.Builder
	valueAxis(&b, total, h.Label, ticks, y, func(v float64) string { return fmt.Sprintf("%g", v) }, span(h.Start, h.End))
	writeMoments(&b, h.Moments, x, topSpace+height)
	for _, t := range TimeTicks(h.Start, h.End, 6) {
		fmt.Fprintf(&b, `<text x="%s" y="%.1f" text-anchor="%s">%s</text>`, Percent(x.At(t.Time)), total-5, anchor(x.At(t.Time)), esc(t.Label))
	}
	below := map[time.Time]float64{}
	width := x.Width(h.Step)
	for i, l := range h.Lines {
		for _, s := range l.Samples {
			if !finite(s.Value) || s.Value <= 0 || !s.Time.After(h.Start) || s.Time.After(h.End.Add(h.Step)) {
				continue
			}
			from := below[s.Time]
			below[s.Time] = from + s.Value
			title := fmt.Sprintf("%s %g  in the %v before %s", l.Name, s.Value, h.Step, s.Time.Format("15:04:05"))
			left := x.At(s.Time.Add(-h.Step))
			href := h.Href(s.Time)
			// One stop for the keyboard a bar: the lowest part of it, which is always there.
			tab := ""
			if from > 0 && i > 0 {
				tab = ` tabindex="-1"`
			}
			fmt.Fprintf(&b, `<a href="%s"%s aria-label="%s"><rect class="bar %s" x="%s" width="%s" y="%.1f" height="%.1f"><title>%s</title></rect></a>`,
				esc(href), tab, esc(title), esc(l.Class), Percent(max(0, left)), Percent(min(width*.9+min(0, left), 100-max(0, left))), y.At(from+s.Value), math.Max(1, y.At(from)-y.At(from+s.Value)), esc(title))
		}
	}
	b.WriteString(`</svg></div>`)
	return template.HTML(b.String())
}
