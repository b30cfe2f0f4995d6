// Package telemetry gives a service its three signals: spans over OTLP, metrics
// for Prometheus to scrape, and JSON log lines on stdout, tied together by one
// spelling of the trace ID, "trace_id".
//
// It is the only package that imports the OpenTelemetry SDK and the semantic
// conventions; services use the API. Its rules:
//   - Telemetry never slows or fails a request: exporting happens behind a
//     bounded queue, and what is dropped is counted.
//   - A request has one status. Wire, SERVER span, metric and log get it from the
//     same place.
//   - Settings come from the standard OTEL_* variables, and a bad one is an error
//     at the start.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
)

// scope names the instrumentation in every span that this program makes.
const scope = "dicelab/internal/telemetry"

// Config says whose telemetry it is.
type Config struct {
	Service string     // resource attribute service.name, unless OTEL_SERVICE_NAME says otherwise, and the log field "logger"
	Version string     // resource attribute service.version
	Output  io.Writer  // where log lines go
	Faults  *fault.Set // what is broken on purpose; nil: nothing
}

// Telemetry is the three signals of one service.
type Telemetry struct {
	// Logger writes the service's log lines. Use its ...Context methods: the
	// trace context is taken from the context.
	Logger *slog.Logger
	// Tracer starts spans.
	Tracer trace.Tracer
	// Registry collects the metrics that MetricsHandler shows.
	Registry *prometheus.Registry

	faults     *fault.Set
	propagator propagation.TextMapPropagator
	provider   trace.TracerProvider
	stop       func(context.Context) error
	lines      *lineWriter
	http       *httpMetrics
	recording  bool

	// Headers as net/http spells them: it would make a string of another spelling
	// each time.
	contextHeaders []string // that the propagator reads
	traceresponse  string

	serverSpan []trace.SpanStartOption
	attributes sync.Pool // *[]attribute.KeyValue: scratch space
}

// New starts the telemetry of a service. A telemetry backend that is not there
// is no error: it may come later, and the service works without it. A setting
// that cannot be used is one.
func New(ctx context.Context, cfg Config) (*Telemetry, error) {
	set, err := readEnv()
	if err != nil {
		return nil, err
	}
	lines := newLineWriter(cfg.Output)
	t := &Telemetry{
		Logger:     slog.New(newLogHandler(lines, cfg.Service, cfg.Faults)),
		Registry:   prometheus.NewRegistry(),
		faults:     cfg.Faults,
		propagator: newPropagator(set.propagator, cfg.Faults),
		stop:       func(context.Context) error { return nil },
		lines:      lines,
		recording:  !set.disabled && set.exporter != "none",
		serverSpan: serverSpan(),

		traceresponse: http.CanonicalHeaderKey(contract.HeaderTraceresponse),
		attributes:    sync.Pool{New: func() any { return new(make([]attribute.KeyValue, 0, 24)) }},
	}
	for _, name := range t.propagator.Fields() {
		t.contextHeaders = append(t.contextHeaders, http.CanonicalHeaderKey(name))
	}
	t.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	t.http = newHTTPMetrics(t.Registry)
	drops := newDropCounter(t.Registry)

	if set.disabled {
		t.provider = noop.NewTracerProvider()
	} else if err := t.startSpans(ctx, cfg, set, drops); err != nil {
		return nil, err
	}
	t.Tracer = t.provider.Tracer(scope, trace.WithInstrumentationVersion(cfg.Version), trace.WithSchemaURL(schemaURL))
	return t, nil
}

// startSpans builds the pipeline span → bounded queue → exporter.
func (t *Telemetry) startSpans(ctx context.Context, cfg Config, set settings, drops *dropCounter) error {
	res, err := newResource(ctx, cfg)
	if err != nil {
		return err
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(res)}
	exporter, err := newExporter(ctx, set)
	if err != nil {
		return fmt.Errorf("setting up the span exporter: %w", err)
	}
	if exporter == nil {
		t.provider = sdktrace.NewTracerProvider(options...) // spans have IDs, and go nowhere
		return nil
	}
	queue := newSpanQueue(exporter, set, drops, t.Logger, cfg.Faults)
	t.provider, t.stop = newProvider(sdktrace.NewTracerProvider(options...), queue), queue.Shutdown
	return nil
}

// Recording tells whether spans are made and sent at all; the page shows it.
func (t *Telemetry) Recording() bool { return t.recording }

// flushTimeout bounds how long Shutdown waits for a telemetry backend that does
// not answer: a person has pressed Ctrl-C.
const flushTimeout = 3 * time.Second

// Shutdown sends what is queued and writes what is buffered. It needs a context
// of its own: the one that the service ran under has usually ended.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	err := t.stop(ctx)
	if err != nil {
		err = fmt.Errorf("sending the last spans: %w", err)
	}
	return errors.Join(err, t.lines.Close())
}

// newResource describes the service (semantic conventions, "Resource: Service"
// and "Deployment"). What OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME say
// wins.
func newResource(ctx context.Context, cfg Config) (*resource.Resource, error) {
	res, err := resource.New(ctx,
		resource.WithSchemaURL(schemaURL),
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			keyServiceName.String(cfg.Service),
			keyServiceNamespace.String(contract.Namespace),
			keyServiceVersion.String(cfg.Version),
			keyServiceInstance.String(uuid.NewString()),
			keyEnvironment.String("development"),
		),
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, fmt.Errorf("describing the service: %w", err)
	}
	return res, nil
}
