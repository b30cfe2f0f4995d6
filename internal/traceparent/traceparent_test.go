package traceparent_test

import (
	"strings"
	"testing"

	"dicelab/internal/traceparent"
)

func TestParse(t *testing.T) {
	const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	const good = "00-" + traceID + "-00f067aa0ba902b7-01"
	tests := []struct {
		name, in string
		want     traceparent.Header
	}{
		{"sampled", good, traceparent.Header{Version: "00", TraceID: traceID, ParentID: "00f067aa0ba902b7", Flags: "01", Sampled: true}},
		{"not sampled", good[:53] + "02", traceparent.Header{Version: "00", TraceID: traceID, ParentID: "00f067aa0ba902b7", Flags: "02"}},
		{"a later version with more", "01" + good[2:] + "-x", traceparent.Header{Version: "01", TraceID: traceID, ParentID: "00f067aa0ba902b7", Flags: "01", Sampled: true}},
		{"version 00 with more", good + "-x", traceparent.Header{}},
		{"version ff", "ff" + good[2:], traceparent.Header{}},
		{"capitals", strings.ToUpper(good), traceparent.Header{}},
		{"zeros", "00-" + strings.Repeat("0", 32) + good[35:], traceparent.Header{}},
		{"short", "00-4bf9-00f0-01", traceparent.Header{}},
		{"empty", "", traceparent.Header{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := traceparent.Parse(test.in)
			if got != test.want || (err == nil) != (test.want.Version != "") {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := traceparent.Parse(s)
		if err != nil {
			return
		}
		if !strings.HasPrefix(strings.TrimSpace(s), p.String()) {
			t.Errorf("%q became %q", s, p)
		}
	})
}
