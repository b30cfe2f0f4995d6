package telemetry

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
)

// traceHandler adds the IDs of the span in the context to each record, before the
// record's own attributes. A group of the logger has them, too, so services do
// not use groups.
type traceHandler struct {
	slog.Handler
	faults *fault.Set
}

// newLogHandler returns a handler that writes one JSON object a line. Each line
// opens with timestamp, level, message and logger.
func newLogHandler(out io.Writer, logger string, faults *fault.Set) slog.Handler {
	json := slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: rename})
	return traceHandler{json.WithAttrs([]slog.Attr{slog.String(contract.FieldLogger, logger)}), faults}
}

// Handle implements slog.Handler.
func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	faults := h.faults.State()
	if faults.ClockSkew != 0 && !r.Time.IsZero() {
		r.Time = r.Time.Add(faults.ClockSkew)
	}
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() || faults.LogWithoutTrace {
		return h.Handler.Handle(ctx, r)
	}
	traceKey, spanKey := contract.FieldTraceID, contract.FieldSpanID
	if faults.LogTraceID {
		traceKey, spanKey = "traceID", "spanID"
	}
	traced := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	traced.AddAttrs(slog.String(traceKey, sc.TraceID().String()), slog.String(spanKey, sc.SpanID().String()))
	r.Attrs(func(a slog.Attr) bool { traced.AddAttrs(a); return true })
	return h.Handler.Handle(ctx, traced)
}

// WithAttrs implements slog.Handler.
func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs), h.faults}
}

// WithGroup implements slog.Handler.
func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name), h.faults}
}

// timeFormat is RFC 3339 in UTC, to the microsecond.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// rename changes slog's own fields to the contract's names and forms.
func rename(groups []string, a slog.Attr) slog.Attr {
	switch {
	case len(groups) > 0:
	case a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime:
		return slog.String(contract.FieldTimestamp, a.Value.Time().UTC().Format(timeFormat))
	case a.Key == slog.LevelKey:
		if level, ok := a.Value.Any().(slog.Level); ok {
			return slog.String(contract.FieldLevel, levelName(level))
		}
	case a.Key == slog.MessageKey:
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

// checkedWriter keeps the last error of a writer: slog's loggers drop it.
type checkedWriter struct {
	io.Writer
	failed atomic.Pointer[error]
}

// Write implements io.Writer.
func (w *checkedWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		w.failed.Store(&err)
	}
	return n, err
}
