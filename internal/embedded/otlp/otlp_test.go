package otlp_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"dicelab/internal/embedded/embeddedtest"
	"dicelab/internal/embedded/otlp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, embeddedtest.EngineGoroutines()...) }

// fakeStore keeps appended spans, or fails.
type fakeStore struct {
	err error
	got []*tracepb.ResourceSpans
}

func (s *fakeStore) AppendSpans(_ context.Context, batches []*tracepb.ResourceSpans) error {
	if s.err != nil {
		return s.err
	}
	for _, b := range batches {
		s.got = append(s.got, proto.CloneOf(b))
	}
	return nil
}

var (
	trace  = []byte{0x5B, 0x8E, 0xFF, 0xF7, 0x98, 0x03, 0x81, 0x03, 0xD2, 0x69, 0xB6, 0x33, 0x81, 0x3F, 0xC6, 0x0C}
	span   = []byte{0xEE, 0xE1, 0x9B, 0x7E, 0xC3, 0xC1, 0xB1, 0x74}
	parent = []byte{0xEE, 0xE1, 0x9B, 0x7E, 0xC3, 0xC1, 0xB1, 0x73}
)

// example is the example of opentelemetry-proto, examples/trace.json, with the special cases
// of the JSON mapping.
const example = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"my.service"}}]},
 "scopeSpans":[{"scope":{"name":"my.library","version":"1.0.0"},"spans":[{
  "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","parentSpanId":"EEE19B7EC3C1B173",
  "name":"I'm a server span","startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,"kind":2,"flags":257,
  "somethingOfALaterVersion":{"a":[1]},
  "attributes":[{"key":"traceId","value":{"stringValue":"some value"}},{"key":"n","value":{"intValue":"-7"}},{"key":"d","value":{"doubleValue":"NaN"}},{"key":"b","value":{"bytesValue":"AP8="}}],
  "links":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b173"}],
  "status":{"code":2,"message":"m"}}]}]}]}`

func exampleSpans() []*tracepb.ResourceSpans {
	return []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{str("service.name", "my.service")}},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "my.library", Version: "1.0.0"}, Spans: []*tracepb.Span{{
			TraceId: trace, SpanId: span, ParentSpanId: parent, Name: "I'm a server span", Kind: tracepb.Span_SPAN_KIND_SERVER, Flags: 257,
			StartTimeUnixNano: 1544712660000000000, EndTimeUnixNano: 1544712661000000000,
			Attributes: []*commonpb.KeyValue{str("traceId", "some value"),
				{Key: "n", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: -7}}},
				{Key: "b", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{0, 255}}}}},
			Links:  []*tracepb.Span_Link{{TraceId: trace, SpanId: parent}},
			Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "m"},
		}}}},
	}}
}

func str(k, v string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: k, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}}
}

func marshal(t *testing.T, batches []*tracepb.ResourceSpans) []byte {
	t.Helper()
	b, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: batches})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func zip(t *testing.T, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

const (
	protobufType = "application/x-protobuf"
	jsonType     = "application/json"
)

func TestHTTP(t *testing.T) {
	jsonExample := strings.Replace(example, `,{"key":"d","value":{"doubleValue":"NaN"}}`, "", 1) // cmp calls NaNs different
	tests := []struct {
		name        string
		method      string // default POST
		path        string // default /v1/traces
		contentType string
		encoding    string
		body        []byte
		storeErr    error
		status      int
		code        codes.Code // of the google.rpc.Status
		message     string     // that it contains
		header      map[string]string
		stored      []*tracepb.ResourceSpans
	}{
		{name: "protobuf", contentType: protobufType, body: marshal(t, exampleSpans()), status: 200, stored: exampleSpans()},
		{name: "protobuf, gzip", contentType: protobufType, encoding: "gzip", body: zip(t, marshal(t, exampleSpans())), status: 200, stored: exampleSpans()},
		{name: "JSON", contentType: jsonType + "; charset=utf-8", body: []byte(jsonExample), status: 200, stored: exampleSpans()},
		{name: "JSON, gzip", contentType: jsonType, encoding: "gzip", body: zip(t, []byte(jsonExample)), status: 200, stored: exampleSpans()},
		{name: "JSON, enums by name", contentType: jsonType, body: []byte(strings.NewReplacer(`"kind":2`, `"kind":"SPAN_KIND_SERVER"`, `"code":2`, `"code":"STATUS_CODE_ERROR"`).Replace(jsonExample)), status: 200, stored: exampleSpans()},
		{name: "empty protobuf is a valid export", contentType: protobufType, status: 200},
		{name: "no content type", body: []byte("x"), status: 415, code: codes.Unimplemented, message: "send application/x-protobuf or application/json"},
		{name: "wrong content type", contentType: "text/plain", status: 415, code: codes.Unimplemented, message: `content type "text/plain" is not understood`},
		{name: "wrong encoding", contentType: protobufType, encoding: "br", status: 415, code: codes.Unimplemented, message: `content encoding "br"`},
		{name: "broken protobuf", contentType: protobufType, body: []byte("nonsense"), status: 400, code: codes.InvalidArgument, message: "decoding the export as application/x-protobuf"},
		{name: "broken JSON", contentType: jsonType, body: []byte(`{"resourceSpans":`), status: 400, code: codes.InvalidArgument, message: "decoding the export as application/json"},
		{name: "broken gzip", contentType: protobufType, encoding: "gzip", body: []byte("nonsense"), status: 400, code: codes.InvalidArgument, message: "decompressing the body"},
		{name: "truncated gzip", contentType: protobufType, encoding: "gzip", body: zip(t, marshal(t, exampleSpans()))[:50], status: 400, code: codes.InvalidArgument, message: "reading the body"},
		{name: "too large", contentType: protobufType, body: make([]byte, 100_001), status: 413, code: codes.ResourceExhausted, message: "more than 100000 bytes"},
		{name: "too large when unpacked", contentType: protobufType, encoding: "gzip", body: zip(t, make([]byte, 100_001)), status: 413, code: codes.ResourceExhausted, message: "more than 100000 bytes"},
		{name: "GET", method: http.MethodGet, status: 405, code: codes.Unimplemented, message: "POST", header: map[string]string{"Allow": "POST"}},
		{name: "store fails, protobuf", contentType: protobufType, body: marshal(t, exampleSpans()), storeErr: errors.New("disk full"), status: 503, code: codes.Unavailable, message: "disk full", header: map[string]string{"Retry-After": "1", "Content-Type": protobufType}},
		{name: "store fails, JSON", contentType: jsonType, body: []byte(example), storeErr: errors.New("disk full"), status: 503, code: codes.Unavailable, message: "disk full", header: map[string]string{"Retry-After": "1", "Content-Type": jsonType}},
		{name: "metrics without a store", path: "/v1/metrics", contentType: protobufType, status: 415, code: codes.Unimplemented, message: "metrics are not stored here"},
		{name: "logs without a store", path: "/v1/logs", contentType: jsonType, body: []byte("{}"), status: 415, code: codes.Unimplemented, message: "log records are not stored here"},
		{name: "elsewhere", path: "/", status: 404, code: codes.NotFound, message: "traces are sent to /v1/traces"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &fakeStore{err: tt.storeErr}
			if tt.method == "" {
				tt.method = http.MethodPost
			}
			if tt.path == "" {
				tt.path = "/v1/traces"
			}
			req := httptest.NewRequest(tt.method, tt.path, bytes.NewReader(tt.body))
			for k, v := range map[string]string{"Content-Type": tt.contentType, "Content-Encoding": tt.encoding} {
				if v != "" {
					req.Header.Set(k, v)
				}
			}
			rec := httptest.NewRecorder()
			otlp.New(s, otlp.Options{MaxBytes: 100_000}).Handler().ServeHTTP(rec, req)
			if rec.Code != tt.status {
				t.Fatalf("status %d, want %d: %s", rec.Code, tt.status, rec.Body)
			}
			for k, v := range tt.header {
				if got := rec.Header().Get(k); got != v {
					t.Errorf("header %s: %q, want %q", k, got, v)
				}
			}
			if diff := cmp.Diff(tt.stored, s.got, protocmp.Transform()); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
			if tt.status == 200 {
				var resp coltracepb.ExportTraceServiceResponse
				decode(t, rec, &resp)
				if diff := cmp.Diff(&coltracepb.ExportTraceServiceResponse{}, &resp, protocmp.Transform()); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
				return
			}
			var st rpcstatus.Status
			decode(t, rec, &st)
			if codes.Code(st.GetCode()) != tt.code || !strings.Contains(st.GetMessage(), tt.message) {
				t.Errorf("status %v %q, want %v with %q", codes.Code(st.GetCode()), st.GetMessage(), tt.code, tt.message)
			}
		})
	}
}

func decode(t *testing.T, rec *httptest.ResponseRecorder, m proto.Message) {
	t.Helper()
	var err error
	switch kind := rec.Header().Get("Content-Type"); kind {
	case protobufType:
		err = proto.Unmarshal(rec.Body.Bytes(), m)
	case jsonType:
		err = protojson.Unmarshal(rec.Body.Bytes(), m)
	default:
		t.Fatalf("content type %q", kind)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestPartialSuccess(t *testing.T) {
	zeros := make([]byte, 16)
	good := &tracepb.Span{TraceId: trace, SpanId: span, Name: "good"}
	zeroParent := &tracepb.Span{TraceId: trace, SpanId: span, ParentSpanId: zeros[:8], Name: "zero parent"}
	tests := []struct {
		name   string
		bad    *tracepb.Span
		reason string
	}{
		{name: "short trace ID", bad: &tracepb.Span{TraceId: trace[:8], SpanId: span, Name: "b"}, reason: `1 spans were rejected, the first because span "b" has a trace ID of 8 bytes: it must have 16 (32 hex digits in JSON)`},
		{name: "no trace ID", bad: &tracepb.Span{SpanId: span, Name: "b"}, reason: `1 spans were rejected, the first because span "b" has a trace ID of 0 bytes: it must have 16 (32 hex digits in JSON)`},
		{name: "zero trace ID", bad: &tracepb.Span{TraceId: zeros, SpanId: span}, reason: `1 spans were rejected, the first because span "" has a trace ID that is all zeros, which means none`},
		{name: "long span ID", bad: &tracepb.Span{TraceId: trace, SpanId: trace}, reason: `1 spans were rejected, the first because span "" has a span ID of 16 bytes: it must have 8 (16 hex digits in JSON)`},
		{name: "zero span ID", bad: &tracepb.Span{TraceId: trace, SpanId: zeros[:8]}, reason: `1 spans were rejected, the first because span "" has a span ID that is all zeros, which means none`},
		{name: "short parent", bad: &tracepb.Span{TraceId: trace, SpanId: span, ParentSpanId: span[:1]}, reason: `1 spans were rejected, the first because span "" has a parent span ID that is not hex (a prefix 0x or base64 is not), or has 1 byte: it must have 8 (16 hex digits in JSON), or none`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &fakeStore{}
			body := marshal(t, []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{good, tt.bad, zeroParent}}}}})
			req := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(body))
			req.Header.Set("Content-Type", protobufType)
			rec := httptest.NewRecorder()
			otlp.New(s, otlp.Options{}).Handler().ServeHTTP(rec, req)
			if rec.Code != 200 {
				t.Fatalf("status %d: %s", rec.Code, rec.Body)
			}
			var resp coltracepb.ExportTraceServiceResponse
			decode(t, rec, &resp)
			want := &coltracepb.ExportTraceServiceResponse{PartialSuccess: &coltracepb.ExportTracePartialSuccess{RejectedSpans: 1, ErrorMessage: tt.reason}}
			if diff := cmp.Diff(want, &resp, protocmp.Transform()); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			root := proto.CloneOf(zeroParent)
			root.ParentSpanId = nil
			stored := []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{good, root}}}}}
			if diff := cmp.Diff(stored, s.got, protocmp.Transform()); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
		})
	}
}

// IDs in JSON are hex. Base64, as in protobuf's own mapping, is not accepted.
func TestJSONWithBase64IDs(t *testing.T) {
	s := &fakeStore{}
	body := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"W47/95gDgQPSabYzgT/GDA==","spanId":"7uGbfsPBsXQ=","name":"b"}]}]}]}`
	req := httptest.NewRequest(http.MethodPost, "/v1/traces", strings.NewReader(body))
	req.Header.Set("Content-Type", jsonType)
	rec := httptest.NewRecorder()
	otlp.New(s, otlp.Options{}).Handler().ServeHTTP(rec, req)
	var resp coltracepb.ExportTraceServiceResponse
	decode(t, rec, &resp)
	if n := resp.GetPartialSuccess().GetRejectedSpans(); rec.Code != 200 || n != 1 {
		t.Errorf("status %d, %d spans rejected, want 1: %v", rec.Code, n, &resp)
	}
}

func dial(t *testing.T, s otlp.Spans, o otlp.Options) coltracepb.TraceServiceClient {
	t.Helper()
	return coltracepb.NewTraceServiceClient(connect(t, s, o))
}

func connect(t *testing.T, s otlp.Spans, opts otlp.Options) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(serve(t, s, opts), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func TestGRPC(t *testing.T) {
	s := &fakeStore{}
	client := dial(t, s, otlp.Options{MaxBytes: 100_000})
	for _, opts := range [][]grpc.CallOption{nil, {grpc.UseCompressor(grpcgzip.Name)}} {
		s.got = nil
		resp, err := client.Export(t.Context(), &coltracepb.ExportTraceServiceRequest{ResourceSpans: exampleSpans()}, opts...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&coltracepb.ExportTraceServiceResponse{}, resp, protocmp.Transform()); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(exampleSpans(), s.got, protocmp.Transform()); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
	}
	big := exampleSpans()
	big[0].ScopeSpans[0].Spans[0].Name = strings.Repeat("x", 100_001)
	s.got = nil
	for name, opts := range map[string][]grpc.CallOption{"too large": nil, "too large when unpacked": {grpc.UseCompressor(grpcgzip.Name)}} {
		if _, err := client.Export(t.Context(), &coltracepb.ExportTraceServiceRequest{ResourceSpans: big}, opts...); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.got != nil {
		t.Errorf("of what is too large this was stored: %v", s.got)
	}
	s.err = errors.New("disk full")
	_, err := client.Export(t.Context(), &coltracepb.ExportTraceServiceRequest{ResourceSpans: exampleSpans()})
	st := status.Convert(err)
	if st.Code() != codes.Unavailable || !strings.Contains(st.Message(), "disk full") || len(st.Details()) != 1 {
		t.Fatalf("store fails: %v with details %v", err, st.Details())
	}
	if info, ok := st.Details()[0].(*errdetails.RetryInfo); !ok || info.GetRetryDelay().GetSeconds() != 1 {
		t.Errorf("details %v, want a retry after 1 s", st.Details())
	}
}

func TestGRPCPartialSuccess(t *testing.T) {
	s := &fakeStore{}
	spans := exampleSpans()
	spans[0].ScopeSpans[0].Spans = append(spans[0].ScopeSpans[0].Spans, &tracepb.Span{TraceId: trace, SpanId: span[:4], Name: "b"})
	resp, err := dial(t, s, otlp.Options{}).Export(t.Context(), &coltracepb.ExportTraceServiceRequest{ResourceSpans: spans})
	if err != nil {
		t.Fatal(err)
	}
	want := &coltracepb.ExportTraceServiceResponse{PartialSuccess: &coltracepb.ExportTracePartialSuccess{RejectedSpans: 1,
		ErrorMessage: `1 spans were rejected, the first because span "b" has a span ID of 4 bytes: it must have 8 (16 hex digits in JSON)`}}
	if diff := cmp.Diff(want, resp, protocmp.Transform()); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(exampleSpans(), s.got, protocmp.Transform()); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

// By default an export may have 16 MiB, over gRPC as over HTTP. (The usual default of
// a gRPC server is 4 MB.)
func TestDefaultBound(t *testing.T) {
	s := &fakeStore{}
	client := dial(t, s, otlp.Options{})
	for size, want := range map[int]struct {
		http int
		grpc codes.Code
	}{15 << 20: {http.StatusOK, codes.OK}, 17 << 20: {http.StatusRequestEntityTooLarge, codes.ResourceExhausted}} {
		large := exampleSpans()
		for n := 0; n < size; n += 1 << 20 {
			sp := proto.CloneOf(large[0].ScopeSpans[0].Spans[0])
			sp.Name = strings.Repeat("x", 1<<20)
			large[0].ScopeSpans[0].Spans = append(large[0].ScopeSpans[0].Spans, sp)
		}
		req := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(marshal(t, large)))
		req.Header.Set("Content-Type", protobufType)
		rec := httptest.NewRecorder()
		otlp.New(s, otlp.Options{}).Handler().ServeHTTP(rec, req)
		if rec.Code != want.http {
			t.Errorf("%d bytes over HTTP: status %d, want %d", size, rec.Code, want.http)
		}
		if _, err := client.Export(t.Context(), &coltracepb.ExportTraceServiceRequest{ResourceSpans: large}); status.Code(err) != want.grpc {
			t.Errorf("%d bytes over gRPC: %v, want %v", size, err, want.grpc)
		}
	}
}

// Whatever is sent, only spans with valid IDs reach the store.
func FuzzHTTP(f *testing.F) {
	f.Add(true, []byte(example))
	f.Add(true, []byte(`{"resourceSpans":[null,{"scopeSpans":[{"spans":[{"traceId":"00","spanId":""}]}]}]}`))
	b, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: exampleSpans()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(false, b)
	f.Add(false, []byte{0x0a, 0x00})
	f.Fuzz(func(t *testing.T, asJSON bool, body []byte) {
		s := &fakeStore{}
		req := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(body))
		req.Header.Set("Content-Type", protobufType)
		if asJSON {
			req.Header.Set("Content-Type", jsonType)
		}
		rec := httptest.NewRecorder()
		otlp.New(s, otlp.Options{}).Handler().ServeHTTP(rec, req)
		if rec.Code != http.StatusOK && rec.Code != http.StatusBadRequest {
			body, _ := io.ReadAll(rec.Body)
			t.Fatalf("status %d: %s", rec.Code, body)
		}
		for _, r := range s.got {
			for _, sc := range r.GetScopeSpans() {
				for _, sp := range sc.GetSpans() {
					if len(sp.GetTraceId()) != 16 || len(sp.GetSpanId()) != 8 || (len(sp.GetParentSpanId()) != 0 && len(sp.GetParentSpanId()) != 8) {
						t.Fatalf("stored %v", sp)
					}
				}
			}
		}
	})
}
