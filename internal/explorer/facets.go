package explorer

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// Bounds of the fields that the page of log lines offers as filters.
const (
	maxFacets      = 16 // fields
	maxFacetValues = 8  // values of a field, the most frequent ones
	maxFacetText   = 80 // bytes of a value: a longer one is no choice
	maxFieldConds  = 8  // conditions on fields
)

// facet is a field of log lines, with its most frequent values.
type facet struct {
	query.FieldCondition
	Values    []facetValue
	More      int    // other values
	Everyone  string // counts the values in all lines of the time
	Counted   bool   // the counts are those of all lines of the time
	Singles   bool   // almost each line has a value of its own
	Different int
}

type facetValue struct {
	Text, Count   string
	Only, Without string // links
	n             int
}

// fieldCond is a condition on a field that a page has, and the page without it.
type fieldCond struct{ Text, Href string }

// The parameters of conditions on fields: of a line that is JSON, and of labels and
// structured metadata; a value that is excluded has an exclamation mark before the key.
const (
	paramField = "f"
	paramLabel = "m"
)

// readFields reads the conditions on fields of a request.
func readFields(v url.Values) (out []query.FieldCondition, err error) {
	for _, param := range []string{paramField, paramLabel} {
		for _, text := range v[param] {
			rest, not := strings.CutPrefix(text, "!")
			key, value, found := strings.Cut(rest, "=")
			if !found || key == "" {
				return nil, fmt.Errorf("reading the condition %.60q: write it as key=value, or as !key=value", text)
			}
			out = append(out, query.FieldCondition{Key: key, Value: value, Not: not, InLine: param == paramField})
		}
	}
	if len(out) > maxFieldConds {
		return nil, fmt.Errorf(
			"reading the conditions: there are more than %d on fields: write them as LogQL",
			maxFieldConds,
		)
	}
	return out, nil
}

func fieldParam(c query.FieldCondition) (param, text string) {
	param, text = paramLabel, c.Key+"="+c.Value
	if c.InLine {
		param = paramField
	}
	if c.Not {
		text = "!" + text
	}
	return param, text
}

// fieldConds returns the conditions of a page.
func fieldConds(conditions []query.FieldCondition, params url.Values) (out []fieldCond) {
	for i, c := range conditions {
		v := without(params, paramField, paramLabel, "q")
		for j, other := range conditions {
			if j != i {
				param, text := fieldParam(other)
				v.Add(param, text)
			}
		}
		op := " = "
		if c.Not {
			op = " ≠ "
		}
		out = append(out, fieldCond{c.Key + op + c.Value, "/logs?" + v.Encode()})
	}
	return out
}

// with returns the page of log lines with one more condition: a parameter, or a part of the
// query where one was typed.
func (v *logsView) with(params url.Values, c query.FieldCondition) string {
	p := without(params)
	if p.Has("q") {
		p.Set("q", v.Query+c.LogQL())
	} else {
		param, text := fieldParam(c)
		p.Add(param, text)
	}
	return "/logs?" + p.Encode()
}

// uninteresting reports whether a field is shown otherwise, or differs from line to line.
func uninteresting(key string) bool {
	switch key {
	case contract.FieldTimestamp, contract.FieldTraceID, contract.FieldSpanID, "time", "ts":
		return true
	}
	return query.MessageKey(key) || query.LevelKey(key) || key == "detected_level"
}

// facets counts the values of the fields of lines.
func (v *logsView) facets(lines []query.LogLine, params url.Values) {
	type source struct {
		key    string
		inLine bool
	}
	counts := map[source]map[string]int{}
	add := func(key, value string, inLine bool) {
		if uninteresting(key) || len(value) > maxFacetText || value == "" {
			return
		}
		s := source{key, inLine}
		if counts[s] == nil {
			counts[s] = map[string]int{}
		}
		counts[s][value]++
	}
	for _, l := range lines {
		for key, value := range l.Labels {
			add(key, value, false)
		}
		for key, value := range l.Metadata {
			add(key, value, false)
		}
		for _, f := range l.Fields {
			if l.Labels[f.Key] == "" && l.Metadata[f.Key] == "" {
				add(f.Key, f.Value, true)
			}
		}
	}
	total := func(values map[string]int) (n int) {
		for _, c := range values {
			n += c
		}
		return n
	}
	for s, values := range counts {
		f := facet{FieldCondition: query.FieldCondition{Key: s.key, InLine: s.inLine}, Different: len(values)}
		f.Singles = len(values) > maxFacetValues && 2*len(values) > total(values)
		p := without(params, "count")
		p.Set("count", s.key)
		f.Everyone = "/logs?" + p.Encode() + "#fields"
		for text, n := range values {
			f.Values = append(f.Values, facetValue{Text: text, n: n})
		}
		v.finish(&f, params)
		v.Facets = append(v.Facets, f)
	}
	slices.SortFunc(v.Facets, func(a, b facet) int {
		one := func(f facet) int { // one value does not distinguish lines
			if f.Singles || f.Different == 1 {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(one(a), one(b)), cmp.Compare(a.Key, b.Key))
	})
	v.MoreFacets = max(0, len(v.Facets)-maxFacets)
	v.Facets = v.Facets[:len(v.Facets)-v.MoreFacets]
}

// finish orders the values of a facet, cuts them, and links each.
func (v *logsView) finish(f *facet, params url.Values) {
	slices.SortFunc(
		f.Values,
		func(a, b facetValue) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.Text, b.Text)) },
	)
	f.More = max(0, len(f.Values)-maxFacetValues)
	f.Values = f.Values[:len(f.Values)-f.More]
	for i := range f.Values {
		value := &f.Values[i]
		c := f.FieldCondition
		c.Value = value.Text
		value.Count, value.Only = grouped(value.n), v.with(params, c)
		c.Not = true
		value.Without = v.with(params, c)
	}
}

// countFacet counts the values of the field that a request names in all lines of its time.
func (e *explorer) countFacet(ctx context.Context, v *logsView, win window, params url.Values) error {
	at := slices.IndexFunc(v.Facets, func(f facet) bool { return f.Key == params.Get("count") })
	if at < 0 {
		return nil
	}
	f := &v.Facets[at]
	counted := fmt.Sprintf(
		"sum by (%s) (count_over_time(%s%s\n[%ds]))",
		f.LabelName(),
		v.Query,
		f.Extract(),
		max(1, int(win.End.Sub(win.Start).Seconds())),
	)
	found, err := e.Loki.Query(ctx, counted, win.End)
	if err != nil {
		return fmt.Errorf("counting the values of %s: %w", f.Key, err)
	}
	f.Values, f.Counted, f.Different = nil, true, 0
	for _, s := range found.Series {
		if text := s.Labels[f.LabelName()]; text != "" && s.Last() > 0 {
			f.Values = append(f.Values, facetValue{Text: text, n: int(s.Last())})
			f.Different++
		}
	}
	v.finish(f, params)
	return nil
}

// levelOptions are the levels that can be chosen, by the names that the chart has.
func levelOptions(selected string) []choice {
	list := []choice{
		{Value: query.LevelError, Label: "error"},
		{Value: query.LevelWarning, Label: "warn"},
		{Value: query.LevelInfo, Label: "info"},
		{Value: query.LevelDebug, Label: "debug"},
		{Value: query.LevelTrace, Label: "trace"},
	}
	for i := range list {
		list[i].Selected = list[i].Value == selected
	}
	return list
}

// levelParam reads the level of a request.
func levelParam(r *http.Request) string {
	level := trimmed(r, "level")
	if level == "" {
		return ""
	}
	if n := query.NormalLevel(level); n != query.LevelCritical {
		return n
	}
	return query.LevelError
}

// FieldParams returns the parameters that a form passes on to keep the conditions on fields.
func (v logsView) FieldParams() (out []choice) {
	for _, c := range v.Fields {
		param, text := fieldParam(c)
		out = append(out, choice{Label: param, Value: text})
	}
	return out
}
