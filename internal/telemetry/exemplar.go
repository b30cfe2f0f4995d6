package telemetry

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/contract"
)

// Count adds 1 to a counter of client_golang, with the trace in ctx as exemplar.
func (t *Telemetry) Count(ctx context.Context, counter prometheus.Counter) {
	count(counter, t.exemplar(ctx))
}

// Observe records a value in a histogram of client_golang, with the trace in ctx
// as exemplar.
func (t *Telemetry) Observe(ctx context.Context, histogram prometheus.Observer, value float64) {
	observe(histogram, value, t.exemplar(ctx))
}

// exemplar returns the labels of an exemplar, or nil if the trace in ctx is not
// recorded and could not be found.
func (t *Telemetry) exemplar(ctx context.Context) prometheus.Labels {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsSampled() || !t.recording || t.faults.State().NoExemplars {
		return nil
	}
	return prometheus.Labels{contract.FieldTraceID: sc.TraceID().String()}
}

// count and observe keep the exemplar that a metric has if labels is nil.
// client_golang promises these interfaces for its counters and histograms.

func count(counter prometheus.Counter, labels prometheus.Labels) {
	counter.(prometheus.ExemplarAdder).AddWithExemplar(1, labels)
}

func observe(histogram prometheus.Observer, value float64, labels prometheus.Labels) {
	histogram.(prometheus.ExemplarObserver).ObserveWithExemplar(value, labels)
}
