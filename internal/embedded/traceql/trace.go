package traceql

import (
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Span is a span of a trace.
type Span struct {
	*tracepb.Span
	Resource *resourcepb.Resource
	Scope    *commonpb.InstrumentationScope
}

// Trace holds the spans of a trace, and the properties that a query may use. It must not be
// used from several goroutines at once.
type Trace struct {
	Spans                     []Span
	Duration                  time.Duration
	RootName, RootServiceName string
	// Order lists the indexes of the spans in the order in which roots and children are
	// numbered: as they arrived, in Tempo. It is nil for the order of Spans.
	Order []int

	tree *tree // made when it is needed
}

// structure returns the relations of the spans.
func (t *Trace) structure() *tree {
	if t.tree == nil {
		t.tree = newTree(t.Spans, t.Order)
	}
	return t.tree
}

// Value returns the value of a field of the span at an index: nil if it has none, a list if
// several events or links have one.
func (t *Trace) Value(f Field, i int) Value {
	s := t.Spans[i]
	switch f.Scope {
	case SpanScope:
		return lookUp(s.GetAttributes(), f.Name)
	case ResourceScope:
		v := lookUp(s.Resource.GetAttributes(), f.Name)
		if v.Type == TypeNil && f.Name == serviceName {
			return textValue("")
		}
		return v
	case InstrumentationScope:
		return lookUp(s.Scope.GetAttributes(), f.Name)
	case EventScope:
		return each(s.GetEvents(), func(e *tracepb.Span_Event) Value { return lookUp(e.GetAttributes(), f.Name) })
	case LinkScope:
		return each(s.GetLinks(), func(l *tracepb.Span_Link) Value { return lookUp(l.GetAttributes(), f.Name) })
	case Intrinsic:
		return t.intrinsic(f.Name, i)
	}
	for _, scope := range []Scope{SpanScope, ResourceScope} {
		if v := t.Value(Field{scope, f.Name}, i); v.Type != TypeNil {
			return v
		}
	}
	return Value{}
}

func (t *Trace) intrinsic(name string, i int) Value {
	s := t.Spans[i]
	switch name {
	case Name:
		return textValue(s.GetName())
	case Status:
		return statusOf(s.Span)
	case StatusMessage:
		return textValue(s.GetStatus().GetMessage())
	case Kind:
		return Value{Type: TypeKind, Int: int64(s.GetKind())}
	case Duration:
		return duration(took(s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano()))
	case SpanID:
		return idValue(s.GetSpanId())
	case ParentID:
		return idValue(s.GetParentSpanId())
	case TraceID:
		return idValue(s.GetTraceId())
	case TraceDuration:
		return duration(int64(t.Duration))
	case RootName:
		return textValue(t.RootName)
	case RootServiceName:
		return textValue(t.RootServiceName)
	case EventName:
		return each(s.GetEvents(), func(e *tracepb.Span_Event) Value { return textValue(e.GetName()) })
	case EventTime:
		return each(s.GetEvents(), func(e *tracepb.Span_Event) Value {
			return duration(int64(e.GetTimeUnixNano() - s.GetStartTimeUnixNano()))
		})
	case LinkSpanID:
		return each(s.GetLinks(), func(l *tracepb.Span_Link) Value { return idValue(l.GetSpanId()) })
	case LinkTraceID:
		return each(s.GetLinks(), func(l *tracepb.Span_Link) Value { return idValue(l.GetTraceId()) })
	case ScopeName:
		return textValue(s.Scope.GetName())
	case ScopeVersion:
		return textValue(s.Scope.GetVersion())
	case ChildCount:
		return intValue(int64(len(t.structure().children[i])))
	case NestedSetLeft:
		return intValue(t.structure().number(i).left)
	case NestedSetRight:
		return intValue(t.structure().number(i).right)
	case NestedSetParent:
		if len(s.GetParentSpanId()) == 0 {
			return intValue(-1) // of a root, also if the trace is not known
		}
		return intValue(t.structure().number(i).parent)
	}
	return Value{}
}

func duration(n int64) Value { return Value{Type: TypeDuration, Int: n} }

// each returns the values of events or links: nil, one, or a list of them.
func each[T any](list []T, value func(T) Value) Value {
	var all []Value
	for _, e := range list {
		switch v := value(e); v.Type {
		case TypeNil:
		case TypeList:
			all = append(all, v.List...)
		default:
			all = append(all, v)
		}
	}
	return listOf(all, true)
}

func lookUp(kvs []*commonpb.KeyValue, key string) Value {
	for _, kv := range kvs {
		if kv.GetKey() == key {
			return fromAny(kv.GetValue())
		}
	}
	return Value{}
}

// Names calls yield with the attributes of a span, of its resource, scope, events and links.
// It may do so more than once for the same.
func (t *Trace) Names(i int, yield func(Field)) {
	s := t.Spans[i]
	all := func(scope Scope, kvs []*commonpb.KeyValue) {
		for _, kv := range kvs {
			yield(Field{scope, kv.GetKey()})
		}
	}
	all(SpanScope, s.GetAttributes())
	all(ResourceScope, s.Resource.GetAttributes())
	all(InstrumentationScope, s.Scope.GetAttributes())
	for _, e := range s.GetEvents() {
		all(EventScope, e.GetAttributes())
	}
	for _, l := range s.GetLinks() {
		all(LinkScope, l.GetAttributes())
	}
}

// took returns the nanoseconds between start and end, 0 for a span that has no end or ends
// before it starts.
func took(start, end uint64) int64 {
	if end < start {
		return 0
	}
	return int64(end - start)
}
