package explorer

import (
	"fmt"
	"html/template"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/query"
)

// duration writes a duration with three significant digits at most, and one of
// more than two days in days or years. It takes every value, since telemetry may
// have any.
func duration(d time.Duration) string {
	if d < 0 {
		if d == math.MinInt64 { // has no positive counterpart
			d++
		}
		return "-" + duration(-d)
	}
	if d == 0 {
		return "0 s"
	}
	if d < time.Microsecond {
		return fmt.Sprintf("%d ns", d)
	}
	for _, u := range []struct {
		unit time.Duration
		most float64 // from here on the next unit is used
		name string
	}{{time.Microsecond, 1000, "µs"}, {time.Millisecond, 1000, "ms"}, {time.Second, 60, "s"}} {
		if v := significant(float64(d) / float64(u.unit)); v < u.most {
			return short(v) + " " + u.name
		}
	}
	switch seconds, minutes, hours := d.Round(time.Second), d.Round(time.Minute), d.Round(time.Hour); {
	case seconds < time.Hour:
		return fmt.Sprintf("%d min %d s", seconds/time.Minute, seconds%time.Minute/time.Second)
	case minutes < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", minutes/time.Hour, minutes%time.Hour/time.Minute)
	case hours < 2*year:
		return fmt.Sprintf("%d d %d h", hours/day, hours%day/time.Hour)
	}
	return short(float64(d)/float64(year)) + " years"
}

// exact writes a duration to the nanosecond, or "" where duration does so.
func exact(d time.Duration) string {
	unit, name := time.Second, " s"
	switch {
	case d.Abs() < time.Microsecond:
		return ""
	case d.Abs() < time.Millisecond:
		unit, name = time.Microsecond, " µs"
	case d.Abs() < time.Second:
		unit, name = time.Millisecond, " ms"
	}
	text := fmt.Sprintf("%d.%0*d", d/unit, len(strconv.FormatInt(int64(unit), 10))-1, (d % unit).Abs())
	text = strings.TrimRight(strings.TrimRight(text, "0"), ".") + name
	if text == duration(d) {
		return ""
	}
	return text
}

const (
	day  = 24 * time.Hour
	year = 8766 * time.Hour // of 365.25 days
)

// secondsText writes seconds as duration does, and those beyond the range of a
// duration, 292 years, in years.
func secondsText(s float64) string {
	if math.IsNaN(s) || math.IsInf(s, 0) {
		return "–"
	}
	const most = float64(math.MaxInt64) / float64(time.Second)
	if math.Abs(s) >= most {
		return short(s/year.Seconds()) + " years"
	}
	return duration(time.Duration(s * float64(time.Second)))
}

// short writes a number with three significant digits at most, or as a whole
// number from 100 on; one that would be very long, with an exponent.
func short(v float64) string {
	abs := math.Abs(v)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case abs >= 1e15, abs < 1e-6 && v != 0:
		return strconv.FormatFloat(v, 'g', 3, 64)
	case abs >= 100 || v == 0:
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	}
	return strconv.FormatFloat(significant(v), 'f', -1, 64)
}

// significant rounds a number to three significant digits, and from 100 on to a whole
// number.
func significant(v float64) float64 {
	if math.Abs(v) >= 100 || v == 0 {
		return math.Round(v)
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', digits, 64), 64)
	if err != nil { // it was written just before
		return v
	}
	return r
}

func percent(ratio float64) string {
	if math.IsNaN(ratio) || math.IsInf(ratio, 0) {
		return "–"
	}
	return short(ratio*100) + " %"
}

// moment is a time as the pages show it.
type moment struct {
	Short string // 15:04:05.000, with the day if it is not today's, and its year if it is not this one
	Full  string // with day and zone, for hovering
	ISO   string // for programs
}

func (e *explorer) moment(t time.Time) moment {
	now := e.Now()
	t = t.In(now.Location())
	m := moment{Short: t.Format("15:04:05.000"), Full: t.Format("Mon 2 Jan 2006, 15:04:05.000000 MST"), ISO: t.Format(time.RFC3339Nano)}
	switch {
	case t.Year() != now.Year():
		m.Short = t.Format("2 Jan 2006 15:04:05.000")
	case t.YearDay() != now.YearDay():
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

// plural returns the word for one or for many.
func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// count writes a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// maxName is the longest part of a name that a page shows, in bytes.
const maxName = 512

// clip returns a name, shortened if it is very long.
func clip(name string) string {
	if len(name) <= maxName {
		return name
	}
	return query.Clip(name, maxName) + "…"
}

// piece is a stretch of text with or without a link.
type piece struct{ Text, Href string }

// traceID finds trace IDs in a text. In a traceparent there is one, too.
var traceID = regexp.MustCompile(`\b[0-9a-f]{32}\b`)

// linked makes links of the trace IDs in a text.
func linked(text string) (pieces []piece) {
	at := 0
	for _, m := range traceID.FindAllStringIndex(text, -1) {
		pieces = append(pieces, piece{Text: text[at:m[0]]}, piece{Text: text[m[0]:m[1]], Href: "/traces/" + text[m[0]:m[1]]})
		at = m[1]
	}
	return append(pieces, piece{Text: text[at:]})
}

// code writes a text as HTML; parts between backquotes become code.
func code(text string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(template.HTMLEscapeString(text), "`") {
		if i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		b.WriteString(part)
	}
	return template.HTML(b.String())
}
