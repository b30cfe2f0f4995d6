package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/telemetry"
)

// newLogger makes telemetry that only logs.
func newLogger(t *testing.T, out interface{ Write([]byte) (int, error) }, faults ...string) *telemetry.Telemetry {
	t.Helper()
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	set, err := fault.NewSet(faults...)
	if err != nil {
		t.Fatal(err)
	}
	tel, err := telemetry.New(t.Context(), config(out, set))
	if err != nil {
		t.Fatal(err)
	}
	return tel
}

func shutdown(t *testing.T, tel *telemetry.Telemetry) {
	t.Helper()
	if err := tel.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// someSpan is a context with a remote, sampled span.
func someSpan(t *testing.T) context.Context {
	t.Helper()
	traceID, err := trace.TraceIDFromHex("0af7651916cd43dd8448eb211c80319c")
	if err != nil {
		t.Fatal(err)
	}
	spanID, err := trace.SpanIDFromHex("00f067aa0ba902b7")
	if err != nil {
		t.Fatal(err)
	}
	return trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: spanID, TraceFlags: trace.FlagsSampled,
	}))
}

const someIDs = `"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"00f067aa0ba902b7"`

func TestLogHandlerConformsToSlog(t *testing.T) {
	var out bytes.Buffer
	var tel *telemetry.Telemetry
	slogtest.Run(t, func(t *testing.T) slog.Handler {
		out.Reset()
		tel = newLogger(t, &out)
		return tel.Logger.Handler()
	}, func(t *testing.T) map[string]any {
		shutdown(t, tel)
		line := map[string]any{}
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%q: %v", out.String(), err)
		}
		for from, to := range map[string]string{contract.FieldTimestamp: slog.TimeKey, contract.FieldMessage: slog.MessageKey} {
			if v, ok := line[from]; ok {
				line[to] = v
				delete(line, from)
			}
		}
		return line
	})
}

func TestLogLine(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 1_234_567, time.UTC)
	const open = `{"timestamp":"2026-11-22T12:00:00.001234Z","level":"INFO","message":"Roll completed","logger":"dice-roller"`
	tests := []struct {
		name   string
		faults []string
		when   time.Time
		level  slog.Level
		traced bool
		logger func(*slog.Logger) *slog.Logger
		args   []any
		want   string
	}{
		{name: "no trace", when: noon, want: open + `}`},
		{name: "in a trace", when: noon, traced: true, want: open + `,` + someIDs + `}`},
		{name: "own fields follow", when: noon, traced: true,
			args: []any{contract.FieldDieType, "fair", contract.FieldStatus, 200, contract.FieldDurationSeconds, 0.25, contract.FieldRollValue, 4},
			want: open + `,` + someIDs + `,"die_type":"fair","status":200,"duration_seconds":0.25,"roll_value":4}`},
		{name: "error", when: noon, level: slog.LevelError, args: []any{contract.FieldError, errors.New("broken \"die\"\n")},
			want: strings.Replace(open, "INFO", "ERROR", 1) + `,"error":"broken \"die\"\n"}`},
		{name: "warning", when: noon, level: slog.LevelWarn, want: strings.Replace(open, "INFO", "WARNING", 1) + `}`},
		{name: "between levels", when: noon, level: slog.LevelInfo + 2, want: open + `}`},
		{name: "above error", when: noon, level: slog.LevelError + 4, want: strings.Replace(open, "INFO", "ERROR", 1) + `}`},
		{name: "other zone", when: noon.In(time.FixedZone("CET", 3600)), want: open + `}`},
		{name: "whole second", when: noon.Truncate(time.Second), want: strings.Replace(open, ".001234", ".000000", 1) + `}`},
		{name: "no time", want: strings.Replace(open, `"timestamp":"2026-11-22T12:00:00.001234Z",`, "", 1) + `}`},
		{name: "groups do not swallow the IDs", when: noon, traced: true, args: []any{"n", 1},
			logger: func(l *slog.Logger) *slog.Logger { return l.With("a", 1).WithGroup("g").With("b", 2).WithGroup("h") },
			want:   open + `,` + someIDs + `,"a":1,"g":{"b":2,"h":{"n":1}}}`},
		{name: "a group's level is not the line's", when: noon, logger: func(l *slog.Logger) *slog.Logger { return l.WithGroup("g") },
			args: []any{slog.LevelKey, "high", slog.MessageKey, "m", slog.TimeKey, "now"}, want: open + `,"g":{"level":"high","msg":"m","time":"now"}}`},
		{name: "fault log-without-trace", faults: []string{"log-without-trace"}, when: noon, traced: true, want: open + `}`},
		{name: "fault log-traceID", faults: []string{"log-traceID"}, when: noon, traced: true,
			want: open + `,"traceID":"0af7651916cd43dd8448eb211c80319c","spanID":"00f067aa0ba902b7"}`},
		{name: "fault clock-skew", faults: []string{"clock-skew=-10s"}, when: noon, want: strings.Replace(open, "12:00:00", "11:59:50", 1) + `}`},
		{name: "fault clock-skew without a time", faults: []string{"clock-skew=10s"},
			want: strings.Replace(open, `"timestamp":"2026-11-22T12:00:00.001234Z",`, "", 1) + `}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			tel := newLogger(t, &out, tt.faults...)
			logger := tel.Logger
			if tt.logger != nil {
				logger = tt.logger(logger)
			}
			ctx := t.Context()
			if tt.traced {
				ctx = someSpan(t)
			}
			record := slog.NewRecord(tt.when, tt.level, contract.MsgRollCompleted, 0)
			record.Add(tt.args...)
			if err := logger.Handler().Handle(ctx, record); err != nil {
				t.Fatal(err)
			}
			shutdown(t, tel)
			if diff := cmp.Diff(tt.want+"\n", out.String()); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLogLineCarriesTheSpansIDs(t *testing.T) {
	b := start(t)
	ctx, span := b.Tracer.Start(t.Context(), contract.SpanRoll)
	b.Logger.InfoContext(ctx, contract.MsgRollCompleted)
	b.Logger.Info(contract.MsgRollerStarted)
	span.End()
	b.stop()

	sent := b.sink.Named(contract.SpanRoll)
	var got [][2]any
	for _, line := range b.log.Lines() {
		got = append(got, [2]any{line[contract.FieldTraceID], line[contract.FieldSpanID]})
	}
	if diff := cmp.Diff([][2]any{{sent.TraceID, sent.SpanID}, {nil, nil}}, got); diff != "" {
		t.Errorf("IDs (-want +got):\n%s", diff)
	}
}

func TestDebugLinesAreNotWritten(t *testing.T) {
	var out bytes.Buffer
	tel := newLogger(t, &out)
	tel.Logger.DebugContext(t.Context(), "detail")
	tel.LogAttrs(t.Context(), slog.LevelDebug, "detail")
	shutdown(t, tel)
	if out.Len() != 0 {
		t.Errorf("wrote %q", out.String())
	}
}

func TestLogAttrsWritesTheLoggersLine(t *testing.T) {
	b := start(t)
	ctx := someSpan(t)
	attrs := []slog.Attr{slog.String(contract.FieldDieType, contract.DieFair), slog.Int(contract.FieldRollValue, 4)}
	before := time.Now().Truncate(time.Microsecond)
	b.Logger.LogAttrs(ctx, slog.LevelWarn, "rolled", attrs...)
	b.LogAttrs(ctx, slog.LevelWarn, "rolled", attrs...)
	b.stop()
	lines := b.log.Lines()
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2", len(lines))
	}
	for _, line := range lines {
		at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(line[contract.FieldTimestamp]))
		if err != nil || at.Before(before) || at.After(time.Now()) {
			t.Errorf("time %v, %v; want from %v till now", at, err, before)
		}
		delete(line, contract.FieldTimestamp)
	}
	if diff := cmp.Diff(lines[0], lines[1]); diff != "" {
		t.Errorf("lines (-Logger's +ours):\n%s", diff)
	}
}

// TestTimesAreWrittenToTheMicrosecond covers what clock keeps from one line to
// the next: the second changes, and so do the digits behind it.
func TestTimesAreWrittenToTheMicrosecond(t *testing.T) {
	var out bytes.Buffer
	tel := newLogger(t, &out)
	tokyo := time.FixedZone("JST", 9*60*60)
	want := map[string]time.Time{
		"2026-11-25T02:03:27.000000Z": time.Date(2026, 11, 25, 2, 3, 27, 999, time.UTC),
		"2026-11-25T02:03:27.000001Z": time.Date(2026, 11, 25, 11, 3, 27, 1000, tokyo),
		"2026-11-25T02:03:27.999999Z": time.Date(2026, 11, 25, 2, 3, 27, 999_999_999, time.UTC),
		"2026-11-25T02:03:28.100000Z": time.Date(2026, 11, 25, 2, 3, 28, 100_000_000, time.UTC),
		"1969-12-31T23:59:59.500000Z": time.Date(1969, 12, 31, 23, 59, 59, 500_000_000, time.UTC),
	}
	for range 3 {
		for text, at := range want { // in any order
			out.Reset()
			if err := tel.Logger.Handler().Handle(t.Context(), slog.NewRecord(at, slog.LevelError, "m", 0)); err != nil { // an error is written at once
				t.Fatal(err)
			}
			if got := out.String(); !strings.HasPrefix(got, `{"timestamp":"`+text+`",`) {
				t.Errorf("%v is written as %s, want %s", at, got, text)
			}
		}
	}
	shutdown(t, tel)
}

// writes notes each write on its own.
type writes struct {
	mu   sync.Mutex
	list []string
	err  error
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, string(p))
	return len(p), w.err
}

func (w *writes) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.list)
}

// quiet makes telemetry that only logs, inside a bubble of synctest, where time
// stands still until the test lets it pass.
func quiet(t *testing.T, do func(t *testing.T, tel *telemetry.Telemetry, out *writes)) {
	t.Helper()
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	synctest.Test(t, func(t *testing.T) {
		out := new(writes)
		tel, err := telemetry.New(t.Context(), config(out, nil))
		if err != nil {
			t.Fatal(err)
		}
		do(t, tel, out)
		shutdown(t, tel)
	})
}

func TestLinesWaitFiveMillisecondsForOthers(t *testing.T) {
	quiet(t, func(t *testing.T, tel *telemetry.Telemetry, out *writes) {
		for round := range 3 {
			tel.Logger.Info("one")
			time.Sleep(4 * time.Millisecond)
			tel.Logger.Warn("two")
			synctest.Wait()
			if got := out.count(); got != round {
				t.Fatalf("round %d: %d writes after 4 ms, want %d", round, got, round)
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if got := out.count(); got != round+1 {
				t.Fatalf("round %d: %d writes after 5 ms, want %d", round, got, round+1)
			}
			if got := strings.Count(out.list[round], "\n"); got != 2 {
				t.Fatalf("round %d: %d lines in one write, want 2", round, got)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestErrorIsWrittenAtOnce(t *testing.T) {
	quiet(t, func(t *testing.T, tel *telemetry.Telemetry, out *writes) {
		tel.Logger.Info("before")
		tel.Logger.Error("broken")
		if got := out.count(); got != 1 {
			t.Fatalf("%d writes, want 1", got)
		}
		if got := strings.Count(out.list[0], "\n"); got != 2 {
			t.Errorf("%d lines in the write, want both", got)
		}
	})
}

func TestShutdownWritesWhatIsBuffered(t *testing.T) {
	quiet(t, func(t *testing.T, tel *telemetry.Telemetry, out *writes) {
		tel.Logger.Info("last words")
		if got := out.count(); got != 0 {
			t.Fatalf("%d writes before the shutdown, want 0", got)
		}
		shutdown(t, tel)
		if got := out.count(); got != 1 {
			t.Fatalf("%d writes after the shutdown, want 1", got)
		}
		record := slog.NewRecord(time.Now(), slog.LevelInfo, "too late", 0)
		if err := tel.Logger.Handler().Handle(t.Context(), record); err == nil || err.Error() != "log output is closed" {
			t.Errorf("a line after the shutdown: error %v", err)
		}
	})
}

func TestFullBufferIsWrittenAtOnce(t *testing.T) {
	const full = 32 << 10
	quiet(t, func(t *testing.T, tel *telemetry.Telemetry, out *writes) {
		lines := 0
		for out.count() == 0 {
			tel.Logger.Info("filler")
			lines++
		}
		written := out.list[0]
		if n := len(written); n < full || strings.Count(written, "\n") != lines || n-n/lines >= full {
			t.Errorf("wrote %d bytes, %d of %d lines; want the first whole line that reaches %d", n, strings.Count(written, "\n"), lines, full)
		}
	})
}

func TestManyGoroutinesWriteWholeLines(t *testing.T) {
	const goroutines, each = 32, 100
	b := start(t)
	var group sync.WaitGroup
	for g := range goroutines {
		group.Go(func() {
			for i := range each {
				b.Logger.Info(fmt.Sprintf("%d-%d", g, i))
			}
		})
	}
	group.Wait()
	b.stop()
	seen := map[any]int{}
	for _, line := range b.log.Lines() {
		seen[line[contract.FieldMessage]]++
	}
	for g := range goroutines {
		for i := range each {
			if message := fmt.Sprintf("%d-%d", g, i); seen[message] != 1 {
				t.Fatalf("line %s came %d times", message, seen[message])
			}
		}
	}
}

func TestFailingOutputIsReported(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	out := &writes{err: errors.New("disk full")}
	tel, err := telemetry.New(t.Context(), config(out, nil))
	if err != nil {
		t.Fatal(err)
	}
	tel.Logger.Error("broken")
	tel.Logger.Info("and again")
	if err := tel.Shutdown(context.Background()); !errors.Is(err, out.err) {
		t.Errorf("Shutdown says %v, want %v", err, out.err)
	}
	if got := out.count(); got != 2 {
		t.Errorf("%d writes, want 2: a later line may get through", got)
	}
}

// TestLinesEqualSlogs: a line has the form that slog's JSON handler would give
// it, whichever of the two ways it was written.
func TestLinesEqualSlogs(t *testing.T) {
	values := []any{
		"plain", "", "quote \" and \\", "line\nbreak", "ü", "<html>&", "\x7f", "\xff", 0, -1, int64(math.MinInt64), uint64(math.MaxUint64), true, false,
		0.25, 0.0, math.Copysign(0, -1), 1e20, 1e21, 1e-6, 1e-7, 123456789.125, math.MaxFloat64, float32(0.1), math.NaN(), math.Inf(1),
		errors.New("broken"), errors.New("broken\n"), time.Second, time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), []int{1, 2}, map[string]int{"a": 1}, nil,
		slog.GroupValue(slog.Int("a", 1)), struct{ A int }{1}, slog.LevelWarn, json.Number("7"),
	}
	for _, value := range values {
		t.Run(fmt.Sprintf("%T %v", value, value), func(t *testing.T) {
			var ours, theirs bytes.Buffer
			record := slog.NewRecord(time.Time{}, slog.LevelInfo, "m", 0)
			record.Add("value", value, "after", 1)
			if err := slog.NewJSONHandler(&theirs, nil).Handle(t.Context(), record); err != nil {
				t.Fatal(err)
			}
			tel := newLogger(t, &ours)
			if err := tel.Logger.Handler().Handle(t.Context(), record); err != nil {
				t.Fatal(err)
			}
			shutdown(t, tel)
			_, want, _ := strings.Cut(theirs.String(), `"msg":"m"`)
			_, got, _ := strings.Cut(ours.String(), `"logger":"dice-roller"`)
			if got != want {
				t.Errorf("after the logger's name %q, slog writes %q", got, want)
			}
		})
	}
}
