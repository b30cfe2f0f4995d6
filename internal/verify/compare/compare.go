// Package compare finds the differences between telemetry and what golden telemetry
// says that a roll leaves behind: spans, log lines, counts.
package compare

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/contract/golden"
	"dicelab/internal/query"
)

// Spans lists the differences between a trace and what a scenario leaves behind:
// spans, parents, kinds, statuses, attributes, exceptions.
func Spans(want golden.Telemetry, got *query.Trace) (diffs []string) {
	names := namesOf(got)
	expected := map[string]bool{}
	for _, w := range want.Spans {
		expected[w.Service+w.Name] = true
		i := slices.IndexFunc(got.Spans, func(s query.Span) bool { return s.Service == w.Service && s.Name == w.Name })
		if i < 0 {
			diffs = append(diffs, fmt.Sprintf("%s %q is missing", w.Service, w.Name))
			continue
		}
		s := got.Spans[i]
		wanted := map[string]any{"the parent": w.Parent, "the kind": strings.ToUpper(w.Kind),
			"the status":         strings.ToUpper(w.Status),
			"the status message": w.Message, "the exceptions": fmt.Sprintf("%q", w.Exceptions)}
		parent, known := names[s.ParentID]
		if s.ParentID != "" && !known {
			parent = "a span that is not in the trace"
		}
		var exceptions []string
		for _, e := range s.Events {
			if e.Name == "exception" {
				exceptions = append(exceptions, e.Attributes.Text("exception.message"))
			}
		}
		values := map[string]any{}
		for _, a := range s.Attributes {
			values[a.Key] = a.Value
		}
		seen := map[string]any{"the parent": parent, "the kind": strings.ToUpper(s.Kind),
			"the status":         strings.ToUpper(s.Status),
			"the status message": s.StatusMessage, "the exceptions": fmt.Sprintf("%q", exceptions)}
		maps.Copy(wanted, w.Attributes)
		maps.Copy(seen, golden.Blank(values))
		for _, d := range valueDiffs(wanted, seen) {
			diffs = append(diffs, fmt.Sprintf("%s %q: %s", w.Service, w.Name, d))
		}
	}
	for _, s := range got.Spans {
		if !expected[s.Service+s.Name] {
			diffs = append(diffs, fmt.Sprintf("%s %q is not expected", s.Service, s.Name))
		}
	}
	return diffs
}

// namesOf returns the names of a trace's spans by ID.
func namesOf(t *query.Trace) map[string]string {
	names := map[string]string{}
	for _, s := range t.Spans {
		names[s.SpanID] = s.Name
	}
	return names
}

// Lines lists the differences between the lines of one service and what a scenario
// leaves behind.
func Lines(want golden.Telemetry, service string, trace *query.Trace, got []query.LogLine) (diffs []string) {
	names, left := namesOf(trace), slices.Clone(got)
	for _, w := range want.Lines {
		if w.Service != service {
			continue
		}
		i := slices.IndexFunc(left, func(l query.LogLine) bool { return l.Message() == w.Message })
		if i < 0 {
			diffs = append(diffs, fmt.Sprintf("the line %q of %s is missing", w.Message, service))
			continue
		}
		wanted := map[string]any{"the level": w.Level, "the span": w.Span}
		seen := map[string]any{"the level": left[i].Level(), "the span": names[left[i].SpanID()]}
		maps.Copy(wanted, w.Fields)
		maps.Copy(seen, golden.Blank(ownFields(left[i])))
		for _, d := range valueDiffs(wanted, seen) {
			diffs = append(diffs, fmt.Sprintf("%q: %s", w.Message, d))
		}
		left = slices.Delete(left, i, i+1)
	}
	for _, l := range left {
		diffs = append(diffs, fmt.Sprintf("the line %q of %s is not expected", l.Message(), service))
	}
	return diffs
}

// ownFields returns the fields of a line that only lines of its event have.
func ownFields(l query.LogLine) map[string]any {
	values := map[string]any{}
	if json.Unmarshal([]byte(l.Text), &values) != nil {
		return nil // what is compared will be missing
	}
	for _, key := range []string{contract.FieldTimestamp, contract.FieldLevel, contract.FieldMessage,
		contract.FieldLogger, contract.FieldTraceID, contract.FieldSpanID} {
		delete(values, key)
	}
	return values
}

func valueDiffs(want, got map[string]any) (diffs []string) {
	keys := maps.Clone(want)
	maps.Copy(keys, got)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		w, wanted := want[k]
		g, there := got[k]
		switch {
		case !there:
			diffs = append(diffs, k+" is missing")
		case !wanted:
			diffs = append(diffs, fmt.Sprintf("%s=%v is not expected", k, g))
		case !reflect.DeepEqual(w, g):
			diffs = append(diffs, fmt.Sprintf("%s is %q, not %q", k, fmt.Sprint(g), fmt.Sprint(w)))
		}
	}
	return diffs
}

// List puts differences into one line: the first few, and the number of the others.
func List(diffs []string) string {
	const most = 4
	if len(diffs) > most {
		diffs = append(slices.Clone(diffs[:most]), fmt.Sprintf("and %d more", len(diffs)-most))
	}
	return strings.Join(diffs, "; ")
}
