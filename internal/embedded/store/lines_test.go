package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/store"
)

// epoch is the time of the first telemetry of the tests.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func open(t *testing.T, dir string, opts store.Options) *store.Store {
	t.Helper()
	if opts.Now == nil {
		opts.Now = func() time.Time { return epoch }
	}
	s, err := store.Open(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func labels(service, level string) map[string]string {
	return map[string]string{
		contract.StreamContainer: contract.ContainerName(service), contract.StreamService: service,
		contract.StreamJob: service, contract.StreamLevel: level,
	}
}

const traceA, traceB, spanA, spanB = "0af7651916cd43dd8448eb211c80319c", "00f7651916cd43dd8448eb211c80319d", "b7ad6b7169203331", "b7ad6b7169203332"

func line(after time.Duration, service, level, text, trace, span string) store.Line {
	meta := map[string]string{"pod": "p1"}
	if trace != "" {
		meta[contract.FieldTraceID], meta[contract.FieldSpanID] = trace, span
	}
	return store.Line{Time: epoch.Add(after), Stream: labels(service, level), Metadata: meta, Text: text}
}

func TestLines(t *testing.T) {
	stored := []store.Line{
		line(2*time.Second, contract.ServiceRoller, contract.LevelInfo, "c", traceA, spanA),
		line(0, contract.ServiceFrontend, contract.LevelInfo, "a", traceA, spanB),
		line(1*time.Second, contract.ServiceRoller, contract.LevelError, "b1", traceB, spanA),
		line(1*time.Second, contract.ServiceRoller, contract.LevelError, "b2", traceB, spanB),
		line(3*time.Second, contract.ServiceFrontend, contract.LevelWarning, " d \x1b ü\n", "", ""),
		{Time: epoch.Add(4 * time.Second), Stream: map[string]string{}, Metadata: map[string]string{}, Text: ""},
	}
	dir := t.TempDir()
	first, err := store.Open(t.Context(), dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.AppendLines(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, store.Options{})
	service := func(name string) func(map[string]string) bool {
		return func(l map[string]string) bool { return l[contract.StreamService] == name }
	}
	tests := []struct {
		name  string
		query store.LineQuery
		stop  int // number of lines after which yield returns false; 0: never
		want  []store.Line
	}{
		{name: "all, newest first", want: []store.Line{stored[5], stored[4], stored[0], stored[3], stored[2], stored[1]}},
		{name: "all, oldest first", query: store.LineQuery{Forward: true},
			want: []store.Line{stored[1], stored[2], stored[3], stored[0], stored[4], stored[5]}},
		{name: "from is included, to is not", query: store.LineQuery{From: epoch.Add(time.Second), To: epoch.Add(2 * time.Second)},
			want: []store.Line{stored[3], stored[2]}},
		{name: "one service", query: store.LineQuery{Streams: service(contract.ServiceFrontend)}, want: []store.Line{stored[4], stored[1]}},
		{name: "no such service", query: store.LineQuery{Streams: service("nobody")}},
		{name: "trace", query: store.LineQuery{Where: where("trace_id", traceB)}, want: []store.Line{stored[3], stored[2]}},
		{name: "trace of one service", query: store.LineQuery{Where: where("trace_id", traceA), Streams: service(contract.ServiceRoller)}, want: []store.Line{stored[0]}},
		{name: "trace is compared exactly", query: store.LineQuery{Where: where("trace_id", traceB[2:])}},
		{name: "trace, forward, in a range", query: store.LineQuery{Where: where("trace_id", traceA), Forward: true, To: epoch.Add(2 * time.Second)}, want: []store.Line{stored[1]}},
		{name: "span", query: store.LineQuery{Where: where("span_id", spanA)}, want: []store.Line{stored[0], stored[2]}},
		{name: "span of trace", query: store.LineQuery{Where: append(where("trace_id", traceB), where("span_id", spanA)...)}, want: []store.Line{stored[2]}},
		{name: "stops when yield returns false", stop: 2, want: []store.Line{stored[5], stored[4]}},
		{name: "empty range", query: store.LineQuery{From: epoch.Add(time.Second), To: epoch.Add(time.Second)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []store.Line
			err := s.Lines(t.Context(), tt.query, func(l store.Line) bool {
				got = append(got, l)
				return len(got) != tt.stop
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

// Many lines in few streams: pages have neither gaps nor duplicates, also within one
// nanosecond.
func TestLinesAcrossPages(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	var lines []store.Line
	for i := range 5000 {
		level := contract.LevelInfo
		if i%7 == 0 {
			level = contract.LevelError
		}
		lines = append(lines, line(time.Duration(i/300), contract.ServiceRoller, level, fmt.Sprint(i), "", ""))
	}
	if err := s.AppendLines(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
	for _, forward := range []bool{true, false} {
		var got []string
		if err := s.Lines(t.Context(), store.LineQuery{Forward: forward}, func(l store.Line) bool {
			got = append(got, l.Text)
			return true
		}); err != nil {
			t.Fatal(err)
		}
		var want []string
		for i := range lines {
			n := i
			if !forward {
				n = len(lines) - 1 - i
			}
			want = append(want, fmt.Sprint(n))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("forward %v (-want +got):\n%s", forward, diff)
		}
	}
}

func TestStreams(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	if err := s.AppendLines(t.Context(), []store.Line{
		line(0, contract.ServiceRoller, contract.LevelInfo, "a", "", ""),
		line(time.Second, contract.ServiceRoller, contract.LevelInfo, "b", "", ""),
		line(2*time.Second, contract.ServiceFrontend, contract.LevelInfo, "c", "", ""),
	}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		from, to time.Time
		want     []map[string]string
	}{
		{name: "all", want: []map[string]string{labels(contract.ServiceRoller, contract.LevelInfo), labels(contract.ServiceFrontend, contract.LevelInfo)}},
		{name: "to is excluded", to: epoch.Add(2 * time.Second), want: []map[string]string{labels(contract.ServiceRoller, contract.LevelInfo)}},
		{name: "from is included", from: epoch.Add(2 * time.Second), want: []map[string]string{labels(contract.ServiceFrontend, contract.LevelInfo)}},
		{name: "none", from: epoch.Add(time.Hour), want: []map[string]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Streams(t.Context(), tt.from, tt.to)
			if err != nil {
				t.Fatal(err)
			}
			byService := cmpopts.SortSlices(func(a, b map[string]string) bool { return a[contract.StreamService] < b[contract.StreamService] })
			if diff := cmp.Diff(tt.want, got, byService); diff != "" {
				t.Errorf("streams (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAppendLinesRefusesTimes(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	good := line(0, contract.ServiceRoller, contract.LevelInfo, "good", "", "")
	for _, at := range []time.Time{{}, time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC)} {
		bad := good
		bad.Time = at
		err := s.AppendLines(t.Context(), []store.Line{good, bad})
		want := fmt.Sprintf("storing log line 2 of 2: its time %v is outside of the years 1678 to 2261: give it the time when it was written or read", at)
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	if err := s.Lines(t.Context(), store.LineQuery{}, func(l store.Line) bool {
		t.Errorf("stored %v", l)
		return true
	}); err != nil {
		t.Fatal(err)
	}
}

func TestCancelledReadsStop(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Lines(ctx, store.LineQuery{}, func(store.Line) bool { return true }); err == nil {
		t.Error("Lines: no error although its context has ended")
	}
	if _, err := s.Streams(ctx, time.Time{}, time.Time{}); err == nil {
		t.Error("Streams: no error although its context has ended")
	}
}

// where is a condition on metadata.
func where(name, value string) []store.LineFilter {
	return []store.LineFilter{{Label: name, Op: "=", Values: []string{value}}}
}
