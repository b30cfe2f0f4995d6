package chart

import (
	"math"
	"strconv"
	"time"
)

// Linear maps the domain From..To to the range Low..High.
type Linear struct{ From, To, Low, High float64 }

// At maps v. A domain of no width maps to Low.
func (l Linear) At(v float64) float64 {
	from, to := l.From, l.To
	const most = math.MaxFloat64 / 4
	if max(math.Abs(v), math.Abs(from), math.Abs(to)) > most { // a difference may be beyond the range of a float64
		v, from, to = v/4, from/4, to/4
	}
	if to == from {
		return l.Low
	}
	return l.Low + (v-from)/(to-from)*(l.High-l.Low)
}

// Time maps moments between Start and End to percent of the width.
type Time struct{ Start, End time.Time }

// At returns where t lies, 0 to 100 if it is inside.
func (s Time) At(t time.Time) float64 {
	return Linear{0, float64(s.End.Sub(s.Start)), 0, 100}.At(float64(t.Sub(s.Start)))
}

// Width returns the part of the width that d takes, in percent.
func (s Time) Width(d time.Duration) float64 { return s.At(s.Start.Add(d)) }

// maxPercent is the farthest outside of a drawing that something is placed.
const maxPercent = 10_000

// Percent writes a share of the width as an SVG length. What is far outside of
// the drawing stays outside; a value that is not a number is written as 0.
func Percent(v float64) string {
	if math.IsNaN(v) {
		v = 0
	}
	v = max(-maxPercent, min(v, maxPercent))
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64) + "%"
}

// Ticks returns about n round values (1, 2 or 5 times a power of ten) that
// cover lo..hi: the first is not above lo, the last not below hi. Where a float64
// cannot express such steps, and where n is below 1, they are lo and hi alone. All
// are finite and in ascending order; values that are not numbers give the one 0.
func Ticks(lo, hi float64, n int) []float64 {
	switch {
	case !finite(lo) || !finite(hi):
		return []float64{0}
	case hi <= lo:
		return []float64{lo}
	}
	n = max(n, 1)
	step := niceStep(hi/float64(n) - lo/float64(n))
	first, last := math.Floor(lo/step+1e-9), math.Ceil(hi/step-1e-9)
	out := make([]float64, 0, n+3)
	for i := range n + 3 {
		at := first + float64(i)
		v := rounded(at * step)
		if len(out) > 0 && v <= out[len(out)-1] {
			break
		}
		out = append(out, v)
		if at >= last {
			break
		}
	}
	slack := 1e-6 * step
	if covers := len(out) > 1 && out[0] <= lo+slack && out[len(out)-1] >= hi-slack; !covers {
		return []float64{lo, hi}
	}
	return out
}

// rounded returns v to twelve digits, which takes away the tail that products such
// as 3*0.1 have, and within the range of finite numbers.
func rounded(v float64) float64 {
	v = max(-math.MaxFloat64, min(v, math.MaxFloat64))
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 12, 64), 64)
	if err != nil { // rounded up, it is beyond the range
		return v
	}
	return r
}

func niceStep(raw float64) float64 {
	mag := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if raw <= m*mag*(1+1e-9) {
			return m * mag
		}
	}
	return 10 * mag
}

// Tick is a labelled place on the time axis.
type Tick struct {
	Time  time.Time
	Label string
}

// timeSteps returns the distances between ticks that a clock face suggests.
func timeSteps() []time.Duration {
	return []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour}
}

// TimeTicks returns at most n ticks at round times of start's zone, labelled
// 15:04, or 15:04:05 where they are less than a minute apart, or Jan 2 where
// they are a day or more.
func TimeTicks(start, end time.Time, n int) []Tick {
	if !end.After(start) || n < 1 {
		return nil
	}
	span := end.Sub(start)
	step := 24 * time.Hour
	for _, s := range timeSteps() {
		if span/s < time.Duration(n) {
			step = s
			break
		}
	}
	for span/step >= time.Duration(n) {
		step *= 2
	}
	layout := "15:04"
	switch {
	case step < time.Minute:
		layout = "15:04:05"
	case step >= 24*time.Hour:
		layout = "Jan 2"
	}
	// Steps count from midnight of the zone, so that they fall on its full hours.
	midnight := time.Date(start.Year(), start.Month(), start.Day(), 0, 0, 0, 0, start.Location())
	at := midnight.Add(start.Sub(midnight).Truncate(step))
	var out []Tick
	for ; !at.After(end); at = at.Add(step) {
		if !at.Before(start) {
			out = append(out, Tick{at, at.Format(layout)})
		}
	}
	return out
}
