package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/otlpclient"
)

// drops counts the finished spans that are not delivered.
type drops struct {
	queueFull, exportFailed prometheus.Counter

	limit   int64        // of waiting
	waiting atomic.Int64 // spans accepted whose export has not ended
}

func newDrops(reg prometheus.Registerer) *drops {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: contract.MetricSpansDropped,
		Help: "Spans that were finished but not delivered, by reason.",
	}, []string{contract.LabelReason})
	reg.MustRegister(vec)
	return &drops{
		queueFull:    vec.WithLabelValues(contract.ReasonQueueFull),
		exportFailed: vec.WithLabelValues(contract.ReasonExportFailed),
	}
}

// countingProcessor drops and counts the spans for which the batch processor has
// no room. The batch processor counts them too, but does not show the number.
type countingProcessor struct {
	sdktrace.SpanProcessor
	drops  *drops
	faults *fault.Set
}

// OnEnd implements sdktrace.SpanProcessor.
func (p *countingProcessor) OnEnd(span sdktrace.ReadOnlySpan) {
	faults := p.faults.State() // when the span ends, not when its batch is sent, which would be later
	if faults.NoExport || faults.DropFailed && span.Status().Code == codes.Error {
		return
	}
	if faults.ClockSkew != 0 {
		span = skewedSpan{ReadOnlySpan: span, by: faults.ClockSkew}
	}
	switch {
	case !span.SpanContext().IsSampled():
	case p.drops.waiting.Add(1) > p.drops.limit:
		p.drops.waiting.Add(-1)
		p.drops.queueFull.Inc()
	default:
		p.SpanProcessor.OnEnd(span)
	}
}

// countingExporter counts the spans that an exporter does not deliver, and logs
// the first failure and the first success after it.
type countingExporter struct {
	sdktrace.SpanExporter
	drops   *drops
	log     *slog.Logger
	failing bool // the batch processor runs one export at a time
}

// ExportSpans implements sdktrace.SpanExporter. It returns no error, since the
// batch processor would log that, too, each time.
func (e *countingExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	defer e.drops.waiting.Add(-int64(len(spans)))
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if partial, ok := otlpclient.AsPartialSuccess(err); ok {
		e.drops.exportFailed.Add(float64(partial.Rejected))
	} else if err != nil {
		e.drops.exportFailed.Add(float64(len(spans)))
	}
	switch failed := err != nil; {
	case failed && !e.failing:
		e.log.Warn("Span export failing", contract.FieldError, err)
	case !failed && e.failing:
		e.log.Info("Span export works again")
	}
	e.failing = err != nil
	return nil
}
