package telemetry_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/telemetry"
	"dicelab/internal/telemetry/telemetrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is one service's telemetry with a backend and a log, both in memory.
type bench struct {
	*telemetry.Telemetry
	t      testing.TB
	sink   *telemetrytest.Sink
	log    *telemetrytest.Log
	faults *fault.Set
}

// start makes a bench whose backend is an HTTP sink. It is shut down with the
// test; stop does it sooner.
func start(t *testing.T, faults ...string) *bench {
	t.Helper()
	sink := telemetrytest.NewSink(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.URL)
	return startWith(t, sink, faults...)
}

func startWith(t testing.TB, sink *telemetrytest.Sink, faults ...string) *bench {
	t.Helper()
	set, err := fault.NewSet(faults...)
	if err != nil {
		t.Fatal(err)
	}
	log := telemetrytest.NewLog(t)
	tel, err := telemetry.New(t.Context(), config(log, set))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Telemetry: tel, t: t, sink: sink, log: log, faults: set}
	t.Cleanup(b.stop)
	return b
}

func config(out io.Writer, faults *fault.Set) telemetry.Config {
	return telemetry.Config{Service: contract.ServiceRoller, Version: "1.2.3", Output: out, Faults: faults}
}

// stop sends the last spans and writes the last lines.
func (b *bench) stop() {
	b.t.Helper()
	if b.Telemetry == nil {
		return
	}
	if err := b.Telemetry.Shutdown(context.Background()); err != nil {
		b.t.Errorf("shutting down: %v", err)
	}
	b.Telemetry = nil
}

// unguarded stands where a service has its guard.
func unguarded(next http.Handler) http.Handler { return next }

// serve starts a server over routes and returns its URL.
func (b *bench) serve(routes ...telemetry.Route) string {
	b.t.Helper()
	server := httptest.NewServer(b.Handler(routes, unguarded))
	b.t.Cleanup(server.Close)
	return server.URL
}

// traced returns a traced route.
func traced(pattern string, handler http.HandlerFunc) telemetry.Route {
	return telemetry.Route{Pattern: pattern, Watch: telemetry.Traced, Handler: handler}
}

// do sends a request with headers given as name, value, name, value.
func (b *bench) do(method, url string, body io.Reader, headers ...string) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, url, body)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, string(text)
}
