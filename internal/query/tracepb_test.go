package query_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"

	"dicelab/internal/otlpjson"
	"dicelab/internal/query"

	"github.com/google/go-cmp/cmp"
)

// traceOf answers for a trace in both forms, as Tempo does, and counts the answers in JSON.
func traceOf(t *testing.T, trace *tracepb.TracesData, json string, asJSON *int) *query.Tempo {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept"), "application/protobuf") {
			*asJSON++
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(json)) // the test has ended
			return
		}
		body, err := proto.Marshal(trace)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/protobuf")
		out := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), body)
		out = protowire.AppendVarint(protowire.AppendTag(out, 3, protowire.VarintType), 1)
		_, _ = w.Write(protowire.AppendString(protowire.AppendTag(out, 4, protowire.BytesType),
			"half of it")) // as above
	}))
	t.Cleanup(s.Close)
	c, err := query.NewTempo(query.Config{URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTraceAsProtobuf checks that a trace is the same in both forms, and that one with a span that may
// be beyond the limits is read as JSON, which has them.
func TestTraceAsProtobuf(t *testing.T) {
	const id = "0102030405060708090a0b0c0d0e0f10"
	text := func(key, value string) *commonpb.KeyValue {
		return &commonpb.KeyValue{Key: key,
			Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
	}
	for name, long := range map[string]int{"small": 3, "large": 70_000} {
		t.Run(name, func(t *testing.T) {
			span := &tracepb.Span{TraceId: []byte("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"),
				SpanId: []byte("12345678"), Name: "n",
				Kind: tracepb.Span_SPAN_KIND_SERVER, StartTimeUnixNano: 1e18, EndTimeUnixNano: 1e18 + 5, Flags: 0x301,
				Status:     &tracepb.Status{Code: 2, Message: "m"},
				Attributes: []*commonpb.KeyValue{text("k", strings.Repeat("v", long))},
				Events:     []*tracepb.Span_Event{{Name: "e", TimeUnixNano: 1e18 + 1}},
				Links: []*tracepb.Span_Link{{TraceId: []byte("abcdefghijklmnop"), SpanId: []byte("abcdefgh"),
					TraceState: "a=b"}}}
			data := &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "lib", Version: "2"},
				Spans: []*tracepb.Span{span}}}}}}
			var json bytes.Buffer
			if err := (otlpjson.Trace{ID: id, Data: data.GetResourceSpans()}).Write(&json); err != nil {
				t.Fatal(err)
			}
			asJSON := 0
			got, err := traceOf(t, data, `{"trace":`+json.String()+`,"status":"PARTIAL","message":"half of it"}`,
				&asJSON).Trace(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			want, err := query.DecodeTrace(strings.NewReader(`{"trace":`+json.String()+`,"status":"PARTIAL","message":"half of it"}`), id)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if wantJSON := min(1, long/1000); asJSON != wantJSON {
				t.Errorf("read %d times as JSON, want %d", asJSON, wantJSON)
			}
		})
	}
}
