package telemetry

import (
	"context"
	"encoding/hex"
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
	rest := watched{name: contract.HandlerNone, watch: Counted, next: guard(web.Unmatched(mux))}
	byPattern := map[string]*watched{}
	for _, r := range routes {
		route := newWatched(r)
		if route.next = rest.next; !strings.Contains(r.Pattern, "{") || strings.HasSuffix(r.Pattern, "/{$}") {
			route.next = guard(r.Handler) // it takes nothing from the path, so the mux need not look a second time
		}
		mux.Handle(r.Pattern, &registered{Handler: r.Handler, route: route})
		byPattern[r.Pattern] = route
		if r.Watch == Traced {
			t.http.prepare(route.name, r.Pattern)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, pattern := mux.Handler(r)
		route, next := &rest, rest.next
		if reg, ok := handler.(*registered); ok {
			route, next = reg.route, reg.route.next
			r.Pattern = pattern
		} else if pattern != "" { // the mux sends the caller to the clean form of the path
			route = byPattern[pattern]
		}
		if route.watch == Silent {
			next.ServeHTTP(w, r)
		} else {
			t.serve(w, r, next, route)
		}
	})
}

// registered is a handler in the mux, which knows its route.
type registered struct {
	http.Handler
	route *watched
}

// watched is a route as telemetry names it.
type watched struct {
	watch  Watch
	method string       // of the pattern, "" for every one
	name   string       // metric label handler and attribute http.route: "/roll"
	span   string       // name of the span of a request with that method
	next   http.Handler // behind the guard
}

// newWatched takes the path out of a pattern "[METHOD ][HOST]/PATH". The mux's
// "{$}" says that the path ends there; it is no part of it.
func newWatched(r Route) *watched {
	before, path, _ := strings.Cut(r.Pattern, "/")
	method, _, hasMethod := strings.Cut(before, " ")
	route := &watched{watch: r.Watch, name: "/" + strings.TrimSuffix(path, "{$}")}
	if hasMethod {
		route.method, route.span = method, spanName(method, route.name)
	}
	return route
}

// exchange is one request and its answer, on their way through.
type exchange struct {
	recorder
	body          countingBody
	traceresponse [1]string // the header's value
}

// serverSpan is what every SERVER span starts with. Its attributes are all set
// at its end, at once: the SDK then makes room for them once.
func serverSpan() []trace.SpanStartOption {
	return []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
}

func (t *Telemetry) serve(w http.ResponseWriter, r *http.Request, next http.Handler, route *watched) {
	start := time.Now()
	x := &exchange{recorder: recorder{ResponseWriter: w, faults: t.faults}}
	if r.Body != nil && r.Body != http.NoBody {
		x.body.ReadCloser = r.Body
		r.Body = &x.body
	}
	ctx := r.Context()
	var span trace.Span
	if route.watch == Traced {
		ctx, span = t.startServer(ctx, x, r, route)
		r = r.WithContext(ctx)
	}
	defer func() {
		cut := t.recovered(r, &x.recorder, recover())
		status := x.Status()
		end := time.Now()
		t.observeRequest(ctx, route.name, r.Method, status, end, end.Sub(start), x.body.read, x.written)
		if span != nil {
			t.finish(span, r, route.name, status, x.body.read, x.written)
		}
		if cut {
			panic(http.ErrAbortHandler)
		}
	}()
	next.ServeHTTP(&x.recorder, r)
}

// startServer starts the SERVER span of a request, as a child of the caller's.
func (t *Telemetry) startServer(ctx context.Context, x *exchange, r *http.Request, route *watched) (context.Context, trace.Span) {
	if t.carriesContext(r.Header) {
		ctx = t.propagator.Extract(ctx, incoming(r.Header))
	}
	name := route.span
	if r.Method != route.method {
		name = spanName(r.Method, route.name)
	}
	ctx, span := t.Tracer.Start(ctx, name, t.serverSpan...)
	if sc := span.SpanContext(); sc.IsValid() && !sc.IsRemote() { // a disabled SDK passes the caller's span through
		x.traceresponse[0] = Traceparent(sc)
		x.Header()[t.traceresponse] = x.traceresponse[:]
	}
	return ctx, span
}

// carriesContext tells whether a request has a header that the propagator reads.
// Looking for each by its name makes a string of it first.
func (t *Telemetry) carriesContext(h http.Header) bool {
	for _, name := range t.contextHeaders {
		if len(h[name]) > 0 {
			return true
		}
	}
	return false
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
func (t *Telemetry) finish(span trace.Span, r *http.Request, route string, status int, in, out int64) {
	attrs := t.attributes.Get().(*[]attribute.KeyValue)
	*attrs = requestAttributes((*attrs)[:0], r, route)
	if in > 0 {
		*attrs = append(*attrs, keyRequestSize.Int64(in))
	}
	if out > 0 {
		*attrs = append(*attrs, keyResponseSize.Int64(out))
	}
	*attrs = append(*attrs, keyStatusCode.Int(status))
	switch {
	case status == contract.StatusClientClosedRequest:
		*attrs = append(*attrs, keyErrorType.String(contract.ErrorTypeCanceled))
	case status >= 500:
		*attrs = append(*attrs, keyErrorType.String(strconv.Itoa(status)))
		span.SetStatus(codes.Error, "")
	}
	span.SetAttributes(*attrs...) // which copies them
	clear(*attrs)
	t.attributes.Put(attrs)
	span.End()
}

// requestAttributes describes a request that was received (semantic
// conventions, HTTP spans, "HTTP server").
func requestAttributes(attrs []attribute.KeyValue, r *http.Request, route string) []attribute.KeyValue {
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
	traceID, spanID := sc.TraceID(), sc.SpanID()
	b := make([]byte, 0, len("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"))
	b = hex.AppendEncode(append(b, "00-"...), traceID[:])
	b = hex.AppendEncode(append(b, '-'), spanID[:])
	b = hex.AppendEncode(append(b, '-'), []byte{byte(sc.TraceFlags())})
	return string(b)
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
