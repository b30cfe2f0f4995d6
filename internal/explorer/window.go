package explorer

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// window is the time range of a page: the last d, or from start to end.
type window struct {
	Start, End time.Time
	Since      string // "" if start or end were given
	Open       bool   // from Start to now: the end was not given
}

// defaultSince is the time range of every page that is asked for without one.
const defaultSince = "15m"

// moves reports whether the window ends now.
func (w window) moves() bool { return w.Since != "" || w.Open }

// choice is an option of a drop-down or a row of links.
type choice struct {
	Value, Label string
	Selected     bool
	Href         string
}

// maxWindow is the longest time range of one query to a backend.
const maxWindow = 31 * 24 * time.Hour

// earliest and latest return the first and the last moment that a 63-bit number of
// nanoseconds since 1970 can express. OTLP and Loki write times as such numbers.
func earliest() time.Time { return time.Unix(0, 0) }
func latest() time.Time   { return time.Unix(0, math.MaxInt64) }

// around returns the window in which the log lines and metrics of a trace are
// looked up: five minutes more on either side. A span may claim any time, and a
// window is bounded: it ends now where the trace ends later, and begins later where
// the trace is longer.
func around(start, end, now time.Time) window {
	const margin = 5 * time.Minute
	if start.Before(now) && end.After(now) {
		end = now
	}
	w := window{Start: start.Add(-margin), End: end.Add(margin)}
	if w.Start.Before(earliest()) {
		w.Start = earliest()
	}
	if w.End.After(latest()) {
		w.End = latest()
	}
	if w.End.Sub(w.Start) > maxWindow {
		w.Start = w.End.Add(-maxWindow)
	}
	return w
}

// parseWindow reads since (a duration such as 15m) or start and end (RFC 3339,
// or a Unix time in seconds, milliseconds, microseconds or nanoseconds; end
// defaults to now). Nothing given means the last fallback.
func parseWindow(v url.Values, now time.Time, fallback string) (window, error) {
	since, start, end := strings.TrimSpace(v.Get("since")), v.Get("start"), v.Get("end")
	if since != "" && start != "" { // chosen in the form of a page that had shown a fixed time
		start, end = "", ""
	}
	w := window{End: now, Since: fallback}
	if since != "" {
		w.Since = since
	}
	var err error
	if end != "" {
		w.Since = since
		if w.End, err = parseTime(end, now.Location()); err != nil {
			return recent(now, fallback), fmt.Errorf("reading the end: %w", err)
		}
	}
	if start != "" {
		w.Since, w.Open = "", end == ""
		if w.Start, err = parseTime(start, now.Location()); err != nil {
			return recent(now, fallback), fmt.Errorf("reading the start: %w", err)
		}
	} else {
		length := w.Since
		if length == "" {
			length = fallback
		}
		d, err := parseSpan(length)
		if err != nil {
			return recent(now, fallback), fmt.Errorf("reading the time range: %w", err)
		}
		w.Start = w.End.Add(-d)
	}
	if end != "" {
		w.Since = ""
	}
	if w.Start.Before(earliest()) || w.End.After(latest()) {
		return recent(now, fallback), errors.New("reading the time range: the start must not be before 1970, nor the end after 2262-04-11")
	}
	if !w.Start.Before(w.End) || w.End.Sub(w.Start) > maxWindow {
		return recent(now, fallback), fmt.Errorf("reading the time range: the start must be before the end, by at most 31 days")
	}
	return w, nil
}

// recent returns the window of a page whose own is unreadable. The fallback is a
// constant of the page.
func recent(now time.Time, fallback string) window {
	d, err := parseSpan(fallback)
	if err != nil {
		d = time.Hour
	}
	return window{Start: now.Add(-d), End: now, Since: fallback}
}

// parseSpan reads a Go duration, or days such as 2d.
func parseSpan(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 31 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%.40q is not a duration: write it like 15m, 6h or 2d", s)
	}
	return d, nil
}

func parseTime(s string, zone *time.Location) (time.Time, error) {
	s = strings.TrimSpace(s)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
		for n < 1e17 { // seconds, milliseconds, microseconds: until 1973 in nanoseconds
			n *= 1000
		}
		return time.Unix(0, n).In(zone), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	for _, local := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04"} { // as browsers write the field of a form
		if err == nil {
			break
		}
		t, err = time.ParseInLocation(local, s, zone)
	}
	if err != nil {
		return t, fmt.Errorf("%.40q is not a time: write it like 2026-01-02T15:04:05Z", s)
	}
	return t.In(zone), nil
}

// spans returns the time ranges that the pages offer.
func spans() []string { return []string{"5m", "15m", "1h", "6h", "24h"} }

// chosen returns the parameters of a window that the request names, none for the one that
// a page has by itself.
func (w window) chosen(r *http.Request) url.Values {
	if v := r.URL.Query(); v.Has("since") || v.Has("start") || v.Has("end") {
		return w.values()
	}
	return nil
}

// ends writes both ends, each behind its day where they are not of the same.
func (w window) ends() string {
	layout := "15:04:05"
	if w.Start.Format(time.DateOnly) != w.End.Format(time.DateOnly) {
		layout = "2 Jan 15:04:05"
	}
	return w.Start.Format(layout) + " to " + w.End.Format(layout)
}

// hidden returns the parameters that a form passes on to keep a window.
func (w window) hidden() (out []choice) {
	for _, key := range []string{"since", "start", "end"} {
		if v := w.values().Get(key); v != "" {
			out = append(out, choice{Value: v, Label: key})
		}
	}
	return out
}

// phrase says which time the window is, at the end of a sentence: "in the last 15m".
func (w window) phrase() string {
	switch {
	case w.Since != "":
		return "in the last " + w.Since
	case w.Open:
		return "since " + w.Start.Format("15:04:05")
	}
	return "from " + w.ends()
}

// timeParam writes a time as parseTime reads it. A number would not do for the
// first years after 1970, since its unit is guessed from its size.
func timeParam(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// step returns the distance of points in charts of this window, about 60 of them.
func (w window) step() time.Duration {
	raw := w.End.Sub(w.Start) / 60
	for _, s := range []time.Duration{2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute,
		2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute, time.Hour} {
		if raw <= s {
			return s
		}
	}
	return raw.Truncate(time.Hour) + time.Hour
}

// without returns the parameters of a page but for some, which the caller may change.
func without(params url.Values, names ...string) url.Values {
	out := url.Values{}
	for k, vs := range params {
		if !slices.Contains(names, k) {
			out[k] = slices.Clone(vs)
		}
	}
	return out
}
