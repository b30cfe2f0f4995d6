package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/contract"
	"dicelab/internal/telemetry/telemetrytest"
)

const (
	msgFailing = "Span export failing"
	msgWorks   = "Span export works again"
)

// spans makes n finished spans.
func (b *bench) spans(n int) {
	for range n {
		_, span := b.Tracer.Start(b.t.Context(), contract.SpanRoll)
		span.End()
	}
}

// drops returns the counts of both reasons.
func (b *bench) drops() map[string]float64 {
	b.t.Helper()
	found := map[string]float64{}
	for _, reason := range []string{contract.ReasonQueueFull, contract.ReasonExportFailed} {
		if n := b.dropped(reason); n != 0 {
			found[reason] = n
		}
	}
	return found
}

// messages returns the messages of the log lines, with their levels.
func (b *bench) messages() []string {
	b.t.Helper()
	var list []string
	for _, line := range b.log.Lines() {
		list = append(list, fmt.Sprint(line[contract.FieldLevel], " ", line[contract.FieldMessage]))
	}
	return list
}

func TestNothingIsDroppedFromAWorkingExport(t *testing.T) {
	b := start(t)
	b.spans(5000)
	telemetryOf := *b // stop takes the telemetry away; the registry is read after it
	b.stop()
	if got := len(b.sink.Spans()); got != 5000 {
		t.Errorf("%d spans came, want 5000", got)
	}
	if diff := cmp.Diff(map[string]float64{}, telemetryOf.drops()); diff != "" {
		t.Errorf("drops (-want +got):\n%s", diff)
	}
}

func TestFullQueueIsCountedExactly(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
	b := start(t)
	b.sink.Hang()
	b.spans(1)
	b.sink.WaitRequests(1) // the exporter is busy with the first, which still takes up room
	b.spans(20)
	if diff := cmp.Diff(map[string]float64{contract.ReasonQueueFull: 11}, b.drops()); diff != "" {
		t.Errorf("drops (-want +got):\n%s", diff)
	}
	b.sink.Answer()
	if got := len(b.sink.Wait(10)); got != 10 {
		t.Errorf("%d spans came, want 10", got)
	}
	b.sink.WaitRequests(2)
	b.stop()
	if got := len(b.sink.Spans()); got != 10 {
		t.Errorf("%d spans came, want 10", got)
	}
}

func TestUnsampledSpansTakeUpNoRoom(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	b := start(t)
	b.spans(100)
	if diff := cmp.Diff(map[string]float64{}, b.drops()); diff != "" {
		t.Errorf("drops (-want +got):\n%s", diff)
	}
	b.stop()
	if got := b.sink.Requests(); got != 0 {
		t.Errorf("%d export requests, want 0", got)
	}
}

func TestRefusedSpansAreCountedAndToldOnce(t *testing.T) {
	b := start(t)
	registry := *b
	b.sink.Refuse(http.StatusBadRequest)
	b.spans(1)
	failing := b.log.Wait(msgFailing)
	for n := 2; n <= 4; n++ { // an export begins when the previous one has ended
		b.spans(1)
		b.sink.WaitRequests(n)
	}
	b.sink.Answer()
	b.spans(1)
	b.sink.Wait(1)
	b.log.Wait(msgWorks)
	b.sink.Refuse(http.StatusForbidden)
	b.spans(7)
	b.stop()

	if diff := cmp.Diff(map[string]float64{contract.ReasonExportFailed: 4 + 7}, registry.drops()); diff != "" {
		t.Errorf("drops (-want +got):\n%s", diff)
	}
	want := []string{"WARNING " + msgFailing, "INFO " + msgWorks, "WARNING " + msgFailing}
	if diff := cmp.Diff(want, b.messages()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if text := failing[contract.FieldError]; text != fmt.Sprintf("traces export: failed to send to %s/v1/traces: 400 Bad Request (body: refused as asked)", b.sink.URL) {
		t.Errorf("error %q does not say who refused and why", text)
	}
}

func TestRejectedPartIsCounted(t *testing.T) {
	for name, sink := range map[string]func(testing.TB) *telemetrytest.Sink{"http/protobuf": telemetrytest.NewSink, "grpc": telemetrytest.NewGRPCSink} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", name)
			t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000") // one export, at the end
			s := sink(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.URL)
			b := startWith(t, s)
			registry := *b
			s.Reject(3)
			b.spans(10)
			b.stop()
			if diff := cmp.Diff(map[string]float64{contract.ReasonExportFailed: 3}, registry.drops()); diff != "" {
				t.Errorf("drops (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMissingBackendIsOneWarning(t *testing.T) {
	sink := telemetrytest.NewSink(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1") // tcpmux: no program listens
	b := startWith(t, sink)
	registry := *b
	b.spans(3)
	b.log.Wait(msgFailing)
	b.spans(3)
	b.stop()
	if diff := cmp.Diff([]string{"WARNING " + msgFailing}, b.messages()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]float64{contract.ReasonExportFailed: 6}, registry.drops()); diff != "" {
		t.Errorf("drops (-want +got):\n%s", diff)
	}
}

// TestHangingBackendStopsNothing: requests are answered while the backend hangs,
// and Shutdown gives up after its own limit without, as goleak sees, a goroutine
// left.
func TestHangingBackendStopsNothing(t *testing.T) {
	for _, protocol := range []struct {
		name string
		sink func(testing.TB) *telemetrytest.Sink
	}{{"http/protobuf", telemetrytest.NewSink}, {"grpc", telemetrytest.NewGRPCSink}} {
		t.Run(protocol.name, func(t *testing.T) {
			sink := protocol.sink(t)
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.name)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.URL)
			b := startWith(t, sink)
			sink.Hang()
			url := b.serve(traced("GET /roll", func(http.ResponseWriter, *http.Request) {}))
			b.do(http.MethodGet, url+"/roll", nil)
			sink.WaitRequests(1)
			for range 10 {
				if resp, _ := b.do(http.MethodGet, url+"/roll", nil); resp.StatusCode != 200 {
					t.Fatalf("answer %d while the backend hangs", resp.StatusCode)
				}
			}
			tel := b.Telemetry
			b.Telemetry = nil
			if err := tel.Shutdown(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Shutdown says %v, want its deadline", err)
			}
			b.log.Wait(msgFailing)
		})
	}
}

func TestSecondShutdownIsNoError(t *testing.T) {
	b := start(t)
	tel := b.Telemetry
	b.spans(1)
	b.stop()
	if err := tel.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if got := len(b.sink.Spans()); got != 1 {
		t.Errorf("%d spans came, want 1", got)
	}
}

func TestFaultNoExport(t *testing.T) {
	b := start(t, "no-export")
	registry := *b
	b.spans(3)
	b.stop()
	if got := b.sink.Requests(); got != 0 {
		t.Errorf("%d export requests, want 0", got)
	}
	if diff := cmp.Diff(map[string]float64{}, registry.drops()); diff != "" {
		t.Errorf("drops (-want +got):\n%s", diff)
	}
}

func TestFaultClockSkewMovesSpansAndTheirEvents(t *testing.T) {
	b := start(t)
	times := func(faults ...string) telemetrytest.Span {
		for _, f := range faults {
			if err := b.faults.Enable(f); err != nil {
				t.Fatal(err)
			}
		}
		b.sink.Reset()
		_, span := b.Tracer.Start(t.Context(), contract.SpanRoll, at(0))
		span.AddEvent("drawn", at(1))
		span.End(at(2))
		return b.sink.Wait(1)[0]
	}
	right, wrong := times(), times("clock-skew=-1h")
	got := []any{wrong.Start.Sub(right.Start), wrong.End.Sub(right.End), wrong.Events[0].Time.Sub(right.Events[0].Time), len(wrong.Events)}
	if diff := cmp.Diff([]any{-time.Hour, -time.Hour, -time.Hour, 1}, got); diff != "" {
		t.Errorf("shift of start, end and event (-want +got):\n%s", diff)
	}
}

// at returns a time: seconds after a fixed moment.
func at(seconds int) trace.SpanEventOption {
	return trace.WithTimestamp(time.Date(2026, 11, 22, 12, 0, seconds, 0, time.UTC))
}

func TestFaultStatus200OnError(t *testing.T) {
	b := start(t, "status-200-on-error")
	url := b.serve(traced("GET /roll", func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusInternalServerError
		if r.URL.Query().Has("mine") {
			status = http.StatusUnprocessableEntity
		}
		w.WriteHeader(status)
	}))
	failed, _ := b.do(http.MethodGet, url+"/roll", nil)
	refused, _ := b.do(http.MethodGet, url+"/roll?mine", nil)
	if failed.StatusCode != 200 || refused.StatusCode != 422 {
		t.Errorf("wire says %d and %d, want 200 and 422", failed.StatusCode, refused.StatusCode)
	}
	if diff := cmp.Diff(map[string]float64{"/roll GET 5xx": 1, "/roll GET 4xx": 1}, b.requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	b.stop()
	if span := b.sink.Spans()[0]; span.Status != "Error" || span.Attributes["http.response.status_code"] != int64(500) {
		t.Errorf("span %s %v", span.Status, span.Attributes)
	}
}
