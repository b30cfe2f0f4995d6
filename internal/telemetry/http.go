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
		if r.Watch == Traced {
			t.http.prepare(watches[r.Pattern].name, r.Pattern)
		}
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
}

// newWatched takes the path out of a pattern "[METHOD ][HOST]/PATH". The mux's
// "{$}" says that the path ends there; it is no part of it.
func newWatched(r Route) watched {
	_, path, _ := strings.Cut(r.Pattern, "/")
	return watched{watch: r.Watch, name: "/" + strings.TrimSuffix(path, "{$}")}
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
		ctx, span = t.Tracer.Start(ctx, spanName(r.Method, route.name), trace.WithSpanKind(trace.SpanKindServer),
			trace.WithTimestamp(start), trace.WithAttributes(requestAttributes(r, route.name)...))
		if sc := span.SpanContext(); sc.IsValid() && !sc.IsRemote() { // a disabled SDK passes the caller's span through
			w.Header().Set(contract.HeaderTraceresponse, Traceparent(sc))
		}
		r = r.WithContext(ctx)
	}
	defer func() {
		cut := t.recovered(r, out, recover())
		status := out.Status()
		end := time.Now()
		t.observeRequest(ctx, route.name, r.Method, status, end.Sub(start), body.read, out.written)
		if span != nil {
			finish(span, status, body.read, out.written, end)
		}
		if cut {
			panic(http.ErrAbortHandler)
		}
	}()
	next.ServeHTTP(out, r)
}

// recovered turns a panic p into a 500 that is logged with its stack. net/http
// would cut the connection, and the caller would not learn why. Where the answer
// has begun it can only be cut, or a part of it would pass for the whole; a
// handler may also ask for that (http.ErrAbortHandler).
func (t *Telemetry) recovered(r *http.Request, out *recorder, p any) (cut bool) {
	if p == nil || p == http.ErrAbortHandler {
		return p != nil
	}
	err := fmt.Errorf("panic: %v", p)
	span := trace.SpanFromContext(r.Context())
	span.RecordError(err, trace.WithStackTrace(true))
	t.Logger.ErrorContext(r.Context(), "Request panicked", contract.FieldError, err, "stack", string(debug.Stack()))
	if out.status != 0 {
		span.SetStatus(codes.Error, err.Error()) // the status on the wire cannot tell
		return true
	}
	problem := web.AsProblem(err)
	if sc := span.SpanContext(); sc.IsSampled() {
		problem.TraceID = sc.TraceID().String()
	}
	web.Fail(out, problem)
	return false
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
	known, ok := knownMethod(r.Method)
	if !ok {
		known = methodOther
	}
	if attrs = append(attrs, keyMethod.String(known)); known != r.Method {
		attrs = append(attrs, keyMethodOriginal.String(r.Method))
	}
	if port > 0 && port != 80 {
		attrs = append(attrs, keyServerPort.Int(port))
	}
	peer, peerPort := splitHostPort(r.RemoteAddr)
	client, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ",")
	if client == "" {
		client = peer
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

// spanName is "GET /roll"; the method of a name is "HTTP" where it is not a
// known one (semantic conventions, HTTP spans, "Name").
func spanName(method, route string) string {
	known, ok := knownMethod(method)
	if !ok {
		known = "HTTP"
	}
	return known + " " + route
}

// knownMethod finds a method of RFC 9110 or RFC 5789, whatever its case.
func knownMethod(m string) (string, bool) {
	switch m = strings.ToUpper(m); m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return m, true
	}
	return "", false
}

// splitHostPort takes "host:port", "host" or "[host]" apart. The port is -1
// where there is none; the host is empty where s makes no sense.
func splitHostPort(s string) (host string, port int) {
	if !strings.Contains(s, ":") {
		return s, -1
	}
	if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
		return strings.TrimSuffix(inner, "]"), -1
	}
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", -1
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return host, -1
	}
	return host, int(n)
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
