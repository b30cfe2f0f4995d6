// Package telemetrytest is a telemetry backend for tests: it takes spans over
// OTLP, HTTP or gRPC, keeps them in memory and returns them as flat values
// that go-cmp can compare.
//
//	sink := telemetrytest.NewSink(t)
//	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.URL)
//	// … start the telemetry, make spans …
//	spans := sink.Wait(3)
//
// It can also be a backend that fails: after Refuse it rejects exports, after Hang it does not
// respond. Tests wait for what they expect, with Wait, WaitRequests or by shutting the telemetry
// down; nothing here sleeps.
package telemetrytest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// patience bounds a wait, so that a test that waits in vain says what it got. It
// is long since it only passes where a test has failed.
const patience = 20 * time.Second

// Sink is the backend. Its methods are safe for concurrent use.
type Sink struct {
	// URL is the value for OTEL_EXPORTER_OTLP_ENDPOINT.
	URL string

	t testing.TB

	mu       sync.Mutex
	changed  chan struct{} // closed, and replaced, at each change
	spans    []Span
	requests int
	refusal  int           // HTTP status; 0: accept
	reject   int           // how many spans of each request to reject
	hang     chan struct{} // nil: answer at once
}

func newSink(t testing.TB) *Sink { return &Sink{t: t, changed: make(chan struct{})} }

// NewSink starts a sink for OTLP over HTTP, protobuf, plain or gzip. It ends with
// the test.
func NewSink(t testing.TB) *Sink {
	t.Helper()
	s := newSink(t)
	server := httptest.NewServer(http.HandlerFunc(s.serveHTTP))
	s.URL = server.URL
	t.Cleanup(func() { s.Answer(); server.Close() })
	return s
}

// NewGRPCSink starts a sink for OTLP over gRPC. It ends with the test.
func NewGRPCSink(t testing.TB) *Sink {
	t.Helper()
	s := newSink(t)
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	coltracepb.RegisterTraceServiceServer(server, grpcService{sink: s})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	s.URL = "http://" + l.Addr().String()
	t.Cleanup(func() {
		s.Answer()
		server.Stop()
		if err := <-ended; err != nil {
			t.Errorf("gRPC sink: %v", err)
		}
	})
	return s
}

// Spans returns the spans that were accepted, in the order in which they came.
func (s *Sink) Spans() []Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Span(nil), s.spans...)
}

// Named returns the one accepted span of that name; none or several end the test.
func (s *Sink) Named(name string) Span {
	s.t.Helper()
	var found []Span
	spans := s.Spans()
	for _, span := range spans {
		if span.Name == name {
			found = append(found, span)
		}
	}
	if len(found) != 1 {
		s.t.Fatalf("%d spans are named %q, want 1; all spans: %v", len(found), name, spans)
	}
	return found[0]
}

// Requests counts the export requests that came in, refused and hanging ones too.
func (s *Sink) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Reset forgets the spans that were accepted.
func (s *Sink) Reset() { s.change(func() { s.spans = nil }) }

// Refuse answers every export from now on with an HTTP status, 400 to 599; the
// gRPC sink says INVALID_ARGUMENT. Note that exporters try 429, 502, 503 and 504
// again for a while; 400 they give up at once.
func (s *Sink) Refuse(status int) { s.change(func() { s.refusal = status }) }

// Reject takes every export from now on, but says that n of its spans, the last
// ones, were rejected (OTLP specification, "Partial Success").
func (s *Sink) Reject(n int) { s.change(func() { s.reject = n }) }

// Hang leaves every export from now on without an answer, until Answer is called
// or the exporter goes away.
func (s *Sink) Hang() {
	s.change(func() {
		if s.hang == nil {
			s.hang = make(chan struct{})
		}
	})
}

// Answer ends Refuse, Reject and Hang; exports that hang are accepted.
func (s *Sink) Answer() {
	s.change(func() {
		s.refusal, s.reject = 0, 0
		if s.hang != nil {
			close(s.hang)
			s.hang = nil
		}
	})
}

// Wait waits until at least n spans were accepted and returns all of them.
func (s *Sink) Wait(n int) []Span {
	s.t.Helper()
	s.until(func() bool { return len(s.spans) >= n }, func() { s.t.Fatalf("%d spans came, want %d: %v", len(s.spans), n, s.spans) })
	return s.Spans()
}

// WaitRequests waits until at least n export requests came in.
func (s *Sink) WaitRequests(n int) {
	s.t.Helper()
	s.until(func() bool { return s.requests >= n }, func() { s.t.Fatalf("%d export requests came, want %d", s.requests, n) })
}

// until waits for done, which it calls with the lock held.
func (s *Sink) until(done func() bool, fail func()) {
	s.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		ok, changed := done(), s.changed
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			s.mu.Lock()
			defer s.mu.Unlock()
			fail()
		}
	}
}

func (s *Sink) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	close(s.changed)
	s.changed = make(chan struct{})
}

// export takes one request in. It returns the answer, or the status to refuse
// it with.
func (s *Sink) export(ctx context.Context, req *coltracepb.ExportTraceServiceRequest) (answer *coltracepb.ExportTraceServiceResponse, refusal int) {
	var hang chan struct{}
	s.change(func() { s.requests++; hang = s.hang })
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return nil, http.StatusRequestTimeout
		}
	}
	answer = new(coltracepb.ExportTraceServiceResponse)
	s.change(func() {
		if refusal = s.refusal; refusal != 0 {
			return
		}
		spans := flatten(req.GetResourceSpans())
		if n := min(s.reject, len(spans)); n > 0 {
			spans = spans[:len(spans)-n]
			answer.PartialSuccess = &coltracepb.ExportTracePartialSuccess{RejectedSpans: int64(n), ErrorMessage: "rejected as asked"}
		}
		s.spans = append(s.spans, spans...)
	})
	return answer, refusal
}

// grpcService is the gRPC face of a sink.
type grpcService struct {
	coltracepb.UnimplementedTraceServiceServer
	sink *Sink
}

func (g grpcService) Export(ctx context.Context, req *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	answer, refusal := g.sink.export(ctx, req)
	if refusal != 0 {
		return nil, status.Errorf(codes.InvalidArgument, "refused as asked (%d)", refusal)
	}
	return answer, nil
}
