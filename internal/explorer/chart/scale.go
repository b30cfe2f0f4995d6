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
	if l.To == l.From {
		return l.Low
	}
	return l.Low + (v-l.From)/(l.To-l.From)*(l.High-l.Low)
}

// Time maps moments between Start and End to percent of the width.
type Time struct{ Start, End time.Time }

// At returns where t lies, 0 to 100 if it is inside.
func (s Time) At(t time.Time) float64 {
	return Linear{0, float64(s.End.Sub(s.Start)), 0, 100}.At(float64(t.Sub(s.Start)))
}

// Width returns how much of the width d takes, in percent.
func (s Time) Width(d time.Duration) float64 { return s.At(s.Start.Add(d)) }

// Percent writes a share of the width as an SVG length.
func Percent(v float64) string {
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64) + "%"
}

// Ticks returns about n round values (1, 2 or 5 times a power of ten) that
// cover lo..hi: the first is not above lo, the last not below hi.
func Ticks(lo, hi float64, n int) []float64 {
	if !(hi > lo) || math.IsInf(hi-lo, 0) || n < 1 { // also NaN
		return []float64{lo}
	}
	step := niceStep((hi - lo) / float64(n))
	first := math.Floor(lo/step + 1e-9)
	last := math.Ceil(hi/step - 1e-9)
	var out []float64
	for i := first; i <= last; i++ {
		// Rounding away the tail of 0.1+0.2.
		v, err := strconv.ParseFloat(strconv.FormatFloat(i*step, 'g', 12, 64), 64)
		if err != nil {
			v = i * step
		}
		out = append(out, v)
	}
	return out
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

// timeSteps are the distances between ticks that a clock face suggests.
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

// DurationTicks returns about n round durations from 0 up to d, for the axis of
// a waterfall.
func DurationTicks(d time.Duration, n int) []time.Duration {
	var out []time.Duration
	for _, v := range Ticks(0, float64(d), n) {
		if t := time.Duration(v); t <= d {
			out = append(out, t)
		}
	}
	return out
}
