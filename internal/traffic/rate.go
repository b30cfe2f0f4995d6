package traffic

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Rate is the number of rolls sent a second. It changes evenly from From to To during a run.
type Rate struct{ From, To float64 }

// maxRate bounds a rate: no machine sends a million rolls a second, and a typing
// mistake should not try.
const maxRate = 1e6

// errRate explains how to write a rate.
var errRate = errors.New("want a rate above 0 such as 200/s, 30/m, or 0..2000/s for one that rises")

// ParseRate reads NUMBER or NUMBER..NUMBER, and /s (which may be left out), /m
// or /h: "200/s", "30/m", "0..2000/s".
func ParseRate(text string) (Rate, error) {
	numbers, unit, given := strings.Cut(text, "/")
	if !given {
		unit = "s"
	}
	per, known := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	if !known {
		return Rate{}, errRate
	}
	from, to, ramp := strings.Cut(numbers, "..")
	if !ramp {
		to = from
	}
	var r Rate
	for _, part := range []struct {
		text string
		into *float64
	}{{from, &r.From}, {to, &r.To}} {
		v, err := strconv.ParseFloat(part.text, 64)
		if err != nil || !(v >= 0) {
			return Rate{}, errRate
		}
		*part.into = v / per
	}
	switch most := max(r.From, r.To); {
	case most == 0:
		return Rate{}, errRate
	case most > maxRate:
		return Rate{}, fmt.Errorf("%g a second is too much; want at most %g", most, maxRate)
	}
	return r, nil
}

// String returns the rate as ParseRate reads it.
func (r Rate) String() string {
	from, to := strconv.FormatFloat(r.From, 'g', -1, 64), strconv.FormatFloat(r.To, 'g', -1, 64)
	if from == to {
		return from + "/s"
	}
	return from + ".." + to + "/s"
}

// mean returns the rate over a whole run, in rolls a second.
func (r Rate) mean() float64 { return (r.From + r.To) / 2 }

// rolls returns the number of rolls sent in a run of length d.
func (r Rate) rolls(d time.Duration) uint64 {
	return uint64(r.mean()*d.Seconds() + 1e-6) // a whole number must not be missed by rounding
}

// due returns the time at which roll n, counted from 0, is sent in a run of length d.
//
// With slope a = (To-From)/d the number of rolls sent until t is at²/2 + From·t.
// Solved for t, in the form that divides by a sum (and so loses no digits where
// a is small, and does not divide by 0 where a is 0).
func (r Rate) due(n uint64, d time.Duration) time.Duration {
	if n == 0 {
		return 0
	}
	slope := (r.To - r.From) / d.Seconds()
	root := math.Sqrt(max(0, r.From*r.From+2*slope*float64(n)))
	return min(d, time.Duration(2*float64(n)/(r.From+root)*float64(time.Second)))
}

// Range is a span of durations, such as a user's pauses.
type Range struct{ Min, Max time.Duration }

// maxPause bounds a Range.
const maxPause = 24 * time.Hour

func (r Range) check() error {
	if r.Min < 0 || r.Max < r.Min || r.Max > maxPause {
		return fmt.Errorf("pause %v: want two durations from 0s to %v, the shorter first", r, maxPause)
	}
	return nil
}

// ParseRange reads DURATION or DURATION..DURATION: "1s", "500ms..2s".
func ParseRange(text string) (r Range, err error) {
	errRange := errors.New("want a duration, or two with the shorter first, such as 500ms..2s")
	from, to, ok := strings.Cut(text, "..")
	if !ok {
		to = from
	}
	var err1, err2 error
	r.Min, err1 = time.ParseDuration(from)
	r.Max, err2 = time.ParseDuration(to)
	if errors.Join(err1, err2, r.check()) != nil {
		return Range{}, errRange
	}
	return r, nil
}

// String returns the range as ParseRange reads it.
func (r Range) String() string { return r.Min.String() + ".." + r.Max.String() }

// at returns the duration that lies at a share of the range, 0 to 1.
func (r Range) at(share float64) time.Duration {
	return r.Min + time.Duration(share*float64(r.Max-r.Min))
}
