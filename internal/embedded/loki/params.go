package loki

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/logql"
)

// Defaults of parameters, those of Loki's documentation.
const (
	defaultLimit       = 100
	defaultSince       = time.Hour     // of query_range
	defaultSinceLabels = 6 * time.Hour // of labels, values and series
)

// rangeParams are the parameters of query_range.
type rangeParams struct {
	start, end time.Time
	step       time.Duration
	limit      int
	forward    bool
	interval   time.Duration // between two lines of the answer, at least
}

func (h *handler) rangeParams(r *http.Request) (p rangeParams, err error) {
	if p.start, p.end, err = h.bounds(r, defaultSince); err != nil {
		return p, err
	}
	if p.limit, err = limit(r); err != nil {
		return p, err
	}
	if p.forward, err = forward(r); err != nil {
		return p, err
	}
	if p.step, err = step(r, p.end.Sub(p.start)); err != nil {
		return p, err
	}
	if text := r.Form.Get("interval"); text != "" {
		if p.interval, err = parseStep(text); err != nil || p.interval < 0 {
			return p, answer.Errorf(http.StatusBadRequest, "cannot parse %q to a valid duration; interval is a number of seconds or a duration, such as 15s", text)
		}
	}
	return p, nil
}

// bounds parses start, end and since. Without start, the range starts since before the
// end, or before now if the end is in the future.
func (h *handler) bounds(r *http.Request, since time.Duration) (start, end time.Time, err error) {
	now := h.opts.Now()
	if end, err = timestamp(r, "end", now); err != nil {
		return start, end, err
	}
	if text := r.Form.Get("since"); text != "" {
		d, err := model.ParseDuration(text)
		if err != nil {
			return start, end, answer.Errorf(http.StatusBadRequest, "reading since %q: it is a duration, such as 30m", text)
		}
		since = time.Duration(d)
	}
	from := end
	if from.After(now) {
		from = now
	}
	if start, err = timestamp(r, "start", from.Add(-since)); err != nil {
		return start, end, err
	}
	if end.Before(start) {
		return start, end, answer.Errorf(http.StatusBadRequest, "end timestamp must not be before start time")
	}
	return start, end, nil
}

// timestamp parses a time in one of Loki's forms: nanoseconds since 1970,
// seconds with a decimal point or of at most ten digits, or RFC 3339.
func timestamp(r *http.Request, name string, absent time.Time) (time.Time, error) {
	text := r.Form.Get(name)
	if text == "" {
		return absent, nil
	}
	at, ok := parseTime(text)
	if !ok {
		return time.Time{}, answer.Errorf(http.StatusBadRequest, "reading %s %q: it is a number of nanoseconds since 1970, of seconds with a decimal point, "+
			"or an RFC 3339 time, of the years 1970 to 2261", name, text)
	}
	return at, nil
}

// parseTime returns the time that text stands for, and reports whether it fits into
// nanoseconds since 1970.
func parseTime(text string) (time.Time, bool) {
	const lastSecond = math.MaxInt64 / int64(time.Second)
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && strings.Contains(text, ".") {
		whole, part := math.Modf(seconds)
		if !(whole >= 0 && whole < float64(lastSecond)) { // also refuses NaN
			return time.Time{}, false
		}
		millis := math.Round(part * 1000) // further digits of a float are noise
		return time.Unix(int64(whole), int64(millis)*int64(time.Millisecond)), true
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if len(text) <= 10 {
			return time.Unix(n, 0), n >= 0
		}
		return time.Unix(0, n), n >= 0
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, err == nil && at.Unix() >= 0 && at.Unix() < lastSecond
}

func limit(r *http.Request) (int, error) {
	text := r.Form.Get("limit")
	if text == "" {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n <= 0:
		return 0, answer.Errorf(http.StatusBadRequest, "limit must be a positive value, not %q", text)
	case n > maxLimit:
		return 0, answer.Errorf(http.StatusBadRequest, "max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > %d)", n, maxLimit)
	}
	return n, nil
}

func forward(r *http.Request) (bool, error) {
	switch text := r.Form.Get("direction"); strings.ToLower(text) {
	case "", "backward":
		return false, nil
	case "forward":
		return true, nil
	default:
		return false, answer.Errorf(http.StatusBadRequest, "invalid direction '%s'; it is forward or backward", text)
	}
}

// step parses the distance of the points of a metric query, a whole number of
// milliseconds. The default is a 250th of the range, at least a second.
func step(r *http.Request, span time.Duration) (time.Duration, error) {
	text := r.Form.Get("step")
	d := max(span/250, time.Second).Truncate(time.Second)
	if text != "" {
		var err error
		if d, err = parseStep(text); err != nil {
			return 0, answer.Errorf(http.StatusBadRequest, "cannot parse %q to a valid duration; step is a number of seconds or a duration, such as 15s", text)
		}
	}
	switch d = d.Truncate(time.Millisecond); {
	case d <= 0:
		return 0, answer.Errorf(http.StatusBadRequest, "zero or negative query resolution step widths are not accepted. Try a positive integer")
	case span/d > logql.MaxPoints:
		return 0, answer.Errorf(http.StatusBadRequest, "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter")
	}
	return d, nil
}

func parseStep(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if math.IsNaN(seconds) || math.Abs(seconds) >= math.MaxInt64/float64(time.Second) {
			return 0, fmt.Errorf("reading %q: out of range", text)
		}
		return time.Duration(seconds * float64(time.Second)), nil
	}
	d, err := model.ParseDuration(text)
	return time.Duration(d), err
}
