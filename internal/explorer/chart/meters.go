package chart

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Meter is one named bar.
type Meter struct {
	Name, Text, Class string
	Value             float64
}

// Meters are named bars below each other, from zero to the greatest value.
type Meters struct {
	Label string
	Rows  []Meter
}

// HTML draws them.
func (m Meters) HTML() template.HTML {
	const row, bar = 38, 8
	most := 0.0
	for _, r := range m.Rows {
		if finite(r.Value) {
			most = math.Max(most, r.Value)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="meters" width="100%%" height="%d" role="group" aria-label="%s">`, row*len(m.Rows), esc(m.Label))
	for i, r := range m.Rows {
		y := row * i
		fmt.Fprintf(&b, `<text x="0" y="%d">%s</text><text class="meter-value" x="100%%" y="%d" text-anchor="end">%s</text>`, y+14, esc(r.Name), y+14, esc(r.Text))
		fmt.Fprintf(&b, `<rect class="meter-track" x="0" width="100%%" y="%d" height="%d" rx="3"/>`, y+20, bar)
		if finite(r.Value) && r.Value > 0 && most > 0 {
			fmt.Fprintf(&b, `<rect class="bar %s" x="0" width="%s" y="%d" height="%d" rx="3"/>`, esc(r.Class), Percent(100*r.Value/most), y+20, bar)
		}
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}
