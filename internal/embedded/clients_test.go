package embedded_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// idOf returns the ID of a trace from the numbers that identify it in a test.
func idOf(round, sender, n int) (id [16]byte) {
	binary.BigEndian.PutUint32(id[4:], uint32(round))
	binary.BigEndian.PutUint32(id[8:], uint32(sender))
	id[0], id[8] = 1, 1 // no ID is zero
	binary.BigEndian.PutUint32(id[12:], uint32(n))
	return id
}

// exportOf returns an export of one span with a trace of its own.
func exportOf(id [16]byte, at time.Time, attributes ...*commonpb.KeyValue) *coltracepb.ExportTraceServiceRequest {
	service := &commonpb.KeyValue{Key: "service.name", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: "s"}}}
	return &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{service}},
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{
			TraceId: id[:], SpanId: id[8:], Name: fmt.Sprintf("%x", id), StartTimeUnixNano: uint64(at.UnixNano()), EndTimeUnixNano: uint64(at.UnixNano()) + 1, Attributes: attributes,
		}}}},
	}}}
}

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

// answer is an HTTP response that was read.
type answer struct {
	status int
	header http.Header
	body   string
}

func post(ctx context.Context, client *http.Client, url, kind string, body []byte, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", kind)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return do(client, req)
}

func do(client *http.Client, req *http.Request) (answer, error) {
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b)}, err
}

func (a addresses) export(ctx context.Context, client *http.Client, e *coltracepb.ExportTraceServiceRequest) (answer, error) {
	body, err := proto.Marshal(e)
	if err != nil {
		return answer{}, err
	}
	return post(ctx, client, a.OTLP+"/v1/traces", "application/x-protobuf", body)
}

// push sends a line of the stream of a service.
func (a addresses) push(ctx context.Context, client *http.Client, service, line string, at time.Time) (answer, error) {
	body, err := json.Marshal(map[string]any{"streams": []any{map[string]any{
		"stream": map[string]string{"service_name": service}, "values": [][]string{{fmt.Sprint(at.UnixNano()), line}},
	}}})
	if err != nil {
		return answer{}, err
	}
	return post(ctx, client, a.Loki+"/loki/api/v1/push", "application/json", body)
}

func get(t *testing.T, url string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := do(http.DefaultClient, req)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// newClient returns a client with connections of its own, which are closed at the end of
// the test.
func newClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func dial(t *testing.T, address string) coltracepb.TraceServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return coltracepb.NewTraceServiceClient(conn)
}
