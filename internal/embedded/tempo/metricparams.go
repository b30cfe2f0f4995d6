package tempo

import (
	"net/url"
	"strconv"
	"time"

	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/traceql"
)

// metricRange reads the time and the step of a query for metrics. Points are at multiples of
// the step, so that they do not move with the start; as in Tempo there is one before it.
func metricRange(values url.Values) (within traceql.Range, err error) {
	from, to, err := metricBounds(values)
	if err != nil {
		return within, err
	}
	step, err := metricStep(values.Get("step"), to.Sub(from))
	if err != nil {
		return within, err
	}
	start, end := from.UnixNano(), to.UnixNano()+int64(step)-1
	return traceql.Range{
		From: time.Unix(0, start-start%int64(step)-int64(step)), To: time.Unix(0, end-end%int64(step)), Step: step,
	}, nil
}

// metricBounds reads start, end and since; the default is the last hour.
func metricBounds(values url.Values) (from, to time.Time, err error) {
	if to, err = metricTime(values, "end", time.Now()); err != nil {
		return from, to, err
	}
	since := time.Hour
	if s := values.Get("since"); s != "" {
		if since, err = time.ParseDuration(s); err != nil || since <= 0 {
			return from, to, badRequest("invalid since: %q: write it like 30m or 1h", s)
		}
	}
	if from, err = metricTime(values, "start", to.Add(-since)); err != nil {
		return from, to, err
	}
	if !from.Before(to) {
		return from, to, badRequest("http parameter start must be before end. received start=%s end=%s",
			values.Get("start"), values.Get("end"))
	}
	return from, to, nil
}

// metricTime reads a time in seconds or nanoseconds since 1970, or of RFC 3339.
func metricTime(values url.Values, name string, missing time.Time) (time.Time, error) {
	s := values.Get(name)
	if s == "" {
		return missing, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
		if n > 1<<33 {
			return time.Unix(0, n), nil
		}
		return time.Unix(n, 0), nil
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || at.Unix() <= 0 || at.Unix() > 1<<33 {
		return at, badRequest("invalid %s: %q: it must be in seconds or nanoseconds since 1970, or like "+
			"2026-11-27T12:00:00Z", name, s)
	}
	return at, nil
}

// metricStep reads a step. The default is a 240th of the time, rounded down to a multiple of
// the longest usual step that is shorter.
func metricStep(s string, whole time.Duration) (time.Duration, error) {
	if s == "" {
		step := whole / 240
		usual := []time.Duration{time.Hour, 5 * time.Minute, time.Minute, 15 * time.Second, 5 * time.Second, time.Second}
		if whole < time.Minute {
			usual = []time.Duration{50 * time.Millisecond}
		}
		for _, u := range usual {
			if step > u {
				return step / u * u, nil
			}
		}
		return usual[len(usual)-1], nil
	}
	step, err := time.ParseDuration(s)
	if seconds, ferr := strconv.ParseFloat(s, 64); ferr == nil && seconds < 1<<33 {
		step, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || step < time.Millisecond || step > store.MaxStep {
		return 0, badRequest("invalid step: %q: write it like 15s or 1m, or in seconds, from 1ms to %v", s, store.MaxStep)
	}
	return step, nil
}
