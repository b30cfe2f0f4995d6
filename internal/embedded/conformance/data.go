package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/contract"
)

// Length is the duration of the data set, from its base on.
const Length = time.Minute

// Base returns the base of a data set that is sent at a moment: the last whole minute that
// is Length ago. Then no data are in the future, servers that search only the last minutes
// find all of them, and steps of up to a minute begin at the same times in each data set.
func Base(now time.Time) time.Time { return now.Add(-Length).Truncate(time.Minute) }

// LargeTrace is the number of spans of the largest trace.
const LargeTrace = 10_000

const (
	internal = tracepb.Span_SPAN_KIND_INTERNAL
	server   = tracepb.Span_SPAN_KIND_SERVER
	client   = tracepb.Span_SPAN_KIND_CLIENT

	statusError = tracepb.Status_STATUS_CODE_ERROR
	statusOK    = tracepb.Status_STATUS_CODE_OK
)

// span is a span of the data set. The first digits of a trace ID identify the trace;
// the rest of the ID is the same in all traces.
type span struct {
	trace      string // its first digits
	id, parent uint64
	service    string
	name       string
	kind       tracepb.Span_SpanKind
	at, took   time.Duration // since the base
	status     tracepb.Status_StatusCode
	attributes []*commonpb.KeyValue
	more       func(*tracepb.Span)
}

// spans returns the spans of the data set without the large trace.
func spans() []span {
	const ms = time.Millisecond
	front, back := contract.ServiceFrontend, contract.ServiceRoller
	fair, risky := text(contract.AttrDieType, contract.DieFair), text(contract.AttrDieType, contract.DieRisky)
	result := func(n int64) *commonpb.KeyValue { return number(contract.AttrDieResult, n) }
	return []span{
		// A roll, and one that fails.
		{trace: "fa", id: 1, service: front, name: contract.SpanFrontendRoll, kind: server, at: 1000 * ms, took: 800 * ms},
		{trace: "fa", id: 2, parent: 1, service: front, name: contract.SpanButtonClick, kind: internal, at: 1001 * ms, took: 790 * ms,
			attributes: attributes(fair, number(contract.AttrRollValue, 4), text(contract.AttrBackendURL, "http://localhost:8101/roll"))},
		{trace: "fa", id: 3, parent: 2, service: front, name: contract.SpanClient, kind: client, at: 1002 * ms, took: 750 * ms,
			attributes: attributes(number("http.response.status_code", 200))},
		{trace: "fa", id: 4, parent: 3, service: back, name: contract.SpanRollerRoll, kind: server, at: 1300 * ms, took: 400 * ms,
			attributes: attributes(fair, result(4), flag(contract.AttrDieError, false))},
		{trace: "fa", id: 5, parent: 4, service: back, name: contract.SpanRoll, kind: internal, at: 1301 * ms, took: 250 * ms, attributes: attributes(fair)},
		{trace: "fb", id: 1, service: front, name: contract.SpanFrontendRoll, kind: server, at: 2000 * ms, took: 1700 * ms, status: statusError},
		{trace: "fb", id: 2, parent: 1, service: front, name: contract.SpanButtonClick, kind: internal, at: 2001 * ms, took: 1650 * ms, status: statusError, attributes: attributes(risky)},
		{trace: "fb", id: 3, parent: 2, service: front, name: contract.SpanClient, kind: client, at: 2002 * ms, took: 1600 * ms, status: statusError,
			attributes: attributes(number("http.response.status_code", 500), text("error.type", "500"))},
		{trace: "fb", id: 4, parent: 3, service: back, name: contract.SpanRollerRoll, kind: server, at: 2300 * ms, took: 900 * ms, status: statusError,
			attributes: attributes(risky, result(7), flag(contract.AttrDieError, true))},
		{trace: "fb", id: 5, parent: 4, service: back, name: contract.SpanRoll, kind: internal, at: 2301 * ms, took: 890 * ms, status: statusError,
			attributes: attributes(risky), more: exception(2400 * ms)},
		// A roll that no user made.
		{trace: "fc", id: 1, service: contract.ServiceTraffic, name: contract.SpanSimulated, kind: client, at: 3000 * ms, took: 300 * ms,
			attributes: attributes(fair, text(contract.AttrSyntheticType, contract.SyntheticTest))},
		{trace: "fc", id: 2, parent: 1, service: back, name: contract.SpanRollerRoll, kind: server, at: 3010 * ms, took: 250 * ms,
			attributes: attributes(fair, result(1), flag(contract.AttrDieError, false))},
		// All fields of a span.
		{trace: "a1", id: 1, service: "types", name: "everything", kind: tracepb.Span_SPAN_KIND_PRODUCER, at: 4000 * ms, took: 10 * ms, status: statusOK, more: everything,
			attributes: attributes(text("text", "value"), text("empty", ""), number("int", -7), number("large", 1<<53+1), float("float", 0.5),
				flag("yes", true), flag("no", false), list("words", "a", "b"), text("with space", "yes"), nested("nested"), octets("octets"))},
		// Beyond ASCII.
		{trace: "a2", id: 1, service: "würfelbude", name: "würfeln 🎲", kind: internal, at: 5000 * ms, took: 20 * ms,
			attributes: attributes(text("farbe", "grün"), text("größe", "riesig"))},
		// Without its root and parents.
		{trace: "a3", id: 4, parent: 3, service: "lost", name: "child", kind: server, at: 6000 * ms, took: 30 * ms},
		{trace: "a3", id: 5, parent: 4, service: "lost", name: "grandchild", kind: internal, at: 6001 * ms, took: 20 * ms},
		{trace: "a3", id: 7, parent: 6, service: "lost", name: "child", kind: server, at: 6002 * ms, took: 20 * ms},
		// Two roots; the first by time comes last here.
		{trace: "a4", id: 2, service: "roots", name: "second root", kind: server, at: 7100 * ms, took: 100 * ms},
		{trace: "a4", id: 3, parent: 2, service: "roots", name: "below the second", kind: internal, at: 7110 * ms, took: 50 * ms},
		{trace: "a4", id: 1, service: "roots", name: "first root", kind: server, at: 7000 * ms, took: 50 * ms},
		{trace: "a4", id: 4, parent: 1, service: "roots", name: "below the first", kind: internal, at: 7010 * ms, took: 20 * ms},
		// A client's ID that the server took for its own span, as Zipkin's tracers do.
		{trace: "a5", id: 1, service: "twice", name: "caller", kind: internal, at: 8000 * ms, took: 100 * ms},
		{trace: "a5", id: 2, parent: 1, service: "twice", name: "shared", kind: client, at: 8010 * ms, took: 60 * ms},
		{trace: "a5", id: 2, parent: 1, service: "twice", name: "shared", kind: server, at: 8020 * ms, took: 40 * ms},
		{trace: "a5", id: 3, parent: 2, service: "twice", name: "below the shared", kind: internal, at: 8030 * ms, took: 10 * ms},
		// A child whose clock is 2 s behind: it ends before its parent begins.
		{trace: "a6", id: 1, service: "skewed", name: "parent", kind: client, at: 11000 * ms, took: 500 * ms},
		{trace: "a6", id: 2, parent: 1, service: "skewed", name: "child", kind: server, at: 9000 * ms, took: 400 * ms},
		// An ID that begins with zeros.
		{trace: "00000000a7", id: 0x00f0, service: "zeros", name: "zeros", kind: server, at: 12000 * ms, took: 5 * ms},
		// No service, no kind, no time.
		{trace: "a8", id: 1, name: "bare", at: 13000 * ms},
		// Outside the time range of most queries, since Tempo has it twice.
		{trace: "a9", id: 1, service: "again", name: "sent twice", kind: server, at: 55_000 * ms, took: 10 * ms},
		{trace: "a9", id: 1, service: "again", name: "sent twice", kind: server, at: 55_000 * ms, took: 10 * ms},
		// At the ends of requests' time ranges, which are whole seconds.
		{trace: "e1", id: 1, service: "edges", name: "before 40", at: 39_000 * ms, took: 999 * ms},
		{trace: "e2", id: 1, service: "edges", name: "into 40", at: 39_500 * ms, took: time.Second},
		{trace: "e3", id: 1, service: "edges", name: "at 40", at: 40_000 * ms, took: 10 * ms},
		{trace: "e4", id: 1, service: "edges", name: "within 42", at: 42_400 * ms, took: 10 * ms},
		{trace: "e5", id: 1, service: "edges", name: "at 44", at: 44_000 * ms, took: 10 * ms},
	}
}

// late returns the spans that are exported after the others: the rest of a trace.
func late() []span {
	const ms = time.Millisecond
	return []span{
		{trace: "a5", id: 4, parent: 3, service: "twice", name: "late", kind: internal, at: 8031 * ms, took: 5 * ms},
	}
}

// large returns a trace of LargeTrace spans: a root, 99 children, and a hundred children of
// each of these.
func large() []span {
	out := []span{{trace: "1a", id: 1, service: "large", name: "root", kind: server, at: 20 * time.Second, took: 10 * time.Second}}
	for i := range uint64(99) {
		id := (i + 1) << 8
		at := 20*time.Second + time.Duration(i)*100*time.Millisecond
		out = append(out, span{trace: "1a", id: id, parent: 1, service: "large", name: "branch", kind: internal, at: at, took: 100 * time.Millisecond})
		for j := range uint64(100) {
			out = append(out, span{trace: "1a", id: id + j + 1, parent: id, service: "large", name: "leaf", kind: internal,
				at: at + time.Duration(j)*time.Millisecond, took: time.Millisecond, attributes: attributes(number("n", int64(i*100+j)))})
		}
	}
	return out
}

// resourceSpans returns spans in OTLP's form, grouped by service.
func resourceSpans(base time.Time, spans []span) []*tracepb.ResourceSpans {
	var out []*tracepb.ResourceSpans
	services := map[string]*tracepb.ScopeSpans{}
	for _, s := range spans {
		scope, known := services[s.service]
		if !known {
			scope = &tracepb.ScopeSpans{Scope: &commonpb.InstrumentationScope{Name: "dicelab/conformance", Version: "1"}}
			services[s.service] = scope
			resource := &resourcepb.Resource{}
			if s.service != "" {
				resource.Attributes = attributes(text("service.name", s.service), text("service.namespace", contract.Namespace))
			}
			out = append(out, &tracepb.ResourceSpans{Resource: resource, ScopeSpans: []*tracepb.ScopeSpans{scope}})
		}
		scope.Spans = append(scope.Spans, s.otlp(base))
	}
	return out
}

func (s span) otlp(base time.Time) *tracepb.Span {
	out := &tracepb.Span{
		TraceId: traceID(s.trace), SpanId: binary.BigEndian.AppendUint64(nil, s.id), Name: s.name, Kind: s.kind,
		StartTimeUnixNano: uint64(base.Add(s.at).UnixNano()), EndTimeUnixNano: uint64(base.Add(s.at + s.took).UnixNano()),
		Attributes: s.attributes,
	}
	if s.parent != 0 {
		out.ParentSpanId = binary.BigEndian.AppendUint64(nil, s.parent)
	}
	if s.status != 0 {
		out.Status = &tracepb.Status{Code: s.status}
	}
	if s.more != nil {
		s.more(out)
		for _, event := range out.Events {
			event.TimeUnixNano += uint64(base.UnixNano()) // events are written as the spans are, since the base
		}
	}
	return out
}

// traceID returns the ID of a trace of the data set by its first digits.
func traceID(first string) []byte {
	const pattern = "0af7651916cd43dd8448eb211c80319c"
	id, err := hex.DecodeString(first + pattern[len(first):])
	if err != nil {
		panic(fmt.Sprintf("trace %q of the data set: %v", first, err)) // a mistake in the data set above
	}
	return id
}

func exception(at time.Duration) func(*tracepb.Span) {
	return func(s *tracepb.Span) {
		s.Status.Message = "the die broke"
		s.Events = []*tracepb.Span_Event{{Name: "exception", TimeUnixNano: uint64(at), Attributes: attributes(text("exception.message", "the die broke"))}}
	}
}

func everything(s *tracepb.Span) {
	s.TraceState, s.Flags = "vendor=value", 0x101
	s.Status.Message = "fine"
	s.DroppedAttributesCount, s.DroppedEventsCount, s.DroppedLinksCount = 1, 2, 3
	s.Events = []*tracepb.Span_Event{
		{Name: "event", TimeUnixNano: uint64(4005 * time.Millisecond), Attributes: attributes(number("n", 1)), DroppedAttributesCount: 4},
		{Name: "bare event", TimeUnixNano: uint64(4006 * time.Millisecond)},
	}
	s.Links = []*tracepb.Span_Link{{
		TraceId: traceID("fa"), SpanId: binary.BigEndian.AppendUint64(nil, 5), TraceState: "other=value",
		Attributes: attributes(text("why", "linked")), DroppedAttributesCount: 5, Flags: 1,
	}}
}

func attributes(list ...*commonpb.KeyValue) []*commonpb.KeyValue { return list }

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: textValue(value)}
}

func textValue(value string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}
}

func number(key string, value int64) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: value}}}
}

func float(key string, value float64) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: value}}}
}

func flag(key string, value bool) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: value}}}
}

func list(key string, values ...string) *commonpb.KeyValue {
	array := &commonpb.ArrayValue{}
	for _, v := range values {
		array.Values = append(array.Values, textValue(v))
	}
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: array}}}
}

func nested(key string) *commonpb.KeyValue {
	pairs := &commonpb.KeyValueList{Values: attributes(text("inner", "deep"))}
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: pairs}}}
}

func octets(key string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{0, 255}}}}
}
