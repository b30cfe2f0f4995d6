package chart_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"dicelab/internal/explorer/chart"

	"github.com/google/go-cmp/cmp"
)

func TestTicks(t *testing.T) {
	tests := []struct {
		name   string
		lo, hi float64
		n      int
		want   []float64
	}{
		{"unit", 0, 1, 4, []float64{0, .5, 1}},
		{"tenths have no tail", 0, .3, 3, []float64{0, .1, .2, .3}},
		{"covers the top", 0, 0.94, 4, []float64{0, .5, 1}},
		{"negative", -3, 7, 5, []float64{-4, -2, 0, 2, 4, 6, 8}},
		{"large", 0, 1234, 4, []float64{0, 500, 1000, 1500}},
		{"no width", 5, 5, 4, []float64{5}},
		{"NaN", 0, math.NaN(), 4, []float64{0}},
		{"infinite", 0, math.Inf(1), 4, []float64{0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if d := cmp.Diff(test.want, chart.Ticks(test.lo, test.hi, test.n)); d != "" {
				t.Error(d)
			}
		})
	}
}

// Ticks ascend, are finite and cover what they are asked to, whatever that is.
func FuzzTicks(f *testing.F) {
	for _, lo := range extremes() {
		for _, hi := range extremes() {
			f.Add(lo, hi, 4)
		}
	}
	f.Add(1e16, 1e16+2, 4) // steps of less than the distance of two numbers
	f.Fuzz(func(t *testing.T, lo, hi float64, n int) {
		n = max(-1, min(n, 20))
		ticks := chart.Ticks(lo, hi, n)
		if len(ticks) == 0 || len(ticks) > max(n, 1)+3 {
			t.Fatalf("%g to %g in %d: %v", lo, hi, n, ticks)
		}
		for i, tick := range ticks {
			if math.IsNaN(tick) || math.IsInf(tick, 0) || i > 0 && tick <= ticks[i-1] {
				t.Fatalf("%g to %g in %d: %v", lo, hi, n, ticks)
			}
		}
		if finite := !math.IsInf(lo, 0) && !math.IsInf(hi, 0); finite && lo < hi {
			slack := (hi - lo) * 1e-6
			if ticks[0] > lo+slack || ticks[len(ticks)-1] < hi-slack {
				t.Errorf("%g to %g in %d: %v", lo, hi, n, ticks)
			}
		}
	})
}

// extremes returns values at the ends of the ranges that telemetry may have.
func extremes() []float64 {
	return []float64{0, 1, -1, 9223372036.854775807, math.MaxInt64, math.MinInt64, math.MaxUint64, 1e300, -1e300, math.MaxFloat64, -math.MaxFloat64,
		math.SmallestNonzeroFloat64, 1e-320, math.Inf(1), math.Inf(-1), math.NaN()}
}

// A drawing is well-formed and within bounds, whatever its values and times are.
func FuzzDrawings(f *testing.F) {
	for i, v := range extremes() {
		f.Add(v, extremes()[(i+3)%len(extremes())], int64(0), int64(math.MaxInt64))
		f.Add(v, v, int64(math.MinInt64), int64(math.MaxInt64))
		f.Add(v, 1.0, int64(1e18), int64(1e18+5))
	}
	f.Fuzz(func(t *testing.T, a, b float64, from, to int64) {
		start, end := time.Unix(0, from), time.Unix(0, to)
		samples := []chart.Sample{{Time: start, Value: a}, {Time: end, Value: b}}
		drawings := map[string]string{
			"plot": string(chart.Plot{Label: "x", Start: start, End: end, Lines: []chart.Line{{Name: "l", Samples: samples}},
				Dots: []chart.Dot{{Time: start, Value: b}, {Time: end, Value: a}}}.HTML()),
			"bars":   string(chart.Bars{Label: "x", Groups: []chart.Group{{Label: "g", Bars: []chart.Bar{{Value: a}, {Value: b}}}}}.HTML()),
			"gauge":  string(chart.Gauge{Label: "x", Max: 1, Value: a, Zones: []chart.Zone{{UpTo: b}}}.HTML()),
			"meters": string(chart.Meters{Label: "x", Rows: []chart.Meter{{Value: a}, {Value: b}}}.HTML()),
			"graph": string(chart.Graph{Label: "x", Nodes: []chart.Node{{Name: "n", Failed: a}, {Name: "m", Failed: b}},
				Edges: []chart.Edge{{From: "n", To: "m"}, {From: "m", To: "n"}, {From: "n", To: "n"}}}.HTML()),
		}
		for name, html := range drawings {
			elements(t, html)
			if len(html) > 16<<10 {
				t.Errorf("%s of %g, %g, %d, %d has %d bytes", name, a, b, from, to, len(html))
			}
			if at := badNumber.FindString(html); at != "" {
				t.Errorf("%s of %g, %g, %d, %d has %s", name, a, b, from, to, at)
			}
		}
		for _, tick := range chart.TimeTicks(start, end, 6) {
			if tick.Time.Before(start) || tick.Time.After(end) {
				t.Errorf("tick %v is outside of %v to %v", tick.Time, start, end)
			}
		}
	})
}

// badNumber finds a number that SVG does not have.
var badNumber = regexp.MustCompile(`[\w-]+="[^"]*(NaN|Inf)[^"]*"`)

func TestTimeTicks(t *testing.T) {
	zone := time.FixedZone("X", 5*3600+1800)
	tests := []struct {
		name       string
		start, end time.Time
		n          int
		want       string
	}{
		{"an hour", time.Date(2026, 3, 4, 11, 17, 9, 0, time.UTC), time.Date(2026, 3, 4, 12, 17, 9, 0, time.UTC), 6, "11:30 11:45 12:00 12:15"},
		{"a minute", time.Date(2026, 3, 4, 11, 59, 30, 0, time.UTC), time.Date(2026, 3, 4, 12, 0, 30, 0, time.UTC), 6, "11:59:30 11:59:45 12:00:00 12:00:15 12:00:30"},
		{"a day, in a zone of half hours", time.Date(2026, 3, 4, 10, 0, 0, 0, zone), time.Date(2026, 3, 5, 10, 0, 0, 0, zone), 6, "12:00 18:00 00:00 06:00"},
		{"two weeks", time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC), 6, "Mar 1 Mar 5 Mar 9 Mar 13"},
		{"nothing", time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), 6, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, tick := range chart.TimeTicks(test.start, test.end, test.n) {
				got = append(got, tick.Label)
			}
			if d := cmp.Diff(test.want, strings.Join(got, " ")); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestScales(t *testing.T) {
	at := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	s := chart.Time{Start: at, End: at.Add(8 * time.Second)}
	if got := s.At(at.Add(time.Second)); got != 12.5 {
		t.Errorf("At is %g", got)
	}
	if got := s.Width(2 * time.Second); got != 25 {
		t.Errorf("Width is %g", got)
	}
	if got := (chart.Linear{From: 0, To: 10, Low: 100, High: 0}).At(2.5); got != 75 {
		t.Errorf("Linear is %g", got)
	}
	if got := (chart.Linear{From: 3, To: 3, Low: 7, High: 9}).At(3); got != 7 {
		t.Errorf("a domain of no width gives %g", got)
	}
	if got := chart.Percent(100.0 / 3); got != "33.333%" {
		t.Errorf("Percent is %s", got)
	}
}

// elements parses a drawing, which fails if it is not well formed, and returns
// the start tags with their attributes as text.
func elements(t *testing.T, drawing string) []string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(drawing))
	var out []string
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%v in %s", err, drawing)
		}
		switch e := tok.(type) {
		case xml.StartElement:
			s := e.Name.Local
			for _, a := range e.Attr {
				if a.Name.Local == "style" || strings.HasPrefix(a.Name.Local, "on") {
					t.Errorf("%s has an attribute %s, which the Content-Security-Policy forbids", s, a.Name.Local)
				}
				s += fmt.Sprintf(" %s=%s", a.Name.Local, a.Value)
			}
			out = append(out, s)
		case xml.CharData:
			out = append(out, "#"+string(e))
		}
	}
}

func has(t *testing.T, all []string, want string) {
	t.Helper()
	for _, e := range all {
		if e == want {
			return
		}
	}
	t.Errorf("no %q in\n%s", want, strings.Join(all, "\n"))
}

func TestPlot(t *testing.T) {
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	s := func(sec int, v float64) chart.Sample {
		return chart.Sample{Time: at.Add(time.Duration(sec) * time.Second), Value: v}
	}
	p := chart.Plot{Label: `a "label"`, Start: at, End: at.Add(100 * time.Second), Height: 100,
		Lines: []chart.Line{{Name: "x<y", Class: "c-a", Gap: 15 * time.Second, Samples: []chart.Sample{s(0, 0), s(10, 1), s(20, math.NaN()), s(30, 1), s(40, .5), s(90, .5), s(200, 99)}}},
		Dots: []chart.Dot{{Time: at.Add(50 * time.Second), Value: 1, Class: "c-b", Title: `<script>&"`, Href: "/traces/1?a=b&c=d"},
			{Time: at.Add(50 * time.Second), Value: .5, Cross: true, Title: "failed"}, {Time: at.Add(-time.Second), Value: 1, Title: "outside"}}}
	got := elements(t, string(p.HTML()))
	has(t, got, "path class=line c-a d=M0.0 108.0L100.0 8.0 fill=none vector-effect=non-scaling-stroke")
	has(t, got, "path class=line c-a d=M300.0 8.0L400.0 58.0 fill=none vector-effect=non-scaling-stroke")
	has(t, got, "circle class=lone c-a cx=90% cy=58.0 r=4")
	has(t, got, "circle class=hover c-a cx=10% cy=8.0 r=4")
	has(t, got, "#x<y  1  at 12:00:10")
	has(t, got, `a href=/traces/1?a=b&c=d aria-label=<script>&"`)
	has(t, got, "circle class=mark cx=50% cy=8.0 r=4.5")
	has(t, got, "svg x=50% y=58.0 overflow=visible")
	has(t, got, "#0.5")
	for _, e := range got {
		if strings.Contains(e, "outside") || strings.Contains(e, "99") {
			t.Errorf("%s lies outside of the time shown", e)
		}
	}
}

func TestBars(t *testing.T) {
	b := chart.Bars{Label: "values", Height: 100, Groups: []chart.Group{
		{Label: "1", Bars: []chart.Bar{{Class: "c-fair", Title: "four", Value: 4}, {Class: "c-risky", Value: 0}}}, {Label: "2", Bars: []chart.Bar{{Value: math.NaN()}, {Class: "c-risky", Title: "two", Value: 2}}}}}
	got := elements(t, string(b.HTML()))
	has(t, got, "rect class=bar c-fair x=7.5% width=16.1% y=8.0 height=100.0 rx=2")
	has(t, got, "rect class=bar c-risky x=75% width=16.1% y=58.0 height=50.0 rx=2")
	has(t, got, "#four")
	n := 0
	for _, e := range got {
		if strings.HasPrefix(e, "rect") {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d bars", n)
	}
}
