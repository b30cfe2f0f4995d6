package telemetry_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"dicelab/internal/contract"
	"dicelab/internal/telemetry"
	"dicelab/internal/telemetry/telemetrytest"
	"dicelab/internal/web"
)

// TestServerSpansEqualOtelhttps sends one request to both middlewares, each
// wrapped around the same handler of the same route, and compares the spans.
func TestServerSpansEqualOtelhttps(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	tests := []struct {
		name    string
		pattern string
		handler http.HandlerFunc
		method  string
		target  string
		host    string
		peer    string
		proto   string
		body    string
		headers []string
		extra   map[string]any // what ours has besides
	}{
		{name: "200", pattern: "GET /roll", handler: answer(200, `{"roll":1}`), method: "GET", target: "/roll?die=fair"},
		{name: "nothing written", pattern: "GET /roll", handler: func(http.ResponseWriter, *http.Request) {}, method: "GET", target: "/roll"},
		{name: "no status written", pattern: "GET /roll", handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }, method: "GET", target: "/roll"},
		{name: "informational status first", pattern: "GET /roll", handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(201) }, method: "GET", target: "/roll"},
		{name: "second status ignored", pattern: "GET /roll", handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(500) }, method: "GET", target: "/roll"},
		{name: "204", pattern: "GET /roll", handler: answer(204, ""), method: "GET", target: "/roll"},
		{name: "307", pattern: "GET /roll", handler: answer(307, ""), method: "GET", target: "/roll"},
		{name: "404 from the handler", pattern: "GET /roll", handler: answer(404, "no"), method: "GET", target: "/roll"},
		{name: "422", pattern: "GET /roll", handler: answer(422, "no"), method: "GET", target: "/roll?die=round"},
		{name: "499", pattern: "GET /roll", handler: answer(499, ""), method: "GET", target: "/roll", extra: map[string]any{"error.type": "canceled"}},
		{name: "500", pattern: "GET /roll", handler: answer(500, "broken"), method: "GET", target: "/roll", extra: map[string]any{"error.type": "500"}},
		{name: "503", pattern: "GET /roll", handler: answer(503, ""), method: "GET", target: "/roll", extra: map[string]any{"error.type": "503"}},
		{name: "HEAD through a GET pattern", pattern: "GET /roll", handler: answer(200, ""), method: "HEAD", target: "/roll"},
		{name: "POST with a body", pattern: "POST /roll", handler: answer(200, "ok"), method: "POST", target: "/roll", body: "die=fair", headers: []string{"Content-Type", "application/x-www-form-urlencoded"}},
		{name: "POST whose body is not read", pattern: "POST /roll", handler: func(http.ResponseWriter, *http.Request) {}, method: "POST", target: "/roll", body: "die=fair"},
		{name: "unknown method", pattern: "BREW /pot", handler: answer(200, ""), method: "BREW", target: "/pot"},
		{name: "lower-case method", pattern: "get /roll", handler: answer(200, ""), method: "get", target: "/roll"},
		{name: "pattern without a method", pattern: "/any", handler: answer(200, ""), method: "PATCH", target: "/any"},
		{name: "pattern with a host", pattern: "GET lab.test/roll", handler: answer(200, ""), method: "GET", target: "/roll", host: "lab.test"},
		{name: "pattern with a wildcard", pattern: "GET /traces/{id}", handler: answer(200, ""), method: "GET", target: "/traces/42"},
		{name: "subtree", pattern: "GET /assets/", handler: answer(200, ""), method: "GET", target: "/assets/a/b.css"},
		{name: "forwarded for one", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", headers: []string{"X-Forwarded-For", "203.0.113.7"}},
		{name: "forwarded for two", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", headers: []string{"X-Forwarded-For", "203.0.113.7, 198.51.100.2"}},
		{name: "forwarded for nobody", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", headers: []string{"X-Forwarded-For", ",198.51.100.2"}},
		{name: "user agent", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", headers: []string{"User-Agent", "curl/8"}},
		{name: "host without port", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", host: "localhost"},
		{name: "host with port", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", host: "localhost:8101"},
		{name: "host with port 80", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", host: "localhost:80"},
		{name: "host with a port too high", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", host: "localhost:99999"},
		{name: "host with a bad port", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", host: "localhost:http"},
		{name: "IPv6 host", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", host: "[::1]"},
		{name: "IPv6 host with port", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", host: "[::1]:8101"},
		{name: "broken IPv6 host", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", host: "[::1"},
		{name: "bare IPv6 host", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", host: "::1"},
		{name: "only a port", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", host: ":8101"},
		{name: "IPv6 peer", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", peer: "[2001:db8::7]:4711"},
		{name: "no peer", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", peer: "@"},
		{name: "HTTP/2", pattern: "GET /roll", handler: answer(200, ""), method: "GET", target: "/roll", proto: "HTTP/2.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			request := func() *http.Request {
				var body io.Reader // nil, not a nil *strings.Reader: a request without a body has http.NoBody
				if tt.body != "" {
					body = strings.NewReader(tt.body)
				}
				r := httptest.NewRequest(tt.method, tt.target, body)
				for i := 0; i < len(tt.headers); i += 2 {
					r.Header.Set(tt.headers[i], tt.headers[i+1])
				}
				if tt.host != "" {
					r.Host = tt.host
				}
				if tt.peer != "" {
					r.RemoteAddr = tt.peer
				}
				if tt.proto != "" {
					r.Proto = tt.proto
				}
				return r
			}
			ours, theirs := httptest.NewRecorder(), httptest.NewRecorder()

			b := start(t)
			b.Handler([]telemetry.Route{traced(tt.pattern, tt.handler)}, unguarded).ServeHTTP(ours, request())
			b.stop()

			recorded := tracetest.NewSpanRecorder()
			provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorded))
			mux := http.NewServeMux()
			mux.Handle(tt.pattern, otelhttp.NewHandler(tt.handler, "", otelhttp.WithTracerProvider(provider),
				otelhttp.WithMeterProvider(noop.NewMeterProvider()), otelhttp.WithPropagators(propagation.TraceContext{})))
			mux.ServeHTTP(theirs, request())

			if len(recorded.Ended()) != 1 {
				t.Fatalf("otelhttp made %d spans, want 1", len(recorded.Ended()))
			}
			reference := recorded.Ended()[0]
			want := telemetrytest.Span{
				Name: reference.Name(), Kind: strings.ToUpper(reference.SpanKind().String()),
				Status: reference.Status().Code.String(), StatusMessage: reference.Status().Description, Attributes: map[string]any{},
			}
			for _, kv := range reference.Attributes() {
				want.Attributes[string(kv.Key)] = kv.Value.AsInterface()
			}
			for key, value := range tt.extra {
				want.Attributes[key] = value
			}
			spans := b.sink.Spans()
			if len(spans) != 1 {
				t.Fatalf("%d spans, want 1", len(spans))
			}
			if diff := cmp.Diff(want, spans[0], cmpopts.IgnoreFields(telemetrytest.Span{},
				"Service", "Scope", "TraceID", "SpanID", "Start", "End", "Resource")); diff != "" {
				t.Errorf("span (-otelhttp +ours):\n%s", diff)
			}
			if ours.Code != theirs.Code || ours.Body.String() != theirs.Body.String() {
				t.Errorf("answer %d %q, behind otelhttp %d %q", ours.Code, ours.Body, theirs.Code, theirs.Body)
			}
		})
	}
}

// TestRootRouteIsNamedBySlash holds the one difference in names: the mux's {$}
// is no part of a route.
func TestRootRouteIsNamedBySlash(t *testing.T) {
	b := start(t)
	url := b.serve(traced("GET /{$}", func(http.ResponseWriter, *http.Request) {}))
	b.do(http.MethodGet, url+"/", nil)
	b.stop()
	if got := b.sink.Named(contract.SpanRollerRoot).Attributes["http.route"]; got != "/" {
		t.Errorf("http.route is %q, want /", got)
	}
}

func TestSpanTimesCoverTheHandler(t *testing.T) {
	b := start(t)
	url := b.serve(traced("GET /roll", func(_ http.ResponseWriter, r *http.Request) {
		_, span := b.Tracer.Start(r.Context(), contract.SpanRoll)
		span.End()
	}))
	b.do(http.MethodGet, url+"/roll", nil)
	b.stop()
	server, inner := b.sink.Named(contract.SpanRollerRoll), b.sink.Named(contract.SpanRoll)
	if inner.ParentID != server.SpanID || inner.TraceID != server.TraceID {
		t.Errorf("inner span's parent is %s/%s, want %s/%s", inner.TraceID, inner.ParentID, server.TraceID, server.SpanID)
	}
	if inner.Kind != "INTERNAL" || server.Kind != "SERVER" || server.ParentID != "" {
		t.Errorf("kinds %s in %s (parent %q)", inner.Kind, server.Kind, server.ParentID)
	}
	if inner.Start.Before(server.Start) || inner.End.After(server.End) {
		t.Errorf("inner span %v to %v is not inside %v to %v", inner.Start, inner.End, server.Start, server.End)
	}
}

func TestPanicBecomesALoggedProblem(t *testing.T) {
	b := start(t)
	url := b.serve(traced("GET /roll", func(http.ResponseWriter, *http.Request) { panic("die fell off the table") }))
	resp, body := b.do(http.MethodGet, url+"/roll", nil)
	b.stop()

	span := b.sink.Named(contract.SpanRollerRoll)
	want := `{"title":"Internal Server Error","status":500,"detail":"The request failed; the log has the cause.","trace_id":"` + span.TraceID + "\"}\n"
	if resp.StatusCode != 500 || resp.Header.Get("Content-Type") != web.ProblemType || body != want {
		t.Errorf("answer %d %s %q, want 500 problem %q", resp.StatusCode, resp.Header.Get("Content-Type"), body, want)
	}
	if span.Status != "Error" || span.Attributes["http.response.status_code"] != int64(500) || span.Attributes["error.type"] != "500" {
		t.Errorf("span %s %v", span.Status, span.Attributes)
	}
	if len(span.Events) != 1 || span.Events[0].Name != "exception" || span.Events[0].Attributes["exception.message"] != "panic: die fell off the table" ||
		!strings.Contains(span.Events[0].Attributes["exception.stacktrace"].(string), "goroutine") {
		t.Errorf("events %v", span.Events)
	}
	line := b.log.Wait("Request panicked")
	if line[contract.FieldLevel] != "ERROR" || line[contract.FieldTraceID] != span.TraceID || line[contract.FieldSpanID] != span.SpanID ||
		line[contract.FieldError] != "panic: die fell off the table" || !strings.Contains(line["stack"].(string), "http_test.go") {
		t.Errorf("line %v", line)
	}
}

func TestPanicOfACountedRouteIsLoggedToo(t *testing.T) {
	b := start(t)
	url := b.serve(telemetry.Route{Pattern: "GET /page", Watch: telemetry.Counted, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(errors.New("lost")) })})
	resp, body := b.do(http.MethodGet, url+"/page", nil)
	if resp.StatusCode != 500 || strings.Contains(body, "trace_id") {
		t.Errorf("answer %d %q, want a 500 without a trace", resp.StatusCode, body)
	}
	if line := b.log.Wait("Request panicked"); line[contract.FieldError] != "panic: lost" {
		t.Errorf("line %v", line)
	}
}

// TestAnswerThatBeganIsCut: a panic after the first bytes, and a handler's own
// http.ErrAbortHandler, cut the connection, and the span still ends.
func TestAnswerThatBeganIsCut(t *testing.T) {
	tests := []struct {
		name   string
		panics any
		logged bool
		status string
	}{
		{name: "panic", panics: "too late", logged: true, status: "Error"},
		{name: "abort on purpose", panics: http.ErrAbortHandler, status: "Unset"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := start(t)
			url := b.serve(traced("GET /roll", func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"roll":`)
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Errorf("flushing through the middleware: %v", err)
				}
				panic(tt.panics)
			}))
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/roll", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if _, err := bufio.NewReader(resp.Body).ReadString(0); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("reading the answer ends with %v, want a cut connection", err)
			}
			b.sink.Wait(1)
			if span := b.sink.Named(contract.SpanRollerRoll); span.Status != tt.status || span.Attributes["http.response.status_code"] != int64(200) {
				t.Errorf("span %s %v, want %s and 200", span.Status, span.Attributes, tt.status)
			}
			b.stop()
			if logged := strings.Contains(b.log.Text(), "Request panicked"); logged != tt.logged {
				t.Errorf("logged: %v, want %v", logged, tt.logged)
			}
		})
	}
}

func TestSilentRoutesLeaveNothing(t *testing.T) {
	b := start(t)
	url := b.serve(telemetry.Route{Pattern: "GET /healthz", Watch: telemetry.Silent, Handler: http.HandlerFunc(web.Alive)})
	before := b.series()
	resp, _ := b.do(http.MethodGet, url+"/healthz", nil, contract.HeaderTraceparent, "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01")
	if resp.StatusCode != 200 || resp.Header.Get(contract.HeaderTraceresponse) != "" {
		t.Errorf("answer %d, traceresponse %q", resp.StatusCode, resp.Header.Get(contract.HeaderTraceresponse))
	}
	if diff := cmp.Diff(before, b.series()); diff != "" {
		t.Errorf("series (-before +after):\n%s", diff)
	}
	b.stop()
	if spans := b.sink.Spans(); len(spans) != 0 {
		t.Errorf("spans %v", spans)
	}
	if text := b.log.Text(); text != "" {
		t.Errorf("log %q", text)
	}
}

func TestGuardStandsBeforeEveryRouteAndIsWatched(t *testing.T) {
	b := start(t)
	handler := b.Handler([]telemetry.Route{traced("GET /roll", func(http.ResponseWriter, *http.Request) { t.Error("reached") })},
		func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				web.Fail(w, &web.Problem{Status: http.StatusForbidden, Detail: "No."})
			})
		})
	for _, path := range []string{"/roll", "/nowhere"} {
		out := httptest.NewRecorder()
		handler.ServeHTTP(out, httptest.NewRequest(http.MethodGet, path, nil))
		if out.Code != http.StatusForbidden {
			t.Errorf("%s: %d, want 403", path, out.Code)
		}
	}
	if diff := cmp.Diff(map[string]float64{"/roll GET 4xx": 1, "none GET 4xx": 1}, b.requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	b.stop()
	if got := b.sink.Named(contract.SpanRollerRoll).Attributes["http.response.status_code"]; got != int64(403) {
		t.Errorf("span says %v, want 403", got)
	}
}
