package telemetry_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/telemetry"
	"dicelab/internal/web"
)

// Names of spans are bounded: method and route of the pattern, whatever is asked.
func TestSpanIsNamedByItsPattern(t *testing.T) {
	for _, tt := range []struct{ pattern, method, target, name, route string }{
		{"GET /roll", "GET", "/roll?die=fair", "GET /roll", "/roll"},
		{"GET /roll", "HEAD", "/roll", "GET /roll", "/roll"},
		{"POST /roll", "POST", "/roll", "POST /roll", "/roll"},
		{"GET /traces/{id}", "GET", "/traces/42", "GET /traces/{id}", "/traces/{id}"},
		{"GET /assets/", "GET", "/assets/a/b.css", "GET /assets/", "/assets/"},
		{"GET /{$}", "GET", "/", contract.SpanRollerRoot, "/{$}"}, // otelhttp takes the route from the mux as it is
	} {
		t.Run(tt.method+" "+tt.pattern, func(t *testing.T) {
			b := start(t)
			b.do(tt.method, b.serve(traced(tt.pattern, func(http.ResponseWriter, *http.Request) {}))+tt.target, nil)
			b.stop()
			span := b.sink.Named(tt.name)
			if span.Kind != "SERVER" || span.Attributes["http.route"] != tt.route || span.Attributes["http.request.method"] != tt.method {
				t.Errorf("span %s %v", span.Kind, span.Attributes)
			}
		})
	}
}

// A status is the same on the wire, in the span and in the metric.
func TestOneStatus(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		status int
		class  string
		span   string
	}{
		{"nothing written", func(http.ResponseWriter, *http.Request) {}, 200, "2xx", "Unset"},
		{"no status written", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }, 200, "2xx", "Unset"},
		{"informational status first", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(201) }, 201, "2xx", "Unset"},
		{"second status ignored", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(500) }, 404, "4xx", "Unset"},
		{"client error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(422) }, 422, "4xx", "Unset"},
		{"client gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(499) }, 499, "4xx", "Unset"},
		{"server error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, 503, "5xx", "Error"},
		{"copied body", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, strings.NewReader("xyz")) }, 200, "2xx", "Unset"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := start(t)
			resp, body := b.do(http.MethodGet, b.serve(traced("GET /roll", tt.answer))+"/roll", nil)
			if diff := cmp.Diff(map[string]float64{"/roll GET " + tt.class: 1}, b.requests()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if got := b.series()["http_response_size_bytes handler=/roll"]; got != fmt.Sprint("1 ", len(body)) {
				t.Errorf("response sizes %q, the body has %d bytes", got, len(body))
			}
			b.stop()
			span := b.sink.Named(contract.SpanRollerRoll)
			if resp.StatusCode != tt.status || span.Attributes["http.response.status_code"] != int64(tt.status) || span.Status != tt.span {
				t.Errorf("wire %d, span %s %v; want %d and %s", resp.StatusCode, span.Status, span.Attributes, tt.status, tt.span)
			}
		})
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
	if span.Status != "Error" || span.Attributes["http.response.status_code"] != int64(500) {
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
			span := b.sink.Named(contract.SpanRollerRoll) // otelhttp gives it no status code, and an event for the abort
			if last := span.Events[len(span.Events)-1]; span.Status != tt.status || last.Attributes["exception.message"] != "net/http: abort Handler" {
				t.Errorf("span %s %v, want %s and the abort", span.Status, span.Events, tt.status)
			}
			if diff := cmp.Diff(map[string]float64{"/roll GET 2xx": 1}, b.requests()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
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
