package telemetry

import (
	"context"
	"encoding/hex"
	"log/slog"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
)

// lineSize is room for the longest line that a service usually writes, so that
// it is made on the stack.
const lineSize = 512

// appendLine writes a record as slog's JSON handler would, many times faster. It
// reports false for what needs that handler's care: text that JSON escapes,
// values other than text, numbers, booleans and errors.
func (h *logHandler) appendLine(ctx context.Context, b []byte, r *slog.Record, state fault.State) (_ []byte, ok bool) {
	b = append(b, '{')
	if !r.Time.IsZero() {
		b = appendKey(b, contract.FieldTimestamp)
		b = append(b, '"')
		b = h.clock.appendTime(b, r.Time)
		b = append(b, `",`...)
	}
	b = append(appendKey(b, contract.FieldLevel), '"')
	b = append(append(b, levelName(r.Level)...), `",`...)
	if b, ok = appendPlain(appendKey(b, contract.FieldMessage), r.Message); !ok {
		return b, false
	}
	if b, ok = appendPlain(appendKey(append(b, ','), contract.FieldLogger), h.logger); !ok {
		return b, false
	}
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() && !state.LogWithoutTrace {
		traceKey, spanKey := traceKeys(state)
		traceID, spanID := sc.TraceID(), sc.SpanID()
		b = append(appendKey(append(b, ','), traceKey), '"')
		b = append(appendKey(append(hex.AppendEncode(b, traceID[:]), `",`...), spanKey), '"')
		b = append(hex.AppendEncode(b, spanID[:]), '"')
	}
	r.Attrs(func(a slog.Attr) bool {
		if ok = isPlain(a.Key) && a.Key != ""; ok {
			b, ok = appendLogValue(appendKey(append(b, ','), a.Key), a.Value)
		}
		return ok
	})
	return append(b, "}\n"...), ok
}

// clock writes times as RFC 3339 has them, in UTC and with microseconds. It keeps
// the text of the second that it wrote last, which most lines share.
type clock struct{ last atomic.Pointer[second] }

type second struct {
	unix int64
	text string
}

func (c *clock) appendTime(b []byte, t time.Time) []byte {
	s := c.last.Load()
	if s == nil || s.unix != t.Unix() {
		s = &second{t.Unix(), t.UTC().Format("2006-01-02T15:04:05")}
		c.last.Store(s)
	}
	b = append(b, s.text...)
	dot := len(b)
	b = strconv.AppendInt(b, 1_000_000+int64(t.Nanosecond()/1000), 10) // the digit in front keeps the zeros
	b[dot] = '.'
	return append(b, 'Z')
}

// appendKey writes a key that needs no escape.
func appendKey(b []byte, key string) []byte {
	return append(append(append(b, '"'), key...), `":`...)
}

func appendLogValue(b []byte, v slog.Value) (_ []byte, ok bool) {
	switch v.Kind() {
	case slog.KindString:
		return appendPlain(b, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10), true
	case slog.KindUint64:
		return strconv.AppendUint(b, v.Uint64(), 10), true
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool()), true
	case slog.KindFloat64:
		return appendFloat(b, v.Float64())
	case slog.KindAny:
		if err, ok := v.Any().(error); ok && err != nil {
			return appendPlain(b, err.Error())
		}
	}
	return b, false
}

// appendFloat writes a number as encoding/json does; it has no form for those
// that are not finite.
func appendFloat(b []byte, f float64) (_ []byte, ok bool) {
	switch a := math.Abs(f); {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return b, false
	case f == 0 || a >= 1e-6 && a < 1e21:
		return strconv.AppendFloat(b, f, 'f', -1, 64), true
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' { // e-09 is e-9
		b = append(b[:n-2], b[n-1])
	}
	return b, true
}

func appendPlain(b []byte, s string) (_ []byte, ok bool) {
	if !isPlain(s) {
		return b, false
	}
	return append(append(append(b, '"'), s...), '"'), true
}

// isPlain tells whether s stands in JSON as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	return true
}
