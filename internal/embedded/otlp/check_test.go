package otlp_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/embedded/otlp"
)

// nested returns an attribute of lists, maps, or both alternating, n deep.
func nested(n int, lists, maps bool) []*commonpb.KeyValue {
	v := &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 1}}
	for i := range n {
		if lists && (!maps || i%2 == 0) {
			v = &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{v}}}}
		} else {
			v = &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: []*commonpb.KeyValue{{Key: "k", Value: v}}}}}
		}
	}
	return []*commonpb.KeyValue{{Key: "deep", Value: v}}
}

// send exports over HTTP and returns what was rejected.
func sendHTTP(t *testing.T, s otlp.Spans, kind string, body []byte) (status int, rejected int64, reason string) {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(body))
	req.Header.Set("Content-Type", kind)
	rec := httptest.NewRecorder()
	otlp.New(s, otlp.Options{}).Handler().ServeHTTP(rec, req)
	var resp coltracepb.ExportTraceServiceResponse
	if rec.Code != http.StatusOK {
		return rec.Code, 0, rec.Body.String()
	}
	decode(t, rec, &resp)
	return rec.Code, resp.GetPartialSuccess().GetRejectedSpans(), resp.GetPartialSuccess().GetErrorMessage()
}

// Attributes of all kinds may be nested 64 deep. Spans with deeper ones are rejected, and
// other spans of the export are stored.
func TestNesting(t *testing.T) {
	for _, kinds := range [][2]bool{{true, false}, {false, true}, {true, true}} {
		for _, depth := range []int{64, 65, 1000} {
			attributes := nested(depth, kinds[0], kinds[1])
			for _, place := range []string{"span", "event", "link", "scope", "resource"} {
				good := &tracepb.ResourceSpans{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{TraceId: trace, SpanId: span, Name: "good"}}}}}
				deep := proto.CloneOf(good)
				sp := deep.ScopeSpans[0].Spans[0]
				sp.Name = "deep"
				switch place {
				case "span":
					sp.Attributes = attributes
				case "event":
					sp.Events = []*tracepb.Span_Event{{Attributes: attributes}}
				case "link":
					sp.Links = []*tracepb.Span_Link{{Attributes: attributes}}
				case "scope":
					deep.ScopeSpans[0].Scope = &commonpb.InstrumentationScope{Attributes: attributes}
				case "resource":
					deep.Resource = &resourcepb.Resource{Attributes: attributes}
				}
				export := &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{deep, good}}
				binary, err := proto.Marshal(export)
				if err != nil {
					t.Fatal(err)
				}
				export.ResourceSpans = nil // IDs are not hex in protojson
				for _, batch := range []*tracepb.ResourceSpans{deep, good} {
					for _, s := range batch.ScopeSpans[0].Spans {
						s.TraceId, s.SpanId = base64ID(s.TraceId), base64ID(s.SpanId)
					}
					export.ResourceSpans = append(export.ResourceSpans, batch)
				}
				text, err := protojson.Marshal(export)
				if err != nil {
					t.Fatal(err)
				}
				for kind, body := range map[string][]byte{protobufType: binary, jsonType: text} {
					name := fmt.Sprintf("%v, %d deep, in the %s, %s", kinds, depth, place, kind)
					s := &fakeStore{}
					status, rejected, reason := sendHTTP(t, s, kind, body)
					var names []string
					for _, batch := range s.got {
						for _, sp := range batch.ScopeSpans[0].Spans {
							names = append(names, sp.Name)
						}
					}
					got := fmt.Sprint(status, rejected, names)
					want := "200 0 [deep good]"
					if depth > 64 {
						want = "200 1 [good]"
						if !strings.Contains(reason, `the attribute "deep"`) || !strings.Contains(reason, "nested deeper than 64 levels") {
							t.Errorf("%s: reason %q", name, reason)
						}
					}
					if got != want {
						t.Errorf("%s: got %s, want %s: %s", name, got, want, reason)
					}
				}
			}
		}
	}
}

// A span that is too large to be read again is rejected. Its resource and scope count,
// because they are read with it.
func TestLargeSpans(t *testing.T) {
	const most = 2 << 20
	for name, tt := range map[string]struct {
		resource, span int
		want           string
	}{
		"as large as may be":          {0, most - 200, "200 0 [large good]"},
		"too large":                   {0, most, "200 1 [good]"},
		"too large with its resource": {most / 2, most / 2, "200 1 [good]"},
	} {
		spans := []*tracepb.ResourceSpans{
			{Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{str("r", strings.Repeat("x", tt.resource))}},
				ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{TraceId: trace, SpanId: span, Name: "large", TraceState: strings.Repeat("x", tt.span)}}}}},
			{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{TraceId: trace, SpanId: span, Name: "good"}}}}},
		}
		s := &fakeStore{}
		status, rejected, reason := sendHTTP(t, s, protobufType, marshal(t, spans))
		var names []string
		for _, batch := range s.got {
			for _, sp := range batch.ScopeSpans[0].Spans {
				names = append(names, sp.Name)
			}
		}
		if got := fmt.Sprint(status, rejected, names); got != tt.want {
			t.Errorf("%s: got %s, want %s: %s", name, got, tt.want, reason)
		}
	}
}

// base64ID returns the bytes whose base64 is the hex digits of an ID.
func base64ID(id []byte) []byte {
	b, err := base64.RawStdEncoding.DecodeString(hex.EncodeToString(id))
	if err != nil {
		panic(err)
	}
	return b
}

// Bodies of 16 MiB that consist only of nesting are refused before a decoder's stack is
// exhausted.
func TestBottomlessBodies(t *testing.T) {
	const size = 15 << 20
	// An AnyValue in an ArrayValue in an AnyValue: fields 5 and 1, from the inside.
	var lengths []int
	for n := 0; n < size; {
		n += 1 + protowire.SizeBytes(n) - n
		lengths = append(lengths, n)
	}
	deep := make([]byte, 0, size+100)
	for i := len(lengths) - 2; i >= 0; i-- {
		deep = protowire.AppendVarint(append(deep, []byte{0x2a, 0x0a}[i%2]), uint64(lengths[i]))
	}
	wrap := func(number protowire.Number, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), b)
	}
	proto := wrap(1, wrap(2, wrap(2, wrap(9, wrap(2, deep)))))
	for name, tt := range map[string]struct {
		kind string
		body []byte
	}{
		"protobuf":       {protobufType, proto},
		"groups":         {protobufType, bytes.Repeat([]byte{0x7b}, size)},
		"JSON, lists":    {jsonType, bytes.Repeat([]byte("["), size)},
		"JSON, objects":  {jsonType, []byte(strings.Repeat(`{"resourceSpans":`, 10_000))},
		"JSON, unknown":  {jsonType, []byte(`{"x":` + strings.Repeat("[", size))},
		"JSON, an array": {jsonType, []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"x","value":` + strings.Repeat(`{"arrayValue":{"values":[`, 20_000))},
	} {
		s := &fakeStore{}
		if status, _, text := sendHTTP(t, s, tt.kind, tt.body); status != http.StatusBadRequest && status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: status %d: %.200s", name, status, text)
		}
		if s.got != nil {
			t.Errorf("%s: something was stored", name)
		}
	}
}

// The weight of an attribute list of JSON strings is the memory of its decoded form.
func TestListsOfJSONWeigh(t *testing.T) {
	body := `{"resourceSpans":[{"resource":{"entityRefs":[{"idKeys":[` + strings.Repeat(`"",`, 5_000_000) + `""]}]}}]}`
	if status, _, text := sendHTTP(t, &fakeStore{}, jsonType, []byte(body)); status != http.StatusRequestEntityTooLarge || !strings.Contains(text, "send smaller batches") {
		t.Errorf("status %d: %.200s", status, text)
	}
}
