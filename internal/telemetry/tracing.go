package telemetry

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0" // imported here alone; otelhttp uses the same version

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/otelenv"
	"dicelab/internal/otlpclient"
	"dicelab/internal/terminal"
)

// schemaURL names the version of the semantic conventions.
const schemaURL = semconv.SchemaURL

// startSpans builds the way of a span: provider, batch processor, exporter.
// Without an exporter, spans have IDs and are not sent.
func (t *Telemetry) startSpans(ctx context.Context, cfg Config, drops *drops) error {
	res, err := newResource(ctx, cfg)
	if err != nil {
		return err
	}
	exporter, err := newExporter(ctx)
	if err != nil {
		return fmt.Errorf("setting up the span exporter: %w", err)
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(res)}
	if exporter != nil {
		t.recording = true
		exporter = &countingExporter{SpanExporter: exporter, drops: drops, log: t.Logger}
		options = append(options, sdktrace.WithSpanProcessor(newProcessor(exporter, drops, cfg.Faults)))
	}
	provider := sdktrace.NewTracerProvider(options...)
	t.provider = provider
	t.shutdown = func(ctx context.Context) error {
		err := provider.Shutdown(ctx)
		if err != nil && exporter != nil {
			_ = exporter.Shutdown(ctx) // ends the export under way, which has failed for the reason in err
		}
		return err
	}
	return nil
}

// newResource describes the service (semantic conventions, "Resource: Service"
// and "Deployment"). OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME override it.
func newResource(ctx context.Context, cfg Config) (*resource.Resource, error) {
	res, err := resource.New(ctx,
		resource.WithSchemaURL(schemaURL),
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			semconv.ServiceName(cfg.Service),
			semconv.ServiceNamespace(contract.Namespace),
			semconv.ServiceVersion(cfg.Version),
			semconv.ServiceInstanceID(uuid.NewString()),
			semconv.DeploymentEnvironmentNameDevelopment,
		),
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, fmt.Errorf("describing the service: %w", err)
	}
	return res, nil
}

// newExporter returns the exporter that OTEL_TRACES_EXPORTER names, or nil for
// "none". The specification leaves this choice to the program.
func newExporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	switch os.Getenv("OTEL_TRACES_EXPORTER") {
	case "none":
		return nil, nil
	case "console": // stdout belongs to the log lines
		return stdouttrace.New(stdouttrace.WithWriter(terminal.NewOutput(os.Stderr)))
	default:
		return otlptrace.New(ctx, otlpclient.New())
	}
}

// newProcessor returns the SDK's batch processor in front of exporter. It would
// read all OTEL_BSP_* variables, but its defaults are not ours.
func newProcessor(exporter sdktrace.SpanExporter, drops *drops, faults *fault.Set) sdktrace.SpanProcessor {
	queue := otelenv.Int("OTEL_BSP_MAX_QUEUE_SIZE", otelenv.DefaultQueue)
	delay := otelenv.Int("OTEL_BSP_SCHEDULE_DELAY", otelenv.DefaultDelay)
	drops.limit = int64(queue)
	return &countingProcessor{drops: drops, faults: faults, SpanProcessor: sdktrace.NewBatchSpanProcessor(exporter,
		sdktrace.WithMaxQueueSize(queue),
		sdktrace.WithMaxExportBatchSize(otelenv.Int("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", min(otelenv.DefaultBatch, queue))),
		sdktrace.WithBatchTimeout(time.Duration(delay)*time.Millisecond),
	)}
}
