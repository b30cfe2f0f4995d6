package telemetry

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
)

// logHandler writes one JSON object a line. Each line opens with timestamp,
// level, message and logger, then trace_id and span_id where there is a span;
// the event's own fields follow.
type logHandler struct {
	logger string       // field of every line
	json   slog.Handler // writes the lines that appendLine leaves
	out    *lineWriter
	clock  *clock
	faults *fault.Set
	// pending are the logger's own attributes and groups. They are applied after
	// the IDs, which would otherwise land inside an open group.
	pending []func(slog.Handler) slog.Handler
}

func newLogHandler(out *lineWriter, logger string, faults *fault.Set) *logHandler {
	c := new(clock)
	h := slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: c.rename})
	return &logHandler{logger: logger, json: h.WithAttrs([]slog.Attr{slog.String(contract.FieldLogger, logger)}), out: out, clock: c, faults: faults}
}

// rename gives slog's own fields the contract's names and forms.
func (c *clock) rename(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		if a.Value.Kind() == slog.KindTime {
			return slog.String(contract.FieldTimestamp, string(c.appendTime(nil, a.Value.Time())))
		}
	case slog.LevelKey:
		if level, ok := a.Value.Any().(slog.Level); ok {
			return slog.String(contract.FieldLevel, levelName(level))
		}
	case slog.MessageKey:
		a.Key = contract.FieldMessage
	}
	return a
}

func levelName(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return contract.LevelError
	case l >= slog.LevelWarn:
		return contract.LevelWarning
	default:
		return contract.LevelInfo
	}
}

// LogAttrs is Logger.LogAttrs for a line that each request writes. It does not
// look for the caller, which no line shows: walking the stack is a third of what
// such a line costs.
func (t *Telemetry) LogAttrs(ctx context.Context, level slog.Level, message string, attrs ...slog.Attr) {
	handler := t.Logger.Handler()
	if !handler.Enabled(ctx, level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, message, 0)
	r.AddAttrs(attrs...)
	_ = handler.Handle(ctx, r) // as slog does: the log is where an error would be told
}

func (h *logHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.json.Enabled(ctx, l) }

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	state := h.faults.State()
	if state.ClockSkew != 0 && !r.Time.IsZero() {
		r.Time = r.Time.Add(state.ClockSkew)
	}
	if err := h.write(ctx, &r, state); err != nil {
		return err
	}
	if r.Level >= slog.LevelError {
		return h.out.Flush() // an error may be the last thing that a process says
	}
	return nil
}

func (h *logHandler) write(ctx context.Context, r *slog.Record, state fault.State) error {
	if len(h.pending) == 0 {
		var room [lineSize]byte
		if line, ok := h.appendLine(ctx, room[:0], r, state); ok {
			_, err := h.out.Write(line)
			return err
		}
	}
	next := h.json
	if ids := traceAttrs(ctx, state); ids != nil {
		next = next.WithAttrs(ids)
	}
	for _, apply := range h.pending { // attributes and groups of the logger, after the IDs
		next = apply(next)
	}
	return next.Handle(ctx, *r)
}

// traceAttrs are the IDs of the span in ctx.
func traceAttrs(ctx context.Context, state fault.State) []slog.Attr {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() || state.LogWithoutTrace {
		return nil
	}
	traceKey, spanKey := traceKeys(state)
	return []slog.Attr{slog.String(traceKey, sc.TraceID().String()), slog.String(spanKey, sc.SpanID().String())}
}

// traceKeys are the names of the IDs' fields.
func traceKeys(state fault.State) (traceID, spanID string) {
	if state.LogTraceID {
		return "traceID", "spanID"
	}
	return contract.FieldTraceID, contract.FieldSpanID
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(next slog.Handler) slog.Handler { return next.WithAttrs(attrs) })
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return h.with(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

func (h *logHandler) with(apply func(slog.Handler) slog.Handler) slog.Handler {
	c := *h
	c.pending = append(h.pending[:len(h.pending):len(h.pending)], apply)
	return &c
}
