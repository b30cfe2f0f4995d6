package query

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"dicelab/internal/contract"
	"dicelab/internal/otlpjson"
)

// wireUint is an unsigned 64-bit number, as text (protobuf's JSON) or bare.
type wireUint uint64

func (u *wireUint) UnmarshalJSON(b []byte) error {
	s := string(bytes.Trim(b, `"`))
	if s == "" || s == "null" {
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return fmt.Errorf("decoding number %.40s: want digits", b)
	}
	*u = wireUint(n)
	return nil
}

func (u wireUint) time() time.Time { return unixNano(uint64(u)) }

// unixNano converts nanoseconds since 1970; beyond what fits in an int64 (the year
// 2262) they are clamped.
func unixNano(ns uint64) time.Time {
	return time.Unix(0, int64(min(ns, math.MaxInt64))).UTC()
}

// wireText is an enumeration: its name, or its number as text.
type wireText string

func (t *wireText) UnmarshalJSON(b []byte) error {
	*t = wireText(bytes.Trim(b, `"`))
	return nil
}

// wireAttributes are OTLP's attributes (common.proto, message KeyValue) in JSON.
type wireAttributes []json.RawMessage

func (w wireAttributes) decode() (Attributes, error) {
	kvs := make([]*commonpb.KeyValue, len(w))
	for i, raw := range w {
		kvs[i] = &commonpb.KeyValue{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, kvs[i]); err != nil {
			return nil, fmt.Errorf("decoding attribute %.80s: %w", raw, err)
		}
	}
	return (&interner{}).attributes(kvs), nil
}

// maxElements limits what is kept of one span: this many attributes, events and
// links each, those within others counted too. OpenTelemetry's SDKs keep 128
// (OpenTelemetry specification, Trace SDK, "Span Limits").
const maxElements = 10_000

// DecodeTrace reads a trace from OTLP JSON: what Tempo answers at
// /api/v2/traces and /api/traces, as [otlpjson.Scan] reads it. Spans of other
// traces than id are left out unless id is "", which takes the first span's. A body
// without spans gives a trace without spans.
func DecodeTrace(r io.Reader, id string) (*Trace, error) {
	t := &Trace{ID: id}
	b := newTraceBuilder()
	summary, err := otlpjson.Scan(r, otlpjson.Options{Answer: true, MaxElements: maxElements}, func(in otlpjson.Span) error {
		if t.ID == "" {
			t.ID = hex.EncodeToString(in.GetTraceId())
		}
		if hex.EncodeToString(in.GetTraceId()) == t.ID {
			b.add(t, in)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("decoding a trace: %w", err)
	}
	t.Partial, t.Message = summary.Partial, summary.Message
	b.finish(t)
	return t, nil
}

// DecodeFile reads the traces of a file, the oldest first. A file without a span is
// an error.
func DecodeFile(r io.Reader) ([]*Trace, otlpjson.Summary, error) {
	b := newTraceBuilder()
	byID := map[string]*Trace{}
	var traces []*Trace
	summary, err := otlpjson.Scan(r, otlpjson.Options{MaxElements: maxElements}, func(in otlpjson.Span) error {
		t := byID[string(in.GetTraceId())]
		if t == nil {
			t = &Trace{ID: hex.EncodeToString(in.GetTraceId())}
			byID[string(in.GetTraceId())] = t
			traces = append(traces, t)
		}
		b.add(t, in)
		return nil
	})
	if err != nil {
		return nil, summary, err
	}
	for _, t := range traces {
		t.Partial, t.Message = summary.Partial, summary.Message
		b.finish(t)
	}
	sort.SliceStable(traces, func(i, j int) bool { return traces[i].Spans[0].Start.Before(traces[j].Spans[0].Start) })
	return traces, summary, nil
}

// traceBuilder makes traces of spans as they are read.
type traceBuilder struct {
	scopes map[*Trace][]sharedBy // of each span
	shared map[sharedBy]shared
	interner
}

// sharedBy identifies what several spans have in common, and shared is the part of
// each span that follows from it.
type (
	sharedBy struct {
		resource *tracepb.ResourceSpans
		scope    *tracepb.ScopeSpans
	}
	shared struct {
		service, scope                    string
		resource                          Attributes
		droppedOfResource, droppedOfScope int
	}
)

func newTraceBuilder() *traceBuilder {
	return &traceBuilder{scopes: map[*Trace][]sharedBy{}, shared: map[sharedBy]shared{}}
}

// add adds a span to a trace. Its resource and scope may be read later.
func (b *traceBuilder) add(t *Trace, in otlpjson.Span) {
	b.scopes[t] = append(b.scopes[t], sharedBy{in.Resource, in.Scope})
	t.Spans = append(t.Spans, b.span(in))
}

// finish sets the resources and scopes of a trace's spans, and puts them in
// order.
func (b *traceBuilder) finish(t *Trace) {
	for i, by := range b.scopes[t] {
		s, ok := b.shared[by]
		if !ok {
			s.resource = b.attributes(by.resource.GetResource().GetAttributes())
			if s.service = s.resource.Text(contract.AttrServiceName); s.service == "" {
				s.service = UnknownService
			}
			s.scope = strings.TrimSpace(by.scope.GetScope().GetName() + " " + by.scope.GetScope().GetVersion())
			s.droppedOfResource = int(by.resource.GetResource().GetDroppedAttributesCount())
			s.droppedOfScope = int(by.scope.GetScope().GetDroppedAttributesCount())
			b.shared[by] = s
		}
		t.Spans[i].Service, t.Spans[i].Resource, t.Spans[i].Scope = s.service, s.resource, s.scope
		t.Spans[i].Dropped.Resource, t.Spans[i].Dropped.Scope = s.droppedOfResource, s.droppedOfScope
	}
	sort.SliceStable(t.Spans, func(i, j int) bool {
		a, b := &t.Spans[i], &t.Spans[j]
		if !a.Start.Equal(b.Start) {
			return a.Start.Before(b.Start)
		}
		return a.SpanID < b.SpanID
	})
}

// interner keeps one copy of texts that many spans share.
type interner struct{ texts map[string]string }

func (in *interner) text(s string) string {
	if kept, ok := in.texts[s]; ok {
		return kept
	}
	if in.texts == nil {
		in.texts = map[string]string{}
	}
	if len(in.texts) < 10_000 && len(s) <= 256 {
		in.texts[s] = s
	}
	return s
}

func (in *interner) span(w otlpjson.Span) Span {
	start := unixNano(w.GetStartTimeUnixNano())
	s := Span{
		TraceID: in.text(hex.EncodeToString(w.GetTraceId())), SpanID: hex.EncodeToString(w.GetSpanId()), ParentID: hex.EncodeToString(w.GetParentSpanId()),
		Name: in.text(w.GetName()), Kind: kind(w.GetKind()), Status: status(w.GetStatus().GetCode()),
		StatusMessage: in.text(w.GetStatus().GetMessage()), TraceState: in.text(w.GetTraceState()),
		Start: start, Flags: w.GetFlags(), Attributes: in.attributes(w.GetAttributes()), Cut: w.Cut,
		Dropped: Dropped{Attributes: int(w.GetDroppedAttributesCount()), Events: int(w.GetDroppedEventsCount()), Links: int(w.GetDroppedLinksCount())},
	}
	switch took := unixNano(w.GetEndTimeUnixNano()).Sub(start); {
	case w.GetEndTimeUnixNano() == 0:
		s.Unfinished = true
	case took < 0:
		s.Backwards = -took
	default:
		s.Duration = took
	}
	for _, e := range w.GetEvents() {
		s.Events = append(s.Events, Event{Time: unixNano(e.GetTimeUnixNano()), Name: in.text(e.GetName()), Attributes: in.attributes(e.GetAttributes()),
			Dropped: int(e.GetDroppedAttributesCount())})
	}
	for _, l := range w.GetLinks() {
		s.Links = append(s.Links, Link{TraceID: hex.EncodeToString(l.GetTraceId()), SpanID: hex.EncodeToString(l.GetSpanId()), TraceState: l.GetTraceState(),
			Attributes: in.attributes(l.GetAttributes()), Dropped: int(l.GetDroppedAttributesCount())})
	}
	return s
}

func (in *interner) attributes(kvs []*commonpb.KeyValue) Attributes {
	if len(kvs) == 0 {
		return nil
	}
	out := make(Attributes, len(kvs))
	for i, kv := range kvs {
		out[i] = Attribute{Key: in.text(kv.GetKey()), Value: in.value(kv.GetValue())}
	}
	return out
}

// value converts a value. It is nil for an empty one, which common.proto allows.
func (in *interner) value(v *commonpb.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return in.text(v.StringValue)
	case *commonpb.AnyValue_BoolValue:
		return v.BoolValue
	case *commonpb.AnyValue_IntValue:
		return v.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return v.DoubleValue
	case *commonpb.AnyValue_BytesValue:
		return v.BytesValue
	case *commonpb.AnyValue_ArrayValue:
		out := make([]any, len(v.ArrayValue.GetValues()))
		for i, e := range v.ArrayValue.GetValues() {
			out[i] = in.value(e)
		}
		return out
	case *commonpb.AnyValue_KvlistValue:
		return in.attributes(v.KvlistValue.GetValues())
	}
	return nil
}

func kind(k tracepb.Span_SpanKind) string {
	switch k {
	case tracepb.Span_SPAN_KIND_SERVER:
		return KindServer
	case tracepb.Span_SPAN_KIND_CLIENT:
		return KindClient
	case tracepb.Span_SPAN_KIND_PRODUCER:
		return KindProducer
	case tracepb.Span_SPAN_KIND_CONSUMER:
		return KindConsumer
	case tracepb.Span_SPAN_KIND_INTERNAL:
		return KindInternal
	case tracepb.Span_SPAN_KIND_UNSPECIFIED:
		return KindUnspecified
	}
	return fmt.Sprintf("%s (%d)", KindUnspecified, k) // a number that OTLP does not have
}

func status(code tracepb.Status_StatusCode) string {
	switch code {
	case tracepb.Status_STATUS_CODE_OK:
		return StatusOK
	case tracepb.Status_STATUS_CODE_ERROR:
		return StatusError
	}
	return StatusUnset
}
