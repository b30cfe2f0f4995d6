package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/felixge/httpsnoop"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/codes"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/contract"
	"dicelab/internal/web"
)

// Watch selects the telemetry of a route.
type Watch int

const (
	// Silent routes leave no telemetry: probes and /metrics, which would
	// otherwise drown what people do.
	Silent Watch = iota
	// Counted routes appear in metrics.
	Counted
	// Traced routes appear in metrics and make a SERVER span.
	Traced
)

// Route is one line of a service's table of routes.
type Route struct {
	Pattern string // of http.ServeMux, with its method
	Watch   Watch
	Handler http.Handler
}

// Handler serves routes behind guard, each with the telemetry that it asks for.
// Requests that no route matches get a problem document and count under
// contract.HandlerNone.
func (t *Telemetry) Handler(routes []Route, guard func(http.Handler) http.Handler) http.Handler {
	mux := http.NewServeMux()
	for _, route := range routes {
		mux.Handle(route.Pattern, watched{t.watch(route, guard(route.Handler))})
	}
	unmatched := t.measured(contract.HandlerNone, guard(web.Unmatched(mux)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, _ := mux.Handler(r)
		if _, ok := handler.(watched); ok {
			mux.ServeHTTP(w, r)
		} else {
			unmatched.ServeHTTP(w, r) // 404, 405, or a redirect to the clean form of the path
		}
	})
}

// watched marks the handlers of routes among those that a mux makes itself.
type watched struct{ http.Handler }

// watch adds the telemetry of a route to its handler. otelhttp stands inside the
// mux, so that it knows the pattern, and outside of all that may set a status.
func (t *Telemetry) watch(route Route, next http.Handler) http.Handler {
	if route.Watch == Silent {
		return next
	}
	method, path, _ := strings.Cut(route.Pattern, " ")
	path = strings.TrimSuffix(path, "{$}") // the mux's sign that the path ends there
	next = t.measured(path, next)
	if route.Watch == Traced {
		t.http.prepare(path, method)
		next = otelhttp.NewHandler(next, method+" "+path,
			otelhttp.WithTracerProvider(t.provider),
			otelhttp.WithPropagators(t.propagator),
			otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()), // metrics are Prometheus's here
			otelhttp.WithSpanNameFormatter(func(operation string, _ *http.Request) string { return operation }),
		)
	}
	return t.withStatus200(next)
}

// withStatus200 applies the fault status-200-on-error: it changes the status on the
// wire alone.
func (t *Telemetry) withStatus200(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t.faults.State().Status200 {
			w = httpsnoop.Wrap(w, httpsnoop.Hooks{WriteHeader: func(write httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc {
				return func(status int) {
					if status >= http.StatusInternalServerError {
						status = http.StatusOK
					}
					write(status)
				}
			}})
		}
		next.ServeHTTP(w, r)
	})
}

// measured wraps a handler: it measures the requests, gives each response the ID of its
// trace, and answers a panic with 500.
func (t *Telemetry) measured(handler string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setTraceresponse(r.Context(), w.Header())
		var answer httpsnoop.Metrics
		defer func() { t.observeRequest(handler, r, answer) }() // also if the connection is cut
		answer.CaptureMetrics(w, func(w http.ResponseWriter) {
			defer func() {
				if p := recover(); p != nil {
					t.recovered(w, r, p, answer)
				}
			}()
			next.ServeHTTP(w, r)
		})
	})
}

// setTraceresponse writes the context of the SERVER span in ctx, if there is one,
// in the form of a traceparent. A disabled SDK passes the caller's span through.
func setTraceresponse(ctx context.Context, header http.Header) {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() && !sc.IsRemote() {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, carrier)
		header.Set(contract.HeaderTraceresponse, carrier.Get(contract.HeaderTraceparent))
	}
}

// recovered answers a request whose handler has panicked with p, and logs the
// stack. net/http would cut the connection, and the caller would not learn why.
// If the answer has begun, it must be cut, or a part of it would pass for the
// whole; a handler may also ask for that (http.ErrAbortHandler).
func (t *Telemetry) recovered(w http.ResponseWriter, r *http.Request, p any, answer httpsnoop.Metrics) {
	if p == http.ErrAbortHandler {
		panic(p)
	}
	err := fmt.Errorf("panic: %v", p)
	span := trace.SpanFromContext(r.Context())
	span.RecordError(err, trace.WithStackTrace(true))
	t.Logger.ErrorContext(r.Context(), "Request panicked", contract.FieldError, err, "stack", string(debug.Stack()))
	if answer.Code != 0 || answer.Written > 0 {
		span.SetStatus(codes.Error, err.Error()) // the status on the wire was sent before
		panic(http.ErrAbortHandler)
	}
	problem := web.AsProblem(err)
	if sc := span.SpanContext(); sc.IsSampled() {
		problem.TraceID = sc.TraceID().String()
	}
	web.Fail(w, problem)
}

// Transport makes a CLIENT span for each request and adds the trace context to
// its headers. A span is named by its method alone, since a client knows no
// route (semantic conventions, HTTP spans, "Name").
func (t *Telemetry) Transport(base http.RoundTripper) http.RoundTripper {
	return otelhttp.NewTransport(base,
		otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithPropagators(t.propagator),
		otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method }),
	)
}
