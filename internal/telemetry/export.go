package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
)

// newExporter makes the exporter that the environment asks for, or none. The
// SDK leaves this choice to the program (contrib's autoexport offers it too, for
// 70 more packages: it links the exporters of metrics and logs as well).
func newExporter(ctx context.Context, set settings) (sdktrace.SpanExporter, error) {
	switch {
	case set.exporter == "none":
		return nil, nil
	case set.exporter == "console": // stdout belongs to the log lines
		return stdouttrace.New(stdouttrace.WithWriter(os.Stderr))
	default:
		return newOTLPExporter(ctx, newClient(set))
	}
}

// newClient makes what sends over OTLP. It is not started yet.
func newClient(set settings) otlptrace.Client {
	// Without an endpoint the specification means http://localhost; the SDK https.
	switch {
	case set.protocol == protocolGRPC && set.endpoint:
		return otlptracegrpc.NewClient()
	case set.protocol == protocolGRPC:
		return otlptracegrpc.NewClient(otlptracegrpc.WithInsecure())
	case set.endpoint:
		return otlptracehttp.NewClient()
	default:
		return otlptracehttp.NewClient(otlptracehttp.WithInsecure())
	}
}

// destination is the URL that newClient's client sends to (specification,
// "Endpoint URLs for OTLP/HTTP").
func destination(set settings) string {
	if url := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); url != "" {
		return url
	}
	base := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	switch {
	case set.protocol == protocolGRPC:
		return cmp.Or(base, "http://localhost:"+contract.PortOTLPGRPC)
	default:
		return strings.TrimSuffix(cmp.Or(base, "http://localhost:"+contract.PortOTLPHTTP), "/") + "/v1/traces"
	}
}

// dropCounter counts the spans that were finished but will never be stored.
type dropCounter struct{ queueFull, exportFailed prometheus.Counter }

func newDropCounter(reg prometheus.Registerer) *dropCounter {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: contract.MetricSpansDropped,
		Help: "Spans that were finished but not delivered, by reason.",
	}, []string{contract.LabelReason})
	reg.MustRegister(vec)
	return &dropCounter{
		queueFull:    vec.WithLabelValues(contract.ReasonQueueFull),
		exportFailed: vec.WithLabelValues(contract.ReasonExportFailed),
	}
}

// spanQueue is the SDK's batch processor with two things added: it counts what
// does not fit, and what the exporter could not deliver. The SDK drops both
// silently. Nothing in it waits: a full queue loses the span, not time.
type spanQueue struct {
	sdktrace.SpanProcessor // the batch processor

	waiting *atomic.Int64 // spans accepted whose export has not ended
	limit   int64
	drops   *dropCounter
	abort   func() // ends the exports under way, and fails later ones
}

func newSpanQueue(exporter sdktrace.SpanExporter, set settings, drops *dropCounter, log *slog.Logger, faults *fault.Set) *spanQueue {
	waiting := new(atomic.Int64)
	aborted, abort := context.WithCancel(context.Background()) // outlives every request; ended by stop
	out := &countingExporter{next: exporter, aborted: aborted, waiting: waiting, drops: drops, log: log, faults: faults}
	return &spanQueue{
		SpanProcessor: sdktrace.NewBatchSpanProcessor(out, sdktrace.WithBatchTimeout(set.delay),
			sdktrace.WithMaxQueueSize(set.queue), sdktrace.WithMaxExportBatchSize(set.batch)),
		waiting: waiting,
		limit:   int64(set.queue),
		drops:   drops,
		abort:   abort,
	}
}

// stop sends what is queued, through the provider's Shutdown, until ctx ends;
// what is not sent then is counted as failed. The SDK, given ctx itself, would
// leave its goroutine behind, busy with a backend that does not answer.
func (q *spanQueue) stop(ctx context.Context, shutdown func(context.Context) error) error {
	defer q.abort()
	defer context.AfterFunc(ctx, q.abort)()
	return errors.Join(shutdown(context.WithoutCancel(ctx)), ctx.Err())
}

// OnEnd is called for sampled spans only: no sampler of OTEL_TRACES_SAMPLER
// records a span without sampling it.
func (q *spanQueue) OnEnd(span sdktrace.ReadOnlySpan) {
	if q.waiting.Add(1) > q.limit {
		q.waiting.Add(-1)
		q.drops.queueFull.Inc()
		return
	}
	q.SpanProcessor.OnEnd(span)
}

// errAborted is why an export ended that stop could not wait for.
var errAborted = errors.New("the service stopped before the spans were sent")

// countingExporter tells of failures once when they begin and once when they
// end, and counts the spans in between.
type countingExporter struct {
	next    sdktrace.SpanExporter
	aborted context.Context
	waiting *atomic.Int64
	drops   *dropCounter
	log     *slog.Logger
	faults  *fault.Set
	failing atomic.Bool
}

func (e *countingExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	defer e.waiting.Add(-int64(len(spans)))
	state := e.faults.State()
	if state.NoExport {
		return nil
	}
	if state.ClockSkew != 0 {
		spans = skewed(spans, state.ClockSkew)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(e.aborted, func() { cancel(errAborted) })()
	err := e.next.ExportSpans(ctx, spans)
	if err != nil {
		e.drops.exportFailed.Add(float64(lost(err, len(spans))))
		if !e.failing.Swap(true) {
			e.log.Warn("Span export failing", contract.FieldError, err)
		}
		return nil // told and counted; the SDK would only print it once more
	}
	if e.failing.Swap(false) {
		e.log.Info("Span export works again")
	}
	return nil
}

// partialSuccess is how the exporters' errors begin that tell of one.
const partialSuccess = "OTLP partial success: "

// lost is how many of the spans sent did not arrive. A backend may take a part
// of them (OTLP specification, "Partial Success"); the exporter's error then has
// the number in its text only, since its type is internal.
func lost(err error, sent int) int {
	_, partial, ok := cutPartial(err)
	if !ok {
		return sent
	}
	var rejected int
	if _, err := fmt.Sscanf(partial[strings.LastIndex(partial, "(")+1:], "%d spans rejected", &rejected); err != nil {
		return sent
	}
	return min(rejected, sent)
}

func (e *countingExporter) Shutdown(ctx context.Context) error { return e.next.Shutdown(ctx) }
