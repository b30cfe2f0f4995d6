package store_test

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/store"
)

func str(k, v string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: k, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}}
}

func integer(k string, v int64) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: k, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: v}}}
}

func double(k string, v float64) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: k, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: v}}}
}

func boolean(k string, v bool) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: k, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: v}}}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func traceID(t *testing.T, s string) store.TraceID { return store.TraceID(unhex(t, s)) }

func from(service, scope string, spans ...*tracepb.Span) *tracepb.ResourceSpans {
	return &tracepb.ResourceSpans{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{str(store.AttrServiceName, service), integer("process.pid", 7)}},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: scope, Version: "1"}, Spans: spans}},
	}
}

// All fields of a span in OTLP are returned.
func TestSpansLoseNothing(t *testing.T) {
	trace, id := unhex(t, traceB), unhex(t, spanA)
	minimal := &tracepb.Span{TraceId: trace, SpanId: id}
	tests := []struct {
		name  string
		batch *tracepb.ResourceSpans
	}{
		{name: "minimal, without resource and scope", batch: &tracepb.ResourceSpans{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{minimal}}}}},
		{name: "everything", batch: &tracepb.ResourceSpans{
			SchemaUrl: "https://opentelemetry.io/schemas/1.37.0",
			Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{str(store.AttrServiceName, contract.ServiceRoller), double("x", math.NaN())},
				DroppedAttributesCount: 3},
			ScopeSpans: []*tracepb.ScopeSpans{{
				SchemaUrl: "https://opentelemetry.io/schemas/1.36.0",
				Scope:     &commonpb.InstrumentationScope{Name: "s", Version: "2", Attributes: []*commonpb.KeyValue{boolean("b", true)}, DroppedAttributesCount: 1},
				Spans: []*tracepb.Span{{
					TraceId: trace, SpanId: id, ParentSpanId: unhex(t, spanB), TraceState: "a=1,b=2", Flags: 0x301,
					Name: contract.SpanRollerRoll, Kind: tracepb.Span_SPAN_KIND_SERVER,
					StartTimeUnixNano: uint64(epoch.UnixNano()), EndTimeUnixNano: uint64(epoch.UnixNano()) + 123456789,
					Attributes: []*commonpb.KeyValue{
						str("plain", "a"), str("hostile", "</script>\"\\\x00\u2028ü\n"), str("", "empty key"), str("empty", ""),
						integer("min", math.MinInt64), integer("max", math.MaxInt64), integer("zero", 0),
						double("whole", 3), double("zero", 0), double("minus zero", math.Copysign(0, -1)), double("big", 1e300), double("small", 5e-324), double("third", 1./3),
						boolean("t", true), boolean("f", false),
						{Key: "list", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{str("", "x").Value, integer("", 1).Value}}}}},
						{Key: "empty list", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{}}}},
						{Key: "map", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: []*commonpb.KeyValue{str("k", "v"), double("d", 2)}}}}},
						{Key: "empty map", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{}}}},
					},
					DroppedAttributesCount: 1, DroppedEventsCount: 2, DroppedLinksCount: 3,
					Events: []*tracepb.Span_Event{{TimeUnixNano: 5, Name: "exception", Attributes: []*commonpb.KeyValue{str("exception.message", "boom")}, DroppedAttributesCount: 4}},
					Links:  []*tracepb.Span_Link{{TraceId: unhex(t, traceA), SpanId: id, TraceState: "c=3", Flags: 1, Attributes: []*commonpb.KeyValue{str("l", "1")}}},
					Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "the risky die broke"},
				}},
			}},
		}},
		{name: "attributes that JSON cannot express", batch: from("s", "", &tracepb.Span{TraceId: trace, SpanId: id, Attributes: []*commonpb.KeyValue{
			double("inf", math.Inf(1)), {Key: "bytes", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{0, 255}}}},
			{Key: "unset", Value: &commonpb.AnyValue{}}, {Key: "nothing"}, str("twice", "1"), str("twice", "2"),
		}})},
		{name: "status without code", batch: from("s", "", &tracepb.Span{TraceId: trace, SpanId: id, Status: &tracepb.Status{}})},
		{name: "status ok", batch: from("s", "", &tracepb.Span{TraceId: trace, SpanId: id, Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_OK}})},
		{name: "status and kind of a later OTLP", batch: from("s", "", &tracepb.Span{TraceId: trace, SpanId: id, Kind: 17, Status: &tracepb.Status{Code: 9}})},
		{name: "end before start", batch: from("s", "", &tracepb.Span{TraceId: trace, SpanId: id, StartTimeUnixNano: 10, EndTimeUnixNano: 4})},
		{name: "times that no clock shows", batch: from("s", "", &tracepb.Span{TraceId: trace, SpanId: id, StartTimeUnixNano: math.MaxUint64, EndTimeUnixNano: 1})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, t.TempDir(), store.Options{})
			want := proto.CloneOf(tt.batch)
			if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{tt.batch}); err != nil {
				t.Fatal(err)
			}
			got, err := s.Trace(t.Context(), traceID(t, traceB))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]*tracepb.ResourceSpans{want}, got.ResourceSpans(), protocmp.Transform(), equateNaN()); diff != "" {
				t.Errorf("trace (-want +got):\n%s", diff)
			}
		})
	}
}

// equateNaN makes two NaNs equal, unlike protobuf's own comparison.
func equateNaN() cmp.Option {
	return cmp.FilterValues(func(a, b float64) bool { return math.IsNaN(a) && math.IsNaN(b) }, cmp.Comparer(func(float64, float64) bool { return true }))
}

func TestTrace(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	at := func(ms int) uint64 { return uint64(epoch.UnixNano()) + uint64(ms)*1e6 }
	span := func(id string, parent string, start, end int) *tracepb.Span {
		sp := &tracepb.Span{TraceId: unhex(t, traceB), SpanId: unhex(t, id), Name: id, StartTimeUnixNano: at(start), EndTimeUnixNano: at(end)}
		if parent != "" {
			sp.ParentSpanId = unhex(t, parent)
		}
		return sp
	}
	// The child's batch comes first, the root's twice, as after a retry.
	child := from(contract.ServiceRoller, "a", span(spanB, spanA, 5, 40))
	root := from(contract.ServiceFrontend, "a", span(spanA, "", 0, 20))
	second := from(contract.ServiceFrontend, "b", span("b7ad6b7169203333", spanA, 1, 2))
	for _, batch := range []*tracepb.ResourceSpans{child, root, root, second} {
		if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{batch}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Trace(t.Context(), traceID(t, traceB))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, sp := range got.Spans {
		names = append(names, sp.GetName()+" of "+sp.Source.Service)
	}
	want := []string{spanA + " of " + contract.ServiceFrontend, "b7ad6b7169203333 of " + contract.ServiceFrontend, spanB + " of " + contract.ServiceRoller}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("spans by start, each once (-want +got):\n%s", diff)
	}
	if r, ok := got.Root(); !ok || r.GetName() != spanA {
		t.Errorf("root %v, %v", r.GetName(), ok)
	}
	if start, end := got.Bounds(); start != at(0) || end != at(40) {
		t.Errorf("bounds %d to %d, want %d to %d", start, end, at(0), at(40))
	}
	// Both scopes of the front end under one resource.
	frontend := proto.CloneOf(root)
	frontend.ScopeSpans = append(frontend.ScopeSpans, second.ScopeSpans...)
	if diff := cmp.Diff([]*tracepb.ResourceSpans{frontend, child}, got.ResourceSpans(), protocmp.Transform()); diff != "" {
		t.Errorf("OTLP (-want +got):\n%s", diff)
	}
	unknown, err := s.Trace(t.Context(), traceID(t, traceA))
	if err != nil || len(unknown.Spans) != 0 {
		t.Errorf("unknown trace: %v, %v", unknown, err)
	}
}

func TestAppendSpansRefusesIDs(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	good := &tracepb.Span{TraceId: unhex(t, traceA), SpanId: unhex(t, spanA)}
	bad := &tracepb.Span{TraceId: unhex(t, traceA)[:8], SpanId: unhex(t, spanA), Name: "short"}
	err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", good, bad)})
	if want := `storing span "short": its trace ID has 8 bytes and its span ID 8: they must have 16 and 8`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if got, err := s.Trace(t.Context(), traceID(t, traceA)); err != nil || len(got.Spans) != 0 {
		t.Errorf("a part was stored: %v, %v", got, err)
	}
}

// Similar spans share their common parts. Their differences are neither lost nor mixed up.
func TestSpansThatAreAlike(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, store.Options{})
	random := rand.New(rand.NewPCG(3, 4))
	list := func(values ...*commonpb.AnyValue) *commonpb.AnyValue {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: values}}}
	}
	kvlist := func(kvs ...*commonpb.KeyValue) *commonpb.AnyValue {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: kvs}}}
	}
	values := []*commonpb.AnyValue{
		str("", "a").Value, str("", "{").Value, str("", `"],[\`).Value, integer("", 1).Value, integer("", 2).Value, double("", 1).Value, boolean("", true).Value,
		list(str("", "]").Value), list(), list(kvlist(str("k", "1"))), list(kvlist(str("k", "2"))), kvlist(), kvlist(str("k", "1")), kvlist(str("l", "1")), {},
		double("", math.NaN()).Value,
	}
	want := map[string]*tracepb.Span{}
	batch := from("s", "")
	for i := range 3000 {
		id := fmt.Appendf(nil, "trace %010d", random.IntN(1000))
		span := &tracepb.Span{TraceId: id, SpanId: fmt.Appendf(nil, "%08d", i), Name: fmt.Sprint(i % 2), Flags: uint32(random.IntN(2)),
			StartTimeUnixNano: uint64(epoch.UnixNano() + random.Int64N(int64(3*time.Minute)))}
		for _, key := range []string{"a", `b"`, "c", "d", "e"} {
			if random.IntN(10) > 0 {
				value := values[0]
				if random.IntN(10) == 0 {
					value = values[random.IntN(len(values))]
				}
				span.Attributes = append(span.Attributes, &commonpb.KeyValue{Key: key, Value: value})
			}
		}
		if random.IntN(20) == 0 {
			span.Attributes = append(span.Attributes, str("a", "again"))
		}
		if random.IntN(20) == 0 {
			span.Status = &tracepb.Status{Code: 2, Message: "m"}
		}
		want[string(span.SpanId)] = span
		batch.ScopeSpans[0].Spans = append(batch.ScopeSpans[0].Spans, span)
	}
	if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{batch}); err != nil {
		t.Fatal(err)
	}
	found, err := s.Search(t.Context(), store.SearchQuery{Limit: 5000, Match: func(store.Trace) []int { return []int{0} }})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]*tracepb.Span{}
	for _, trace := range found.Traces {
		for _, span := range trace.Spans {
			got[string(span.SpanId)] = span.Span
		}
	}
	if diff := cmp.Diff(want, got, protocmp.Transform(), equateNaN()); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
}
