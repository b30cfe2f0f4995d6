package explorer

import (
	"cmp"
	"maps"
	"net/url"
	"time"

	"dicelab/internal/query"
)

// The parameters of a trace's page. They say what of the trace is shown, and links keep those
// that they do not change.
const (
	paramFocus = "focus" // the span beneath which alone spans are shown
	paramSkip  = "skip"  // how many of a long list are left out
	paramSpan  = "span"  // the span that is opened
	paramFind  = "find"  // text that spans are searched for
	paramOnly  = "only"  // the spans that are shown: one of the only values
	paramGroup = "group" // "off" shows equal spans one by one
	paramFrom  = "from"  // the time that is shown, as durations from the beginning
	paramTo    = "to"
	paramClock = "clocks" // "aligned" shows spans at the time of the root's clock
	paramView  = "view"   // "flame" shows the flame graph
	paramAt    = "at"     // the frame of the flame graph that is the widest
	paramTyped = "typed"  // the search is the one typed into the form of a file
)

// The values of the parameter only.
const (
	onlyMatches = "matches"
	onlyFailed  = "failed"
	onlyPath    = "path"
	onlyLong    = "long" // longer than a tenth of the trace
)

// traceAsk is a request for the page of a trace: its parameters, read.
type traceAsk struct {
	id       string
	file     bool // the trace is in a file alone: controls are buttons of its form
	offline  bool // the page is a file by itself: it has no controls
	given    url.Values
	find     spanQuery
	only     string
	skip     int
	single   bool // equal spans one by one
	aligned  bool
	flame    bool
	from, to time.Duration // the part of the time that is shown; to is 0 for all
}

// askOf reads the parameters of a page. Those without a meaning are left out.
func askOf(id string, params url.Values, file bool) traceAsk {
	a := traceAsk{id: id, file: file, given: url.Values{}, find: parseSpanQuery(params.Get(paramFind)),
		skip:   skipped(params),
		single: params.Get(paramGroup) == "off", aligned: params.Get(paramClock) == "aligned",
		flame: params.Get(paramView) == "flame"}
	switch only := params.Get(paramOnly); only {
	case onlyMatches:
		if a.find.text != "" {
			a.only = only
		}
	case onlyFailed, onlyPath, onlyLong:
		a.only = only
	}
	from, errFrom := time.ParseDuration(cmp.Or(params.Get(paramFrom), "0"))
	to, errTo := time.ParseDuration(params.Get(paramTo))
	if errFrom == nil && errTo == nil && from >= 0 && to > from {
		a.from, a.to = from, to
	}
	for _, key := range []string{paramFocus, paramFind, paramOnly, paramGroup, paramFrom, paramTo, paramClock,
		paramView} {
		if v := params.Get(key); v != "" {
			a.given.Set(key, v)
		}
	}
	return a
}

// link returns a way to another part of the trace: with the parameters of this one, but those
// in set, which has names and values. A value of "" takes the parameter away.
func (a traceAsk) link(text, class string, set ...string) control {
	v := maps.Clone(a.given)
	for i := 0; i+1 < len(set); i += 2 {
		if v.Del(set[i]); set[i+1] != "" {
			v.Set(set[i], set[i+1])
		}
	}
	to := control{Text: text, Class: class}
	switch {
	case a.offline:
	case a.file:
		v.Set("trace", a.id)
		to.Show = v.Encode()
	default:
		to.Href = "/traces/" + a.id
		if len(v) > 0 {
			to.Href += "?" + v.Encode()
		}
		if span := v.Get(paramSpan); span != "" {
			to.Href += "#span-" + span
		}
	}
	return to
}

// hidden returns the parameters that a form of the page passes on, without those that it has
// itself.
func (a traceAsk) hidden(own ...string) (out []choice) {
	v := maps.Clone(a.given)
	for _, name := range own {
		v.Del(name)
	}
	for _, key := range []string{paramFocus, paramFind, paramOnly, paramGroup, paramFrom, paramTo, paramClock,
		paramView} {
		if value := v.Get(key); value != "" {
			out = append(out, choice{Label: key, Value: value})
		}
	}
	return out
}

// whole are the names and values that lead from any part to the whole trace.
func whole() []string {
	return []string{paramFocus, "", paramOnly, "", paramFrom, "", paramTo, ""}
}

// includes reports whether a filter shows a span. found are the spans that the search found,
// least is the duration that counts as long.
func (a traceAsk) includes(n *query.Node, found map[*query.Node]bool, least time.Duration) bool {
	switch a.only {
	case onlyMatches:
		return found[n]
	case onlyFailed:
		return n.Failed()
	case onlyPath:
		return len(n.Critical) > 0
	case onlyLong:
		return n.Duration >= least
	}
	return true
}
