package verify

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

// spanDiffs tells how a trace differs from what a scenario leaves behind: spans,
// parents, kinds, statuses, attributes, exceptions.
func spanDiffs(want golden.Telemetry, got *query.Trace) (diffs []string) {
	diff := func(format string, args ...any) { diffs = append(diffs, fmt.Sprintf(format, args...)) }
	names := map[string]string{} // by span ID
	for i := range got.Spans {
		names[got.Spans[i].SpanID] = got.Spans[i].Name
	}
	expected := map[string]bool{}
	for _, w := range want.Spans {
		expected[w.Service+w.Name] = true
		s := spanOf(got, w.Service, w.Name)
		if s == nil {
			diff("%s %q is missing", w.Service, w.Name)
			continue
		}
		who := fmt.Sprintf("%s %q", w.Service, w.Name)
		parent, known := names[s.ParentID]
		if s.ParentID != "" && !known {
			parent = "a span that is not there"
		}
		if parent != w.Parent {
			diff("%s has the parent %q, not %q", who, parent, w.Parent)
		}
		if !strings.EqualFold(s.Kind, w.Kind) {
			diff("%s is %s, not %s", who, strings.ToUpper(s.Kind), w.Kind)
		}
		if !strings.EqualFold(s.Status, w.Status) || s.StatusMessage != w.Message {
			diff("the status of %s is %s %q, not %s %q", who, s.Status, s.StatusMessage, strings.ToLower(w.Status), w.Message)
		}
		values := map[string]any{}
		for _, a := range s.Attributes {
			values[a.Key] = a.Value
		}
		for _, d := range valueDiffs(w.Attributes, golden.Blank(values)) {
			diff("%s: attribute %s", who, d)
		}
		var exceptions []string
		for _, e := range s.Events {
			if e.Name == "exception" {
				exceptions = append(exceptions, e.Attributes.Text("exception.message"))
			}
		}
		if !slices.Equal(exceptions, w.Exceptions) {
			diff("%s has the exceptions %q, not %q", who, exceptions, w.Exceptions)
		}
	}
	for i := range got.Spans {
		if s := &got.Spans[i]; !expected[s.Service+s.Name] {
			diff("%s %q should not be there", s.Service, s.Name)
		}
	}
	return diffs
}

// lineDiffs tells how the lines of one service differ from what a scenario
// leaves behind.
func lineDiffs(want golden.Telemetry, service string, trace *query.Trace, got []query.LogLine) (diffs []string) {
	diff := func(format string, args ...any) { diffs = append(diffs, fmt.Sprintf(format, args...)) }
	names := map[string]string{}
	for i := range trace.Spans {
		names[trace.Spans[i].SpanID] = trace.Spans[i].Name
	}
	left := slices.Clone(got)
	for _, w := range want.Lines {
		if w.Service != service {
			continue
		}
		i := slices.IndexFunc(left, func(l query.LogLine) bool { return l.Message() == w.Message })
		if i < 0 {
			diff("the line %q of %s is missing", w.Message, service)
			continue
		}
		l := left[i]
		left = slices.Delete(left, i, i+1)
		if l.Level() != w.Level {
			diff("%q is %s, not %s", w.Message, l.Level(), w.Level)
		}
		if name := names[l.SpanID()]; name != w.Span {
			diff("%q carries the ID of the span %q, not of %q", w.Message, name, w.Span)
		}
		for _, d := range valueDiffs(w.Fields, golden.Blank(ownFields(l))) {
			diff("%q: field %s", w.Message, d)
		}
	}
	for _, l := range left {
		diff("the line %q of %s should not be there", shorten(l.Message()), service)
	}
	return diffs
}

// ownFields are the fields of a line that are its event's own.
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
			diffs = append(diffs, fmt.Sprintf("%s=%v should not be there", k, g))
		case !reflect.DeepEqual(w, g):
			diffs = append(diffs, fmt.Sprintf("%s is %v, not %v", k, g, w))
		}
	}
	return diffs
}

// listed puts differences into one line; the first few tell enough.
func listed(diffs []string) string {
	const most = 4
	if len(diffs) > most {
		diffs = append(slices.Clone(diffs[:most]), fmt.Sprintf("and %d more", len(diffs)-most))
	}
	return strings.Join(diffs, "; ")
}
