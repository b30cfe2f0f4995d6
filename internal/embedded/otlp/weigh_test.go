package otlp_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/otlp"
)

// within wraps a body in fields, the last of them innermost.
func within(body []byte, fields ...protowire.Number) []byte {
	for i := len(fields) - 1; i >= 0; i-- {
		body = protowire.AppendBytes(protowire.AppendTag(nil, fields[i], protowire.BytesType), body)
	}
	return body
}

// A body of 64 KiB of empty messages takes megabytes once it is decoded. What is reserved
// for it is at least as much, for each signal: a budget of which half is what decoding
// takes refuses the body.
func TestDecodingIsReserved(t *testing.T) {
	const n = 32 << 10
	empty := func(field protowire.Number) []byte {
		return bytes.Repeat(protowire.AppendTag(nil, field, protowire.BytesType), 1)
	}
	of := func(field protowire.Number) []byte { return bytes.Repeat(append(empty(field), 0), n) }
	spans := func(body []byte) (any, error) {
		req := &coltracepb.ExportTraceServiceRequest{}
		return req, proto.Unmarshal(body, req)
	}
	logs := func(body []byte) (any, error) {
		req := plogotlp.NewExportRequest()
		return req, req.UnmarshalProto(body)
	}
	metrics := func(body []byte) (any, error) {
		req := pmetricotlp.NewExportRequest()
		return req, req.UnmarshalProto(body)
	}
	for _, tt := range []struct {
		name, path string
		body       []byte
		decode     func(body []byte) (any, error)
	}{
		{"spans", "/v1/traces", within(of(2), 1, 2), spans},
		{"attributes", "/v1/traces", within(of(9), 1, 2, 2), spans},
		{"events", "/v1/traces", within(of(11), 1, 2, 2), spans},
		{"scopes of log records of an old OTLP", "/v1/logs", within(of(1000), 1), logs},
		{"log records", "/v1/logs", within(of(2), 1, 2), logs},
		{"attributes of a log record", "/v1/logs", within(of(6), 1, 2, 2), logs},
		{"metrics", "/v1/metrics", within(of(2), 1, 2), metrics},
		{"points of a gauge", "/v1/metrics", within(of(1), 1, 2, 2, 5), metrics},
		{"points of a histogram", "/v1/metrics", within(of(1), 1, 2, 2, 9), metrics},
		{"points of an exponential histogram", "/v1/metrics", within(of(1), 1, 2, 2, 10), metrics},
		{"exemplars", "/v1/metrics", within(of(5), 1, 2, 2, 5, 1), metrics},
		{"counts of buckets, packed", "/v1/metrics", within(make([]byte, 2*n), 1, 2, 2, 10, 1, 8, 2), metrics},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.GC() // what other tests have left in pools
			runtime.ReadMemStats(&before)
			decoded, err := tt.decode(tt.body)
			runtime.GC()
			runtime.ReadMemStats(&after)
			runtime.KeepAlive(decoded)
			if err != nil {
				t.Fatal(err)
			}
			took := int64(after.HeapAlloc) - int64(before.HeapAlloc)
			req := httptest.NewRequest(http.MethodPost, tt.path, bytes.NewReader(tt.body))
			req.Header.Set("Content-Type", protobufType)
			rec := httptest.NewRecorder()
			otlp.New(&fakeStore{}, otlp.Options{Budget: intake.NewBudget(2 * took)}).Handler().ServeHTTP(rec, req)
			if rec.Code != http.StatusRequestEntityTooLarge || !strings.Contains(rec.Body.String(), "send smaller batches") {
				t.Errorf("decoding %d bytes took %d, and less was reserved: status %d: %.300s", len(tt.body), took, rec.Code, rec.Body)
			}
		})
	}
}
