package otlp

import (
	"math"
	"unicode/utf8"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// unmarshal decodes an export as [proto.Unmarshal] does, which stays the judge:
// whatever is not as SDKs send it every day is left to it. A span has some ten
// attributes of four messages and two strings each; here these come from slabs,
// and texts are parts of one copy of the body. The request keeps the body, which
// must not be changed.
func unmarshal(body []byte, req *coltracepb.ExportTraceServiceRequest) error {
	d := decoder{body: body, text: string(body)}
	if list, ok := d.export(body); ok {
		req.ResourceSpans = list
		return nil
	}
	return proto.Unmarshal(body, req)
}

// decoder decodes the messages of one export. Its methods report false where
// protobuf's own decoder has to decide.
type decoder struct {
	body []byte
	text string // body

	spans    slab[tracepb.Span]
	statuses slab[tracepb.Status]
	kvs      slab[commonpb.KeyValue]
	values   slab[commonpb.AnyValue]
	strings  slab[commonpb.AnyValue_StringValue]
	ints     slab[commonpb.AnyValue_IntValue]
	bools    slab[commonpb.AnyValue_BoolValue]
	doubles  slab[commonpb.AnyValue_DoubleValue]
	pointers slab[*commonpb.KeyValue]

	scratch []*commonpb.KeyValue
}

// slab hands out values that were allocated together.
type slab[T any] struct{ free []T }

const slabSize = 128

func (s *slab[T]) next() *T { return &s.take(1)[0] }

func (s *slab[T]) take(n int) []T {
	if len(s.free) < n {
		s.free = make([]T, max(n, slabSize))
	}
	taken := s.free[:n:n]
	s.free = s.free[n:]
	return taken
}

// wire is a field of a message: data of a field of bytes, number of any other.
type wire struct {
	field  protowire.Number
	kind   protowire.Type
	data   []byte
	number uint64
}

// next takes a field off the message.
func next(b []byte) (f wire, rest []byte, ok bool) {
	tag, n := varint(b)
	if n <= 0 || tag>>3 == 0 || tag>>3 > uint64(protowire.MaxValidNumber) {
		return f, nil, false
	}
	f.field, f.kind, b = protowire.Number(tag>>3), protowire.Type(tag&7), b[n:]
	switch f.kind {
	case protowire.VarintType:
		f.number, n = varint(b)
	case protowire.Fixed64Type:
		f.number, n = protowire.ConsumeFixed64(b)
	case protowire.Fixed32Type:
		var number uint32
		number, n = protowire.ConsumeFixed32(b)
		f.number = uint64(number)
	case protowire.BytesType:
		length, at := varint(b)
		if at <= 0 || length > uint64(len(b)-at) {
			return f, nil, false
		}
		n = at + int(length)
		f.data = b[at:n]
	default:
		return f, nil, false
	}
	if n <= 0 {
		return f, nil, false
	}
	return f, b[n:], true
}

func varint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}

// string gives the text of a part of the body.
func (d *decoder) string(part []byte) (string, bool) {
	at := cap(d.body) - cap(part) // every part reaches as far as the body
	return d.text[at : at+len(part)], utf8.Valid(part)
}

func (d *decoder) export(b []byte) (list []*tracepb.ResourceSpans, ok bool) {
	for len(b) > 0 {
		var f wire
		if f, b, ok = next(b); !ok || f.field != 1 || f.kind != protowire.BytesType {
			return nil, false
		}
		resource, ok := d.resourceSpans(f.data)
		if !ok {
			return nil, false
		}
		list = append(list, resource)
	}
	return list, true
}

func (d *decoder) resourceSpans(b []byte) (r *tracepb.ResourceSpans, ok bool) {
	r = &tracepb.ResourceSpans{}
	for len(b) > 0 {
		var f wire
		if f, b, ok = next(b); !ok || f.kind != protowire.BytesType {
			return nil, false
		}
		switch {
		case f.field == 1 && r.Resource == nil:
			r.Resource = &resourcepb.Resource{}
			ok = proto.Unmarshal(f.data, r.Resource) == nil
		case f.field == 2:
			var scope *tracepb.ScopeSpans
			scope, ok = d.scopeSpans(f.data)
			r.ScopeSpans = append(r.ScopeSpans, scope)
		case f.field == 3:
			r.SchemaUrl, ok = d.string(f.data)
		default:
			return nil, false
		}
		if !ok {
			return nil, false
		}
	}
	return r, true
}

func (d *decoder) scopeSpans(b []byte) (s *tracepb.ScopeSpans, ok bool) {
	s = &tracepb.ScopeSpans{}
	for len(b) > 0 {
		var f wire
		if f, b, ok = next(b); !ok || f.kind != protowire.BytesType {
			return nil, false
		}
		switch {
		case f.field == 1 && s.Scope == nil:
			s.Scope = &commonpb.InstrumentationScope{}
			ok = proto.Unmarshal(f.data, s.Scope) == nil
		case f.field == 2:
			var span *tracepb.Span
			span, ok = d.span(f.data)
			s.Spans = append(s.Spans, span)
		case f.field == 3:
			s.SchemaUrl, ok = d.string(f.data)
		default:
			return nil, false
		}
		if !ok {
			return nil, false
		}
	}
	return s, true
}

// shape joins a field's number and type, so that one switch decides on both.
func shape(field protowire.Number, kind protowire.Type) int { return int(field)<<3 | int(kind) }

const (
	bytesOf   = int(protowire.BytesType)
	varintOf  = int(protowire.VarintType)
	fixed64Of = int(protowire.Fixed64Type)
	fixed32Of = int(protowire.Fixed32Type)
)

func (d *decoder) span(b []byte) (s *tracepb.Span, ok bool) {
	s = d.spans.next()
	attributes := d.scratch[:0]
	for len(b) > 0 {
		var f wire
		if f, b, ok = next(b); !ok {
			return nil, false
		}
		switch shape(f.field, f.kind) {
		case 1<<3 | bytesOf:
			s.TraceId = own(f.data)
		case 2<<3 | bytesOf:
			s.SpanId = own(f.data)
		case 3<<3 | bytesOf:
			s.TraceState, ok = d.string(f.data)
		case 4<<3 | bytesOf:
			s.ParentSpanId = own(f.data)
		case 5<<3 | bytesOf:
			s.Name, ok = d.string(f.data)
		case 6<<3 | varintOf:
			s.Kind = tracepb.Span_SpanKind(f.number)
		case 7<<3 | fixed64Of:
			s.StartTimeUnixNano = f.number
		case 8<<3 | fixed64Of:
			s.EndTimeUnixNano = f.number
		case 9<<3 | bytesOf:
			var kv *commonpb.KeyValue
			kv, ok = d.keyValue(f.data)
			attributes = append(attributes, kv)
		case 10<<3 | varintOf:
			s.DroppedAttributesCount = uint32(f.number)
		case 11<<3 | bytesOf:
			event := &tracepb.Span_Event{}
			ok = proto.Unmarshal(f.data, event) == nil
			s.Events = append(s.Events, event)
		case 12<<3 | varintOf:
			s.DroppedEventsCount = uint32(f.number)
		case 13<<3 | bytesOf:
			link := &tracepb.Span_Link{}
			ok = proto.Unmarshal(f.data, link) == nil
			s.Links = append(s.Links, link)
		case 14<<3 | varintOf:
			s.DroppedLinksCount = uint32(f.number)
		case 15<<3 | bytesOf:
			if s.Status != nil { // of two, one would be merged into the other
				return nil, false
			}
			s.Status, ok = d.status(f.data)
		case 16<<3 | fixed32Of:
			s.Flags = uint32(f.number)
		default:
			return nil, false
		}
		if !ok {
			return nil, false
		}
	}
	if len(attributes) > 0 {
		s.Attributes = d.pointers.take(len(attributes))
		copy(s.Attributes, attributes)
	}
	d.scratch = attributes
	return s, true
}

// own gives a part of the body that an append would not write beyond.
func own(part []byte) []byte {
	if len(part) == 0 {
		return nil
	}
	return part[:len(part):len(part)]
}

func (d *decoder) status(b []byte) (s *tracepb.Status, ok bool) {
	s = d.statuses.next()
	for len(b) > 0 {
		var f wire
		if f, b, ok = next(b); !ok {
			return nil, false
		}
		switch shape(f.field, f.kind) {
		case 2<<3 | bytesOf:
			s.Message, ok = d.string(f.data)
		case 3<<3 | varintOf:
			s.Code = tracepb.Status_StatusCode(f.number)
		default:
			return nil, false
		}
		if !ok {
			return nil, false
		}
	}
	return s, true
}

func (d *decoder) keyValue(b []byte) (kv *commonpb.KeyValue, ok bool) {
	kv = d.kvs.next()
	for len(b) > 0 {
		var f wire
		if f, b, ok = next(b); !ok || f.kind != protowire.BytesType {
			return nil, false
		}
		switch {
		case f.field == 1:
			kv.Key, ok = d.string(f.data)
		case f.field == 2 && kv.Value == nil:
			kv.Value, ok = d.value(f.data)
		default:
			return nil, false
		}
		if !ok {
			return nil, false
		}
	}
	return kv, true
}

// value decodes text, numbers and truth; the rest is protobuf's.
func (d *decoder) value(b []byte) (v *commonpb.AnyValue, ok bool) {
	v = d.values.next()
	f, rest, ok := next(b)
	if !ok || len(rest) > 0 {
		return v, proto.Unmarshal(b, v) == nil
	}
	switch shape(f.field, f.kind) {
	case 1<<3 | bytesOf:
		to := d.strings.next()
		to.StringValue, ok = d.string(f.data)
		v.Value = to
	case 2<<3 | varintOf:
		to := d.bools.next()
		to.BoolValue = protowire.DecodeBool(f.number)
		v.Value = to
	case 3<<3 | varintOf:
		to := d.ints.next()
		to.IntValue = int64(f.number)
		v.Value = to
	case 4<<3 | fixed64Of:
		to := d.doubles.next()
		to.DoubleValue = math.Float64frombits(f.number)
		v.Value = to
	default:
		ok = proto.Unmarshal(b, v) == nil
	}
	return v, ok
}
