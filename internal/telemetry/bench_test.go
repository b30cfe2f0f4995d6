package telemetry_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"dicelab/internal/contract"
	"dicelab/internal/telemetry"
	"dicelab/internal/telemetry/telemetrytest"
)

// BenchmarkHandler measures the middleware's cost for one request: routing, a span, six metrics
// with exemplars.
func BenchmarkHandler(b *testing.B) {
	sink := telemetrytest.NewSink(b)
	b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.URL)
	for _, watch := range []struct {
		name  string
		watch telemetry.Watch
	}{{"silent", telemetry.Silent}, {"counted", telemetry.Counted}, {"traced", telemetry.Traced}} {
		b.Run(watch.name, func(b *testing.B) {
			tel := startWith(b, sink, "no-export") // sending happens beside the request, on a goroutine of its own
			handler := tel.Handler([]telemetry.Route{{Pattern: "GET /roll", Watch: watch.watch, Handler: http.HandlerFunc(
				func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"roll":4}`) })}}, unguarded)
			req := httptest.NewRequest(http.MethodGet, "/roll?die=fair", nil)
			b.ReportAllocs()
			for b.Loop() {
				handler.ServeHTTP(httptest.NewRecorder(), req)
			}
		})
	}
}

// BenchmarkLog measures one line with a trace.
func BenchmarkLog(b *testing.B) {
	b.Setenv("OTEL_TRACES_EXPORTER", "none")
	tel, err := telemetry.New(b.Context(), config(io.Discard, nil))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = tel.Shutdown(b.Context()) }()
	ctx, span := tel.Tracer.Start(b.Context(), contract.SpanRoll)
	defer span.End()
	b.ReportAllocs()
	for b.Loop() {
		tel.Logger.InfoContext(ctx, contract.MsgRollCompleted, contract.FieldDieType, contract.DieFair,
			contract.FieldStatus, http.StatusOK, contract.FieldDurationSeconds, 0.25, contract.FieldRollValue, 4)
	}
}
