package telemetry

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// otlpExporter is the SDK's exporter with another encoder. The way over the
// network (endpoint, headers, TLS, compression, retries) is the SDK's client's.
type otlpExporter struct {
	*otlptrace.Exporter // for spans that the encoder does not know, and for stopping

	client otlptrace.Client
	buf    []byte // of one export at a time: the batch processor waits for the last
}

func newOTLPExporter(ctx context.Context, client otlptrace.Client) (*otlpExporter, error) {
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, err
	}
	return &otlpExporter{Exporter: exporter, client: client}, nil
}

// ExportSpans hands the client one message whose encoded form is ready: bytes
// that a message holds as unknown fields are sent as they are.
func (e *otlpExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	var ok bool
	if e.buf, ok = appendResourceSpans(e.buf[:0], spans); !ok {
		return e.Exporter.ExportSpans(ctx, spans)
	}
	batch := new(tracepb.ResourceSpans)
	batch.ProtoReflect().SetUnknown(e.buf)
	if err := e.client.UploadTraces(ctx, []*tracepb.ResourceSpans{batch}); err != nil {
		return fmt.Errorf("traces export: %w", err)
	}
	return nil
}
