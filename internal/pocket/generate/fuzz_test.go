package generate_test

import (
	"math"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/pocket/generate"
)

// The size of a span is protobuf's, with a status.
func FuzzSize(f *testing.F) {
	for _, span := range []*tracepb.Span{
		{},
		{TraceId: make([]byte, 16), SpanId: make([]byte, 8), ParentSpanId: make([]byte, 8), TraceState: "a=b", Flags: 257, Name: "n", Kind: 2,
			StartTimeUnixNano: 1, EndTimeUnixNano: 2, DroppedAttributesCount: 3, DroppedEventsCount: 400, DroppedLinksCount: 5, Status: &tracepb.Status{Code: 2, Message: "m"},
			Events: []*tracepb.Span_Event{{Name: "e"}, {}}, Links: []*tracepb.Span_Link{{TraceState: "c=d"}}},
		{Kind: -1, Status: &tracepb.Status{Code: -1}, Attributes: []*commonpb.KeyValue{
			{}, {Key: "unset", Value: &commonpb.AnyValue{}}, {Key: "index", KeyStrindex: -3},
			{Key: "s", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{}}}, {Key: "b", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{}}},
			{Key: "i", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: math.MinInt64}}}, {Key: "0", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{}}},
			{Key: "d", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{}}}, {Key: "x", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{1}}}},
			{Key: "l", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{{}}}}}},
		}},
	} {
		b, err := proto.Marshal(span)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		span := &tracepb.Span{}
		if proto.Unmarshal(b, span) != nil {
			return
		}
		want := proto.CloneOf(span)
		if want.Status == nil {
			want.Status = &tracepb.Status{}
		}
		if got := generate.Size(span); got != proto.Size(want) {
			t.Errorf("%v has size %d, want %d", span, got, proto.Size(want))
		}
	})
}
