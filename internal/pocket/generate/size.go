package generate

import (
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// size is a span's as Tempo counts it: OTLP's receivers give every span a status,
// an empty one takes two bytes. It is what [proto.Size] says, which through
// reflection would take longer than all other counting; what is rare is left to
// it.
func size(span *tracepb.Span) int {
	n := sizeOfBytes(span.GetTraceId()) + sizeOfBytes(span.GetSpanId()) + sizeOfBytes(span.GetParentSpanId()) +
		sizeOfText(span.GetTraceState()) + sizeOfText(span.GetName()) + sizeOfVarint(uint64(int64(span.GetKind()))) +
		sizeOfVarint(uint64(span.GetDroppedAttributesCount())) + sizeOfVarint(uint64(span.GetDroppedEventsCount())) + sizeOfVarint(uint64(span.GetDroppedLinksCount())) +
		len(span.ProtoReflect().GetUnknown())
	if span.GetStartTimeUnixNano() != 0 {
		n += 1 + protowire.SizeFixed64()
	}
	if span.GetEndTimeUnixNano() != 0 {
		n += 1 + protowire.SizeFixed64()
	}
	if span.GetFlags() != 0 {
		n += 2 + protowire.SizeFixed32() // the tag of field 16 has two bytes
	}
	for _, kv := range span.GetAttributes() {
		n += sizeOfMessage(sizeOfKeyValue(kv))
	}
	for _, event := range span.GetEvents() {
		n += sizeOfMessage(proto.Size(event))
	}
	for _, link := range span.GetLinks() {
		n += sizeOfMessage(proto.Size(link))
	}
	status := span.GetStatus()
	return n + sizeOfMessage(sizeOfText(status.GetMessage())+sizeOfVarint(uint64(int64(status.GetCode())))+len(status.ProtoReflect().GetUnknown()))
}

func sizeOfKeyValue(kv *commonpb.KeyValue) int {
	n := sizeOfText(kv.GetKey()) + sizeOfVarint(uint64(int64(kv.GetKeyStrindex()))) + len(kv.ProtoReflect().GetUnknown())
	if kv.GetValue() != nil {
		n += sizeOfMessage(sizeOfValue(kv.GetValue()))
	}
	return n
}

func sizeOfValue(v *commonpb.AnyValue) int {
	unknown := len(v.ProtoReflect().GetUnknown())
	switch value := v.GetValue().(type) { // of a oneof, zero is there too
	case *commonpb.AnyValue_StringValue:
		return unknown + sizeOfMessage(len(value.StringValue))
	case *commonpb.AnyValue_BoolValue:
		return unknown + 2
	case *commonpb.AnyValue_IntValue:
		return unknown + 1 + protowire.SizeVarint(uint64(value.IntValue))
	case *commonpb.AnyValue_DoubleValue:
		return unknown + 1 + protowire.SizeFixed64()
	}
	return proto.Size(v)
}

// The sizes of fields with a tag of one byte. But for messages, zero is not sent.

func sizeOfMessage(n int) int { return 1 + protowire.SizeBytes(n) }

func sizeOfText(s string) int {
	if s == "" {
		return 0
	}
	return 1 + protowire.SizeBytes(len(s))
}

func sizeOfBytes(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	return 1 + protowire.SizeBytes(len(b))
}

func sizeOfVarint(n uint64) int {
	if n == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(n)
}
