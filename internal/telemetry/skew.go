package telemetry

import (
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// skewedSpan shifts the times of a span: the fault clock-skew, as if the machine's
// clock were wrong. Durations stay true, as they do on such a machine.
type skewedSpan struct {
	sdktrace.ReadOnlySpan
	by time.Duration
}

func (s skewedSpan) StartTime() time.Time { return s.ReadOnlySpan.StartTime().Add(s.by) }
func (s skewedSpan) EndTime() time.Time   { return s.ReadOnlySpan.EndTime().Add(s.by) }

func (s skewedSpan) Events() []sdktrace.Event {
	events := append([]sdktrace.Event(nil), s.ReadOnlySpan.Events()...)
	for i := range events {
		events[i].Time = events[i].Time.Add(s.by)
	}
	return events
}
