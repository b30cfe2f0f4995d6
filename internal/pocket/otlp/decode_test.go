package otlp_test

import (
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/pocket/otlp"
)

// An export is decoded to what protobuf makes of it, whatever comes.
func FuzzUnmarshal(f *testing.F) {
	value := func(v *commonpb.AnyValue) *commonpb.KeyValue { return &commonpb.KeyValue{Key: "k", Value: v} }
	text := &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: "ü"}}
	span := &tracepb.Span{
		TraceId: []byte("0123456789abcdef"), SpanId: []byte("01234567"), ParentSpanId: []byte("12345678"), TraceState: "a=b", Flags: 257,
		Name: "n", Kind: 2, StartTimeUnixNano: 1, EndTimeUnixNano: 2, DroppedAttributesCount: 3, DroppedEventsCount: 4, DroppedLinksCount: 5,
		Attributes: []*commonpb.KeyValue{{}, {Key: "unset", Value: &commonpb.AnyValue{}}, {Key: "index", KeyStrindex: 3}, value(text),
			value(&commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: -1}}), value(&commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}),
			value(&commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 0.5}}), value(&commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{255}}}),
			value(&commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{text}}}}),
			value(&commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: []*commonpb.KeyValue{value(text)}}}}),
		},
		Events: []*tracepb.Span_Event{{Name: "e"}}, Links: []*tracepb.Span_Link{{TraceState: "c=d"}}, Status: &tracepb.Status{Code: 2, Message: "m"},
	}
	scope := &tracepb.ScopeSpans{SchemaUrl: "s", Scope: &commonpb.InstrumentationScope{Name: "lib"}, Spans: []*tracepb.Span{span, {}, {Status: &tracepb.Status{}}}}
	whole, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{
		{SchemaUrl: "r", Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{value(text)}}, ScopeSpans: []*tracepb.ScopeSpans{scope, {}}}, {},
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	// inside wraps the bytes of a message as the only field of those around it.
	inside := func(b []byte, fields ...protowire.Number) []byte {
		for _, field := range fields {
			b = protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), b)
		}
		return b
	}
	status := inside([]byte{3 << 3, 2}, 15)
	for _, b := range [][]byte{
		nil,
		whole[:len(whole)-1],
		inside(append(status, inside([]byte{2<<3 | 2, 1, 'm'}, 15)...), 2, 2, 1),       // two statuses
		inside([]byte{5<<3 | 2, 1, 0xff}, 2, 2, 1),                                     // a name that is not UTF-8
		inside([]byte{6 << 3, 1, 6 << 3, 0x83, 0}, 2, 2, 1),                            // two kinds, the second longer than needed
		inside([]byte{0xf8, 0xff, 0xff, 0xff, 0x0f, 1}, 2, 2, 1),                       // a field of a later OTLP
		inside([]byte{7 << 3, 1}, 2, 2, 1),                                             // a start of another type
		inside([]byte{1<<3 | 2, 1, 'a', 2 << 3, 1}, 2, 9, 2, 2, 1),                     // two values of one attribute
		inside(append(inside([]byte{1<<3 | 2, 0}, 2), 2<<3|2, 2, 3<<3, 1), 9, 2, 2, 1), // and as messages
		inside([]byte{3 << 3, 1, 3<<3 | 4}, 2, 2, 1),                                   // the end of a group that never began
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want, got coltracepb.ExportTraceServiceRequest
		wantErr := proto.Unmarshal(body, &want)
		gotErr := otlp.Unmarshal(body, &got)
		if (wantErr == nil) != (gotErr == nil) {
			t.Fatalf("error %v, want %v", gotErr, wantErr)
		}
		if wantErr != nil {
			return
		}
		marshal := proto.MarshalOptions{Deterministic: true}
		wantBytes, err := marshal.Marshal(&want)
		if err != nil {
			t.Fatal(err)
		}
		gotBytes, err := marshal.Marshal(&got)
		if err != nil {
			t.Fatal(err)
		}
		if string(wantBytes) != string(gotBytes) {
			t.Fatalf("got %v\nwant %v", &got, &want)
		}
	})
}
