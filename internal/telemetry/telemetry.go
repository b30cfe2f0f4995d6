// Package telemetry gives a service its three signals: spans over OTLP, metrics
// for Prometheus to scrape, and JSON log lines on stdout, connected by one
// spelling of the trace ID, "trace_id".
//
// It sets up standard parts: the OpenTelemetry SDK with its batch span processor
// and OTLP exporters, otelhttp around handlers and transports, client_golang's
// vectors and slog's JSON handler. docs/concepts.md walks through the set-up. It
// is the only package that imports the SDK and the semantic conventions; services
// use the API. Its rules:
//   - Telemetry never slows or fails a request: spans are exported behind a
//     bounded queue, and what is dropped is counted.
//   - A request has one status. Wire, SERVER span, metric and log have the same.
//   - Settings come from the standard OTEL_* variables, and a bad one is an error
//     at the start.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"dicelab/internal/fault"
	"dicelab/internal/otelenv"
)

// scope names the instrumentation in the spans of the services.
const scope = "dicelab/internal/telemetry"

// Config describes a service.
type Config struct {
	Service string     // resource attribute service.name, unless OTEL_SERVICE_NAME is set, and the log field "logger"
	Version string     // resource attribute service.version
	Output  io.Writer  // receives log lines, one a Write
	Faults  *fault.Set // what is broken on purpose; nil: nothing
}

// Telemetry is the three signals of one service.
type Telemetry struct {
	// Logger writes the service's log lines. Its ...Context methods add the IDs of
	// the span in their context.
	Logger *slog.Logger
	// Tracer starts spans.
	Tracer trace.Tracer
	// Registry collects the metrics that MetricsHandler serves.
	Registry *prometheus.Registry

	faults     *fault.Set
	propagator propagation.TextMapPropagator
	provider   trace.TracerProvider
	shutdown   func(context.Context) error // stops the provider
	output     *checkedWriter
	http       httpMetrics
	recording  bool
}

// New starts the telemetry of a service. A telemetry backend that does not answer
// is no error: it may come later, and the service works without it. A setting
// that cannot be used is one.
func New(ctx context.Context, cfg Config) (*Telemetry, error) {
	if err := otelenv.Check(); err != nil {
		return nil, err
	}
	output := &checkedWriter{Writer: cfg.Output}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	t := &Telemetry{
		Logger:     slog.New(newLogHandler(output, cfg.Service, cfg.Faults)),
		Registry:   registry,
		faults:     cfg.Faults,
		propagator: newPropagator(cfg.Faults),
		provider:   noop.NewTracerProvider(),
		shutdown:   func(context.Context) error { return nil },
		output:     output,
		http:       newHTTPMetrics(registry),
	}
	drops := newDrops(registry)
	if !strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		if err := t.startSpans(ctx, cfg, drops); err != nil {
			return nil, err
		}
	}
	t.Tracer = t.provider.Tracer(scope, trace.WithInstrumentationVersion(cfg.Version), trace.WithSchemaURL(schemaURL))
	return t, nil
}

// Recording reports whether spans are sent.
func (t *Telemetry) Recording() bool { return t.recording }

// flushTimeout is the longest time that Shutdown waits for a telemetry backend.
const flushTimeout = 3 * time.Second

// Shutdown sends the spans that wait, and returns the last error of writing log
// lines. It needs a context of its own, since the one of the service has usually
// ended.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	err := t.shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("sending the last spans: %w", err)
	}
	if failed := t.output.failed.Load(); failed != nil {
		err = errors.Join(err, *failed)
	}
	return err
}
