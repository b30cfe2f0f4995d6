package telemetry

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/contract"
	"dicelab/internal/web"
)

// Watch says how closely the requests of a route are followed.
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

// Handler serves routes behind guard and watches them. Requests that no route
// matches are answered with a problem document and counted under
// contract.HandlerNone.
//
// Its spans equal otelhttp's, attribute for attribute, but for error.type, which
// the conventions ask for and otelhttp leaves out; a test holds that. It is our
// own because span, metric and log must take one status from one place, and for
// speed.
func (t *Telemetry) Handler(routes []Route, guard func(http.Handler) http.Handler) http.Handler {
	mux := http.NewServeMux()
	watches := map[string]watched{"": {name: contract.HandlerNone, watch: Counted}}
	for _, r := range routes {
		mux.Handle(r.Pattern, r.Handler)
		watches[r.Pattern] = newWatched(r)
	}
	next := guard(web.Unmatched(mux))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := mux.Handler(r)
		if route := watches[pattern]; route.watch == Silent {
			next.ServeHTTP(w, r)
		} else {
			t.serve(w, r, next, route)
		}
	})
}

// watched is a route as telemetry names it.
type watched struct {
	watch Watch
	name  string // metric label handler and attribute http.route: "/roll"
	span  string // "GET /roll"
}

func newWatched(r Route) watched {
	method, path, _ := strings.Cut(r.Pattern, " ")
	path = strings.TrimSuffix(path, "{$}")
	return watched{watch: r.Watch, name: path, span: method + " " + path}
}

func (t *Telemetry) serve(w http.ResponseWriter, r *http.Request, next http.Handler, route watched) {
	start := time.Now()
	body := &countingBody{ReadCloser: r.Body}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = body
	}
	out := &recorder{ResponseWriter: w, faults: t.faults}
	ctx := r.Context()
	var span trace.Span
	if route.watch == Traced {
		ctx = t.propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
		ctx, span = t.Tracer.Start(ctx, route.span, trace.WithSpanKind(trace.SpanKindServer),
			trace.WithTimestamp(start), trace.WithAttributes(requestAttributes(r, route.name)...))
		if sc := span.SpanContext(); sc.IsValid() {
			w.Header().Set(contract.HeaderTraceresponse, Traceparent(sc))
		}
		r = r.WithContext(ctx)
	}
	defer func() {
		if p := recover(); p != nil {
			t.recovered(r, out, p)
		}
		status := out.Status()
		end := time.Now()
		t.observeRequest(ctx, route.name, r.Method, status, end.Sub(start), body.read, out.written)
		if span != nil {
			finish(span, status, body.read, out.written, end)
		}
	}()
	next.ServeHTTP(out, r)
}

// recovered turns a panic into a 500 that is logged with its stack. net/http
// would cut the connection, and the caller would not learn why.
func (t *Telemetry) recovered(r *http.Request, out *recorder, p any) {
	if p == http.ErrAbortHandler {
		panic(p) // a handler's way to cut the connection on purpose
	}
	err := fmt.Errorf("panic: %v", p)
	trace.SpanFromContext(r.Context()).RecordError(err, trace.WithStackTrace(true))
	t.Logger.ErrorContext(r.Context(), "Request panicked", contract.FieldError, err, "stack", string(debug.Stack()))
	if out.status == 0 {
		web.Fail(out, web.AsProblem(err))
	}
}

// finish sets what is known only after the answer (semantic conventions, HTTP
// spans, "HTTP server"). A status below 500 leaves the span's status unset: the
// caller's mistake is no error of the server.
func finish(span trace.Span, status int, in, out int64, end time.Time) {
	attrs := make([]attribute.KeyValue, 0, 4)
	if in > 0 {
		attrs = append(attrs, keyRequestSize.Int64(in))
	}
	if out > 0 {
		attrs = append(attrs, keyResponseSize.Int64(out))
	}
	attrs = append(attrs, keyStatusCode.Int(status))
	switch {
	case status == contract.StatusClientClosedRequest:
		attrs = append(attrs, keyErrorType.String(contract.ErrorTypeCanceled))
	case status >= 500:
		attrs = append(attrs, keyErrorType.String(strconv.Itoa(status)))
		span.SetStatus(codes.Error, "")
	}
	span.SetAttributes(attrs...)
	span.End(trace.WithTimestamp(end))
}

// requestAttributes describes a request that was received (semantic
// conventions, HTTP spans, "HTTP server").
func requestAttributes(r *http.Request, route string) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 16)
	host, port := splitHostPort(r.Host)
	attrs = append(attrs, keyServerAddress.String(host), keyScheme.String("http"), keyRoute.String(route))
	if known := isMethod(r.Method); known {
		attrs = append(attrs, keyMethod.String(r.Method))
	} else {
		attrs = append(attrs, keyMethod.String(methodOther), keyMethodOriginal.String(r.Method))
	}
	if port > 0 && port != 80 {
		attrs = append(attrs, keyServerPort.Int(port))
	}
	peer, peerPort := splitHostPort(r.RemoteAddr)
	client := peer
	if forwarded := r.Header.Get("X-Forwarded-For"); forwarded != "" {
		client, _, _ = strings.Cut(forwarded, ",")
	}
	if peer != "" {
		attrs = append(attrs, keyPeerAddress.String(peer))
	}
	if peerPort > 0 {
		attrs = append(attrs, keyPeerPort.Int(peerPort))
	}
	if client != "" {
		attrs = append(attrs, keyClientAddress.String(client))
	}
	if agent := r.UserAgent(); agent != "" {
		attrs = append(attrs, keyUserAgent.String(agent))
	}
	if r.URL.Path != "" {
		attrs = append(attrs, keyPath.String(r.URL.Path))
	}
	if version, ok := strings.CutPrefix(r.Proto, "HTTP/"); ok {
		attrs = append(attrs, keyProtocolVersion.String(version))
	}
	return attrs
}

func isMethod(m string) bool {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// splitHostPort takes "host:port" or "host" apart; the port is -1 where there is
// none.
func splitHostPort(s string) (host string, port int) {
	h, p, err := net.SplitHostPort(s)
	if err != nil {
		return strings.Trim(s, "[]"), -1
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		n = -1
	}
	return h, n
}

// Traceparent is a span context as the header traceparent gives it (W3C Trace
// Context, section 3.2): version, trace ID, parent ID, flags.
func Traceparent(sc trace.SpanContext) string {
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + sc.TraceFlags().String()
}

// countingBody counts what the handler reads of a request's body.
type countingBody struct {
	io.ReadCloser
	read int64
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	return n, err
}
