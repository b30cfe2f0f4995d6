package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// serveRole serves GET /roll as one of the services with which the dice roller is compared,
// and its own metrics on another address, until ctx ends.
func serveRole(ctx context.Context, role, addr, admin string) (err error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	var handler http.Handler
	switch role {
	case "bare":
		handler = http.HandlerFunc(bareRoll)
	case "docs":
		var stop func(context.Context) error
		if handler, stop, err = newDocsRoll(ctx, registry); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop(context.WithoutCancel(ctx))) }()
	default:
		return fmt.Errorf("role %q is not known: choose bare or docs", role)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /roll", handler)
	var lc net.ListenConfig
	ended := make(chan error, 2)
	for _, s := range []struct {
		addr    string
		handler http.Handler
	}{{addr, mux}, {admin, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})}} {
		l, err := lc.Listen(ctx, "tcp", s.addr)
		if err != nil {
			return err
		}
		server := &http.Server{Handler: s.handler, ReadHeaderTimeout: 5 * time.Second}
		defer func() { err = errors.Join(err, server.Close()) }()
		go func() { ended <- server.Serve(l) }()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}

// bareRoll answers a roll without telemetry.
func bareRoll(w http.ResponseWriter, r *http.Request) {
	if die := r.URL.Query().Get("die"); die != "fair" {
		http.Error(w, "no such die", http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, "{\"roll\":%d}\n", 1+rand.IntN(6))
}

// newDocsRoll returns a handler of the same roll with the spans, metrics and log lines of
// the dice roller, made as the documents of OpenTelemetry, Prometheus and slog show it.
func newDocsRoll(ctx context.Context, registry *prometheus.Registry) (http.Handler, func(context.Context) error, error) {
	exporter, err := otlptracehttp.New(ctx) // OTEL_EXPORTER_OTLP_ENDPOINT
	if err != nil {
		return nil, nil, err
	}
	res, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(attribute.String("service.name", "docs-roller")))
	if err != nil {
		return nil, nil, err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithBatcher(exporter))
	tracer := provider.Tracer("bench")
	logger := slog.New(traceHandler{slog.NewJSONHandler(os.Stdout, nil)})

	rolls := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rolls_total"}, []string{"die_type", "result"})
	values := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "roll_value", Buckets: prometheus.LinearBuckets(1, 1, 8)}, []string{"die_type"})
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total"}, []string{"code", "method"})
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "http_request_duration_seconds"}, []string{"code", "method"})
	sizes := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "http_response_size_bytes", Buckets: prometheus.ExponentialBuckets(64, 4, 8)}, nil)
	incoming := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "http_request_size_bytes", Buckets: prometheus.ExponentialBuckets(64, 4, 8)}, nil)
	registry.MustRegister(rolls, values, requests, durations, sizes, incoming)

	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		die := r.URL.Query().Get("die")
		server := trace.SpanFromContext(r.Context())
		server.SetAttributes(attribute.String("die.type", die))
		logger.InfoContext(r.Context(), "Roll request received", "die_type", die)
		value := func() int {
			start := time.Now()
			ctx, span := tracer.Start(r.Context(), "roll", trace.WithAttributes(attribute.String("die.type", die)))
			defer span.End()
			value := 1 + rand.IntN(6)
			logger.InfoContext(ctx, "Roll completed", "die_type", die, "status", 200, "duration_seconds", time.Since(start).Seconds(), "roll_value", value)
			return value
		}()
		server.SetAttributes(attribute.Bool("die.error", false), attribute.Int("die.result", value))
		rolls.WithLabelValues(die, "success").(prometheus.ExemplarAdder).AddWithExemplar(1, exemplar(r.Context()))
		values.WithLabelValues(die).(prometheus.ExemplarObserver).ObserveWithExemplar(float64(value), exemplar(r.Context()))
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, "{\"roll\":%d}\n", value)
	})
	withTrace := promhttp.WithExemplarFromContext(exemplar)
	handler = promhttp.InstrumentHandlerRequestSize(incoming, handler, withTrace)
	handler = promhttp.InstrumentHandlerResponseSize(sizes, handler, withTrace)
	handler = promhttp.InstrumentHandlerDuration(durations, handler, withTrace)
	handler = promhttp.InstrumentHandlerCounter(requests, handler, withTrace)
	handler = otelhttp.NewHandler(handler, "GET /roll", otelhttp.WithTracerProvider(provider),
		otelhttp.WithMeterProvider(noop.NewMeterProvider()), otelhttp.WithPropagators(propagation.TraceContext{}))
	return handler, provider.Shutdown, nil
}

func exemplar(ctx context.Context) prometheus.Labels {
	if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() {
		return prometheus.Labels{"trace_id": sc.TraceID().String()}
	}
	return nil
}

// traceHandler adds the IDs of the span to a record, as OpenTelemetry's page on
// log correlation shows it.
type traceHandler struct{ slog.Handler }

func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// serveSink accepts spans and drops them. It returns its URL.
func serveSink(ctx context.Context) (url string, stop func() error, err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = drain(r.Body)
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	return "http://" + l.Addr().String(), func() error {
		err := server.Close()
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	}, nil
}
