package telemetry

import (
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of OTLP's messages (opentelemetry/proto/trace/v1/trace.proto,
// resource.proto and common.proto).
const (
	fieldResource   protowire.Number = 1 // ResourceSpans
	fieldScopeSpans protowire.Number = 2
	fieldSchemaURL  protowire.Number = 3 // and of ScopeSpans

	fieldAttributes protowire.Number = 1 // Resource

	fieldScope protowire.Number = 1 // ScopeSpans
	fieldSpans protowire.Number = 2

	fieldScopeName    protowire.Number = 1 // InstrumentationScope
	fieldScopeVersion protowire.Number = 2
	fieldScopeAttrs   protowire.Number = 3

	fieldTraceID      protowire.Number = 1 // Span
	fieldSpanID       protowire.Number = 2
	fieldTraceState   protowire.Number = 3
	fieldParentSpanID protowire.Number = 4
	fieldName         protowire.Number = 5
	fieldKind         protowire.Number = 6
	fieldStart        protowire.Number = 7
	fieldEnd          protowire.Number = 8
	fieldSpanAttrs    protowire.Number = 9
	fieldDroppedAttrs protowire.Number = 10
	fieldEvents       protowire.Number = 11
	fieldDroppedEvent protowire.Number = 12
	fieldStatus       protowire.Number = 15
	fieldFlags        protowire.Number = 16

	fieldEventTime    protowire.Number = 1 // Event
	fieldEventName    protowire.Number = 2
	fieldEventAttrs   protowire.Number = 3
	fieldEventDropped protowire.Number = 4

	fieldStatusMessage protowire.Number = 2 // Status
	fieldStatusCode    protowire.Number = 3

	fieldKey   protowire.Number = 1 // KeyValue
	fieldValue protowire.Number = 2

	fieldString protowire.Number = 1 // AnyValue
	fieldBool   protowire.Number = 2
	fieldInt    protowire.Number = 3
	fieldDouble protowire.Number = 4
	fieldArray  protowire.Number = 5

	fieldArrayValues protowire.Number = 1 // ArrayValue
)

// appendResourceSpans encodes spans of one resource as an OTLP ResourceSpans.
// It reports false where they have something that it does not know: links, or
// attributes of rare types.
//
// The SDK's exporter builds a tree of messages of each batch first, some 150
// allocations for a roll; this writes bytes.
func appendResourceSpans(b []byte, spans []sdktrace.ReadOnlySpan) (_ []byte, ok bool) {
	resource := spans[0].Resource()
	ok = true
	b, at := openMessage(b, fieldResource)
	for iter := resource.Iter(); iter.Next(); {
		b, ok = appendAttribute(b, fieldAttributes, iter.Attribute(), ok)
	}
	b = closeMessage(b, at)
	scopes, of := scopesOf(spans)
	for n, scope := range scopes {
		b, at = openMessage(b, fieldScopeSpans)
		b, ok = appendScope(b, scope, ok)
		for i, span := range spans {
			if of[i] == n {
				b, ok = appendSpan(b, span, ok)
			}
		}
		b = appendString(b, fieldSchemaURL, scope.SchemaURL)
		b = closeMessage(b, at)
	}
	return appendString(b, fieldSchemaURL, resource.SchemaURL()), ok
}

// scopesOf finds the scopes of spans, and which of them each span has.
func scopesOf(spans []sdktrace.ReadOnlySpan) (scopes []instrumentation.Scope, of []int) {
	of = make([]int, len(spans))
	for i, span := range spans {
		scope := span.InstrumentationScope()
		if of[i] = slices.Index(scopes, scope); of[i] < 0 {
			of[i] = len(scopes)
			scopes = append(scopes, scope)
		}
	}
	return scopes, of
}

func appendScope(b []byte, scope instrumentation.Scope, ok bool) ([]byte, bool) {
	if scope == (instrumentation.Scope{}) {
		return b, ok
	}
	b, at := openMessage(b, fieldScope)
	b = appendString(b, fieldScopeName, scope.Name)
	b = appendString(b, fieldScopeVersion, scope.Version)
	for iter := scope.Attributes.Iter(); iter.Next(); {
		b, ok = appendAttribute(b, fieldScopeAttrs, iter.Attribute(), ok)
	}
	return closeMessage(b, at), ok
}

func appendSpan(b []byte, span sdktrace.ReadOnlySpan, ok bool) ([]byte, bool) {
	sc, parent := span.SpanContext(), span.Parent()
	traceID, spanID, parentID := sc.TraceID(), sc.SpanID(), parent.SpanID()
	b, at := openMessage(b, fieldSpans)
	b = appendBytes(b, fieldTraceID, traceID[:])
	b = appendBytes(b, fieldSpanID, spanID[:])
	b = appendString(b, fieldTraceState, sc.TraceState().String())
	if parentID.IsValid() {
		b = appendBytes(b, fieldParentSpanID, parentID[:])
	}
	b = appendString(b, fieldName, span.Name())
	b = appendVarint(b, fieldKind, spanKind(span.SpanKind()))
	b = appendTime(b, fieldStart, span.StartTime())
	b = appendTime(b, fieldEnd, span.EndTime())
	for _, kv := range span.Attributes() {
		b, ok = appendAttribute(b, fieldSpanAttrs, kv, ok)
	}
	b = appendVarint(b, fieldDroppedAttrs, uint64(span.DroppedAttributes()))
	for _, event := range span.Events() {
		b, ok = appendEvent(b, event, ok)
	}
	b = appendVarint(b, fieldDroppedEvent, uint64(span.DroppedEvents()))
	ok = ok && len(span.Links()) == 0 && span.DroppedLinks() == 0
	b = appendStatus(b, span.Status())
	// Whether the parent is remote is always known (trace.proto, SpanFlags).
	flags := uint32(sc.TraceFlags()) | uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)
	if parent.IsRemote() {
		flags |= uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
	}
	b = protowire.AppendTag(b, fieldFlags, protowire.Fixed32Type)
	return closeMessage(protowire.AppendFixed32(b, flags), at), ok
}

func appendEvent(b []byte, event sdktrace.Event, ok bool) ([]byte, bool) {
	b, at := openMessage(b, fieldEvents)
	b = appendTime(b, fieldEventTime, event.Time)
	b = appendString(b, fieldEventName, event.Name)
	for _, kv := range event.Attributes {
		b, ok = appendAttribute(b, fieldEventAttrs, kv, ok)
	}
	b = appendVarint(b, fieldEventDropped, uint64(event.DroppedAttributeCount))
	return closeMessage(b, at), ok
}

func appendStatus(b []byte, status sdktrace.Status) []byte {
	b, at := openMessage(b, fieldStatus)
	b = appendString(b, fieldStatusMessage, status.Description)
	switch status.Code {
	case codes.Ok:
		b = appendVarint(b, fieldStatusCode, uint64(tracepb.Status_STATUS_CODE_OK))
	case codes.Error:
		b = appendVarint(b, fieldStatusCode, uint64(tracepb.Status_STATUS_CODE_ERROR))
	}
	return closeMessage(b, at)
}

func spanKind(kind trace.SpanKind) uint64 {
	switch kind {
	case trace.SpanKindInternal:
		return uint64(tracepb.Span_SPAN_KIND_INTERNAL)
	case trace.SpanKindServer:
		return uint64(tracepb.Span_SPAN_KIND_SERVER)
	case trace.SpanKindClient:
		return uint64(tracepb.Span_SPAN_KIND_CLIENT)
	case trace.SpanKindProducer:
		return uint64(tracepb.Span_SPAN_KIND_PRODUCER)
	case trace.SpanKindConsumer:
		return uint64(tracepb.Span_SPAN_KIND_CONSUMER)
	default:
		return uint64(tracepb.Span_SPAN_KIND_UNSPECIFIED)
	}
}

// appendAttribute takes and gives ok, so that one unknown value in a batch is
// remembered to the end.
func appendAttribute(b []byte, field protowire.Number, kv attribute.KeyValue, ok bool) ([]byte, bool) {
	b, at := openMessage(b, field)
	b = appendString(b, fieldKey, string(kv.Key))
	b, value := openMessage(b, fieldValue)
	switch kv.Value.Type() {
	case attribute.STRING:
		b = appendText(b, fieldString, kv.Value.AsString())
	case attribute.BOOL:
		b = protowire.AppendTag(b, fieldBool, protowire.VarintType)
		b = protowire.AppendVarint(b, protowire.EncodeBool(kv.Value.AsBool()))
	case attribute.INT64:
		b = protowire.AppendTag(b, fieldInt, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(kv.Value.AsInt64()))
	case attribute.FLOAT64:
		b = protowire.AppendTag(b, fieldDouble, protowire.Fixed64Type)
		b = protowire.AppendFixed64(b, math.Float64bits(kv.Value.AsFloat64()))
	case attribute.STRINGSLICE:
		b = appendStrings(b, kv.Value.AsStringSlice())
	default:
		ok = false
	}
	return closeMessage(closeMessage(b, value), at), ok
}

func appendStrings(b []byte, list []string) []byte {
	b, at := openMessage(b, fieldArray)
	for _, s := range list {
		var value int
		b, value = openMessage(b, fieldArrayValues)
		b = closeMessage(appendText(b, fieldString, s), value)
	}
	return closeMessage(b, at)
}

// openMessage begins a message inside a message. Its length is known when it is
// closed, at what openMessage gives; there is room for one below 128.
func openMessage(b []byte, field protowire.Number) (_ []byte, at int) {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = append(b, 0)
	return b, len(b)
}

// closeMessage writes the length of the message that was opened at at.
func closeMessage(b []byte, at int) []byte {
	n := len(b) - at
	if n < 1<<7 {
		b[at-1] = byte(n)
		return b
	}
	size := protowire.SizeVarint(uint64(n))
	b = append(b, "----------"[:size-1]...)
	copy(b[at-1+size:], b[at:at+n])
	protowire.AppendVarint(b[:at-1], uint64(n))
	return b
}

// The functions below leave out what has its default value, as proto3 does.

func appendString(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return appendText(b, field, s)
}

// appendText writes a string even if it is empty, as a member of a oneof needs.
// One that is not UTF-8, such as a header can be, would make the receiver refuse
// the whole batch.
func appendText(b []byte, field protowire.Number, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, s)
}

func appendBytes(b []byte, field protowire.Number, p []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, p)
}

func appendVarint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

func appendTime(b []byte, field protowire.Number, t time.Time) []byte {
	ns := max(0, t.UnixNano())
	if ns == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, uint64(ns))
}
