package chart

import (
	"fmt"
	"html/template"
	"strings"
)

// Zone is a stretch of a gauge's scale, up to a value and from the end of the zone
// before it.
type Zone struct {
	UpTo  float64
	Class string
}

// Gauge is one value on a scale.
type Gauge struct {
	Label    string // for screen readers
	Min, Max float64
	Value    float64
	Text     string // the value as it is shown
	Class    string // colours the value
	Zones    []Zone // what is good and what is not, in order; may be none
}

// HTML draws it as a half circle. It keeps its proportions and fills the width
// that CSS gives to .gauge.
func (g Gauge) HTML() template.HTML {
	share := func(v float64) float64 { return max(0, min(100, Linear{g.Min, g.Max, 0, 100}.At(v))) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="gauge" viewBox="0 0 200 118" role="img" aria-label="%s">`, esc(g.Label+": "+g.Text))
	// pathLength makes dashes count in percent of the arc.
	const arc = `<path class="%s" d="M%g 104A%g %g 0 0 1 %g 104" pathLength="100" fill="none" stroke-dasharray="%.2f 200" stroke-dashoffset="%.2f"/>`
	ring := func(class string, radius, from, to float64) {
		if to > from {
			fmt.Fprintf(&b, arc, class, 100-radius, radius, radius, 100+radius, to-from, 0-from)
		}
	}
	from := 0.0
	for _, z := range g.Zones {
		ring("gauge-zone "+esc(z.Class), 94, from, share(z.UpTo))
		from = share(z.UpTo)
	}
	ring("gauge-track", 76, 0, 100)
	if finite(g.Value) {
		ring("gauge-value "+esc(g.Class), 76, 0, share(g.Value))
	}
	fmt.Fprintf(&b, `<text class="gauge-text" x="100" y="98" text-anchor="middle">%s</text></svg>`, esc(g.Text))
	return template.HTML(b.String())
}
