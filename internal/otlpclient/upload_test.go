package otlpclient_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/otlpclient"
	"dicelab/internal/telemetry/telemetrytest"
)

// recorded returns n spans of two scopes, each with a text of the given number of bytes.
func recorded(n, bytes int) []*tracepb.ResourceSpans {
	resource := &tracepb.ResourceSpans{ScopeSpans: []*tracepb.ScopeSpans{
		{Scope: &commonpb.InstrumentationScope{Name: "one"}}, {Scope: &commonpb.InstrumentationScope{Name: "two"}}}}
	for i := range n {
		scope := resource.ScopeSpans[2*i/n]
		scope.Spans = append(scope.Spans, &tracepb.Span{
			TraceId: []byte("0123456789abcdef"), SpanId: fmt.Appendf(nil, "%08d", i), Name: fmt.Sprint(i),
			Attributes: []*commonpb.KeyValue{{Key: "text", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: strings.Repeat("x", bytes)}}}},
		})
	}
	return []*tracepb.ResourceSpans{resource}
}

func uploader(t *testing.T, endpoint string) *otlpclient.Uploader {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
	u, err := otlpclient.NewUploader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return u
}

// Spans go in requests that any receiver takes, in their order, none twice.
func TestUpload(t *testing.T) {
	for _, tt := range []struct {
		name, protocol string
		sink           func(testing.TB) *telemetrytest.Sink
		spans, bytes   int
		requests       int
		path           string
	}{
		{"many over HTTP", "", telemetrytest.NewSink, 1300, 1, 3, "/v1/traces"},
		{"large over HTTP", "http/protobuf", telemetrytest.NewSink, 10, 300 << 10, 4, "/v1/traces"},
		{"many over gRPC", "grpc", telemetrytest.NewGRPCSink, 1300, 1, 3, ""},
		{"none", "", telemetrytest.NewSink, 0, 0, 0, "/v1/traces"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", tt.protocol)
			sink := tt.sink(t)
			u := uploader(t, sink.URL)
			if u.To() != sink.URL+tt.path {
				t.Errorf("sends to %s, want %s", u.To(), sink.URL+tt.path)
			}
			got, err := u.Upload(t.Context(), recorded(tt.spans, tt.bytes))
			if diff := cmp.Diff(otlpclient.Receipt{Stored: tt.spans}, got); err != nil || diff != "" {
				t.Errorf("%v, (-want +got):\n%s", err, diff)
			}
			if sink.Requests() != tt.requests {
				t.Errorf("%d requests, want %d", sink.Requests(), tt.requests)
			}
			for i, span := range sink.Wait(tt.spans) {
				if span.Name != fmt.Sprint(i) {
					t.Fatalf("span %d is %s", i, span.Name)
				}
			}
		})
	}
}

func TestUploadRejected(t *testing.T) {
	for protocol, start := range map[string]func(testing.TB) *telemetrytest.Sink{"http/protobuf": telemetrytest.NewSink, "grpc": telemetrytest.NewGRPCSink} {
		t.Run(protocol, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			sink := start(t)
			sink.Reject(2) // of each of two requests
			got, err := uploader(t, sink.URL).Upload(t.Context(), recorded(600, 1))
			if err != nil || got.Stored != 596 || got.Rejected != 4 || len(got.Remarks) != 2 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// A refusal is an error, with the number of spans acknowledged before it.
func TestUploadRefused(t *testing.T) {
	sink := telemetrytest.NewSink(t)
	u := uploader(t, sink.URL)
	sink.Refuse(http.StatusForbidden)
	got, err := u.Upload(t.Context(), recorded(3, 1))
	if err == nil || !strings.Contains(err.Error(), "sending spans to "+sink.URL+"/v1/traces: ") || !strings.Contains(err.Error(), "403 Forbidden") || got.Stored != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestUploaderRefusesSettings(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier pigeon")
	if _, err := otlpclient.NewUploader(t.Context()); err == nil || !strings.Contains(err.Error(), "carrier pigeon") {
		t.Errorf("got %v", err)
	}
}
