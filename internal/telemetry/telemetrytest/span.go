package telemetrytest

import (
	"encoding/hex"
	"strings"
	"time"

	"dicelab/internal/contract"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Span is one span as it came over the wire.
type Span struct {
	Service       string // resource attribute service.name
	Scope         string // name of the instrumentation
	Name          string
	Kind          string // INTERNAL, SERVER, CLIENT, PRODUCER or CONSUMER
	TraceID       string // 32 hex digits
	SpanID        string // 16 hex digits
	ParentID      string // 16 hex digits; "" for a root
	TraceState    string // header tracestate
	Start, End    time.Time
	Status        string // Unset, Ok or Error, as the API spells them
	StatusMessage string
	Attributes    map[string]any // string, bool, int64, float64 or []any of these
	Events        []Event
	Resource      map[string]any
}

// Event is something that happened during a span; an exception is one.
type Event struct {
	Name       string
	Time       time.Time
	Attributes map[string]any
}

func flatten(list []*tracepb.ResourceSpans) []Span {
	var spans []Span
	for _, rs := range list {
		resource := attributes(rs.GetResource().GetAttributes())
		service, _ := resource[contract.AttrServiceName].(string)
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				span := newSpan(s)
				span.Service, span.Scope, span.Resource = service, ss.GetScope().GetName(), resource
				spans = append(spans, span)
			}
		}
	}
	return spans
}

func newSpan(s *tracepb.Span) Span {
	span := Span{
		Name:          s.GetName(),
		Kind:          strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_"),
		TraceID:       hex.EncodeToString(s.GetTraceId()),
		SpanID:        hex.EncodeToString(s.GetSpanId()),
		ParentID:      hex.EncodeToString(s.GetParentSpanId()),
		TraceState:    s.GetTraceState(),
		Start:         unixNano(s.GetStartTimeUnixNano()),
		End:           unixNano(s.GetEndTimeUnixNano()),
		Status:        statusName(s.GetStatus().GetCode()),
		StatusMessage: s.GetStatus().GetMessage(),
		Attributes:    attributes(s.GetAttributes()),
	}
	for _, e := range s.GetEvents() {
		span.Events = append(span.Events, Event{Name: e.GetName(), Time: unixNano(e.GetTimeUnixNano()), Attributes: attributes(e.GetAttributes())})
	}
	return span
}

func statusName(code tracepb.Status_StatusCode) string {
	switch code {
	case tracepb.Status_STATUS_CODE_OK:
		return "Ok"
	case tracepb.Status_STATUS_CODE_ERROR:
		return "Error"
	default:
		return "Unset"
	}
}

func unixNano(n uint64) time.Time { return time.Unix(0, int64(n)).UTC() }

func attributes(list []*commonpb.KeyValue) map[string]any {
	m := make(map[string]any, len(list))
	for _, kv := range list {
		m[kv.GetKey()] = value(kv.GetValue())
	}
	return m
}

func value(v *commonpb.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_BoolValue:
		return v.BoolValue
	case *commonpb.AnyValue_IntValue:
		return v.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return v.DoubleValue
	case *commonpb.AnyValue_ArrayValue:
		list := make([]any, 0, len(v.ArrayValue.GetValues()))
		for _, element := range v.ArrayValue.GetValues() {
			list = append(list, value(element))
		}
		return list
	default:
		return nil
	}
}
