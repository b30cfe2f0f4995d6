package explorer

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// duration writes a duration with three significant digits at most.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + duration(-d)
	case d == 0:
		return "0 s"
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d)
	case d < time.Millisecond:
		return short(float64(d)/float64(time.Microsecond)) + " µs"
	case d < time.Second:
		return short(float64(d)/float64(time.Millisecond)) + " ms"
	case d < time.Minute:
		return short(d.Seconds()) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
}

// secondsText writes seconds as duration does.
func secondsText(s float64) string {
	if math.IsNaN(s) || math.IsInf(s, 0) {
		return "–"
	}
	return duration(time.Duration(s * float64(time.Second)))
}

// short writes a number with three significant digits at most, or as a whole
// number from 100 on.
func short(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case math.Abs(v) >= 100 || v == 0:
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	v, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', digits, 64), 64)
	if err != nil {
		return "–"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func percent(ratio float64) string {
	if math.IsNaN(ratio) || math.IsInf(ratio, 0) {
		return "–"
	}
	return short(ratio*100) + " %"
}

// moment is a time as the pages show it.
type moment struct {
	Short string // 15:04:05.000, with the day if it is not today's
	Full  string // with day and zone, for hovering
	ISO   string // for programs
}

func (e *explorer) moment(t time.Time) moment {
	now := e.Now()
	t = t.In(now.Location())
	m := moment{Short: t.Format("15:04:05.000"), Full: t.Format("Mon 2 Jan 2006, 15:04:05.000000 MST"), ISO: t.Format(time.RFC3339Nano)}
	if t.Format(time.DateOnly) != now.Format(time.DateOnly) {
		m.Short = t.Format("2 Jan 15:04:05.000")
	}
	return m
}

// ago writes how long ago t was.
func (e *explorer) ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := e.Now().Sub(t)
	if d < 0 {
		return "just now"
	}
	return duration(d.Truncate(100*time.Millisecond)) + " ago"
}

// count writes a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
