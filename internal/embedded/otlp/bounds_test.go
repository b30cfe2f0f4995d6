package otlp_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/otlp"
)

// empty returns an export of n spans without any field: two bytes each on the wire.
func empty(n int) []*tracepb.ResourceSpans {
	spans := make([]*tracepb.Span, n)
	for i := range spans {
		spans[i] = &tracepb.Span{}
	}
	return []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}}}}
}

const busy = "too much is being taken in at once: send it again later"

// Exports share a budget. A client whose export finds too little left is asked to send
// it again; an export that needs more than half of the budget is refused for good.
func TestExportsShareABudget(t *testing.T) {
	s := &fakeStore{}
	budget := intake.NewBudget(1 << 20)
	h := otlp.New(s, otlp.Options{MaxBytes: 100_000, Budget: budget}).Handler()
	send := func(kind, encoding string, body []byte) *httptest.ResponseRecorder {
		req := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(body))
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Content-Encoding", encoding)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		return rec
	}
	expect := func(name string, rec *httptest.ResponseRecorder, code int, message string) {
		t.Helper()
		var st rpcstatus.Status
		decode(t, rec, &st)
		if rec.Code != code || !strings.Contains(st.GetMessage(), message) {
			t.Errorf("%s: status %d, %q, want %d with %q", name, rec.Code, st.GetMessage(), code, message)
		}
		if got, want := rec.Header().Get("Retry-After"), map[bool]string{true: "1"}[code == http.StatusServiceUnavailable]; got != want {
			t.Errorf("%s: Retry-After %q, want %q", name, got, want)
		}
	}
	const heavy = "of memory, and one may take 524288: send smaller batches"
	expect("2000 empty spans", send(protobufType, "", marshal(t, empty(2000))), http.StatusRequestEntityTooLarge, heavy)
	expect("2000 empty spans in JSON", send(jsonType, "", []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[`+strings.Repeat("{},", 2000)+`{}]}]}]}`)), http.StatusRequestEntityTooLarge, heavy)
	if rec := send(protobufType, "", marshal(t, empty(1000))); rec.Code != http.StatusOK {
		t.Errorf("1000 empty spans: status %d: %s", rec.Code, rec.Body)
	}

	others := budget.Reserve(true)
	if err := others.Resize(1<<20 - 5000); err != nil {
		t.Fatal(err)
	}
	s.got = nil
	expect("no room to decompress", send(protobufType, "gzip", zip(t, marshal(t, exampleSpans()))), http.StatusServiceUnavailable, busy)
	expect("no room to read", send(protobufType, "", make([]byte, 6000)), http.StatusServiceUnavailable, busy)
	expect("no room to decode", send(protobufType, "", marshal(t, empty(20))), http.StatusServiceUnavailable, busy)
	if s.got != nil {
		t.Errorf("stored %v", s.got)
	}
	others.Release()
	if rec := send(protobufType, "gzip", zip(t, marshal(t, exampleSpans()))); rec.Code != http.StatusOK {
		t.Errorf("with room again: status %d: %s", rec.Code, rec.Body)
	}
	if err := budget.Reserve(true).Resize(1 << 20); err != nil {
		t.Errorf("something is still held: %v", err)
	}
}

func TestExportsShareABudgetOverGRPC(t *testing.T) {
	s := &fakeStore{}
	budget := intake.NewBudget(1 << 20)
	client := coltracepb.NewTraceServiceClient(connect(t, s, otlp.Options{MaxBytes: 100_000, Budget: budget}))
	export := func(batches []*tracepb.ResourceSpans) *status.Status {
		_, err := client.Export(t.Context(), &coltracepb.ExportTraceServiceRequest{ResourceSpans: batches})
		return status.Convert(err)
	}
	if st := export(empty(2000)); st.Code() != codes.ResourceExhausted || len(st.Details()) != 0 || !strings.Contains(st.Message(), "send smaller batches") {
		t.Errorf("2000 empty spans: %v with details %v", st, st.Details())
	}
	others := budget.Reserve(true)
	for name, held := range map[string]int64{"receive": 1<<20 - 5000, "decode": 1<<20 - 10_000} {
		if err := others.Resize(held); err != nil {
			t.Fatal(err)
		}
		st := export(empty(1000))
		if st.Code() != codes.Unavailable || st.Message() != busy || len(st.Details()) != 1 {
			t.Fatalf("no room to %s: %v with details %v", name, st, st.Details())
		}
		if info, ok := st.Details()[0].(*errdetails.RetryInfo); !ok || info.GetRetryDelay().GetSeconds() != 1 {
			t.Errorf("no room to %s: details %v, want a retry after 1 s", name, st.Details())
		}
	}
	others.Release()
	if st := export(exampleSpans()); st.Code() != codes.OK {
		t.Errorf("with room again: %v", st)
	}
	released(t, budget, 1<<20)
}

// released waits until all n bytes of a budget are free: the last response may still be on
// its way.
func released(t *testing.T, budget *intake.Budget, n int64) {
	t.Helper()
	for reservation := budget.Reserve(true); reservation.Resize(n) != nil; runtime.Gosched() {
		if t.Context().Err() != nil {
			t.Fatal("something is still held")
		}
	}
}

// A body that cannot be decoded is the client's mistake, and must not be sent again.
func TestBrokenMessageOverGRPC(t *testing.T) {
	conn := connect(t, &fakeStore{}, otlp.Options{})
	err := conn.Invoke(t.Context(), coltracepb.TraceService_Export_FullMethodName, []byte("nonsense"), &coltracepb.ExportTraceServiceResponse{}, grpc.ForceCodec(raw{}))
	if st := status.Convert(err); st.Code() != codes.InvalidArgument || !strings.Contains(st.Message(), "decoding the export as") {
		t.Errorf("%v", st)
	}
}

// raw is a codec that sends bytes unchanged.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (raw) Unmarshal([]byte, any) error   { return nil }
func (raw) Name() string                  { return "proto" }

// An export that does not arrive releases its memory to others.
func TestExportThatDoesNotArrive(t *testing.T) {
	budget := intake.NewBudget(1 << 20)
	conn := connect(t, &fakeStore{}, otlp.Options{MaxBytes: 1 << 20, Budget: budget, Receive: time.Millisecond})
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, coltracepb.TraceService_Export_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&coltracepb.ExportTraceServiceResponse{}); status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "the export was not received in time") {
		t.Errorf("%v", err)
	}
	released(t, budget, 1<<20)
}

// stuckStore blocks until its caller gives up.
type stuckStore struct{}

func (stuckStore) AppendSpans(ctx context.Context, _ []*tracepb.ResourceSpans) error {
	<-ctx.Done()
	return ctx.Err()
}

// A store that does not answer counts as one that cannot store the spans now.
func TestTimeout(t *testing.T) {
	req := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(marshal(t, exampleSpans())))
	req.Header.Set("Content-Type", protobufType)
	rec := httptest.NewRecorder()
	otlp.New(stuckStore{}, otlp.Options{Timeout: time.Millisecond}).Handler().ServeHTTP(rec, req)
	var st rpcstatus.Status
	decode(t, rec, &st)
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") != "1" || !strings.Contains(st.GetMessage(), "the store took too long") {
		t.Errorf("status %d, Retry-After %q, %q", rec.Code, rec.Header().Get("Retry-After"), st.GetMessage())
	}
}
