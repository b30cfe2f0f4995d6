package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
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

// someSpan returns a context with a remote, sampled span.
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
		{name: "attributes of the logger", when: noon, traced: true, args: []any{"n", 1},
			logger: func(l *slog.Logger) *slog.Logger { return l.With("a", 1) }, want: open + `,"a":1,` + someIDs + `,"n":1}`},
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
	shutdown(t, tel)
	if out.Len() != 0 {
		t.Errorf("wrote %q", out.String())
	}
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

func TestEachLineIsWrittenAtOnce(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	out := new(writes)
	tel, err := telemetry.New(t.Context(), config(out, nil))
	if err != nil {
		t.Fatal(err)
	}
	for n, message := range []string{"one", "two", "three"} {
		tel.Logger.Info(message)
		if got := out.count(); got != n+1 || !strings.HasSuffix(out.list[n], "}\n") {
			t.Errorf("%d writes after %d lines, the last %q", got, n+1, out.list[len(out.list)-1])
		}
	}
	shutdown(t, tel)
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
