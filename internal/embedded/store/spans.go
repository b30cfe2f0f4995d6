package store

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/embedded/journal"
)

// AttrServiceName is the resource attribute that names a service (OpenTelemetry
// semantic conventions, resource "service").
const AttrServiceName = "service.name"

// The fields of a span's row. The row finds the span; the span itself is in the
// journal.
const (
	fieldService  = "service" // of the stream
	fieldTrace    = "trace"   // hex digits
	fieldName     = "name"
	fieldKind     = "kind"     // OTLP's number
	fieldStatus   = "status"   // OTLP's number
	fieldDuration = "duration" // nanoseconds
	fieldRoot     = "root"     // "1" if the span has no parent, else "0"
	fieldAt       = "at"       // place of the record in the journal
	fieldRow      = "row"      // number of the span, or line, in its record, from 0
	fieldMore     = "more"     // "1" if texts are too long, or attributes too many, to be fields

	// The name of an attribute's field begins with its scope and the type of its value.
	scopeResource = "r"
	scopeSpan     = "s"
	typeString    = "."
	typeInt       = "i."
	typeFloat     = "f."
	typeBool      = "b."
	typeEmpty     = "e." // an empty text, which no field can have; the field is "1"
	typeOther     = "o." // a list, a map, bytes or nothing; the field is "1"
)

// kinds returns the types of values.
func kinds() []string {
	return []string{typeString, typeInt, typeFloat, typeBool, typeEmpty, typeOther}
}

// maxValue limits the name and an attribute in a row, in bytes.
const maxValue = 8 << 10

// MaxEarly limits how far in the future a span may begin to be found by its own time. A
// span that begins later, or before the oldest kept time, is found by the time of its
// arrival.
const MaxEarly = time.Hour

const recordSpans, recordLines byte = 'S', 'L'

// arrivalBytes is the size of the time of arrival, in nanoseconds since 1970, that
// comes before the spans of a record.
const arrivalBytes = 8

// AppendSpans stores spans and returns when they are in the journal. On error none
// of them is known to be stored. IDs must have 16 and 8 bytes.
func (s *Store) AppendSpans(ctx context.Context, batches []*tracepb.ResourceSpans) error {
	if err := errors.Join(ctx.Err(), s.open()); err != nil {
		return err
	}
	n := 0
	for _, resource := range batches {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				if len(span.GetTraceId()) != len(TraceID{}) || len(span.GetSpanId()) != 8 {
					return fmt.Errorf("storing span %q: its trace ID has %d bytes and its span ID %d: they must have 16 and 8", span.GetName(), len(span.GetTraceId()), len(span.GetSpanId()))
				}
			}
			n += len(scope.GetSpans())
		}
	}
	if n == 0 {
		return nil
	}
	arrived := s.opts.Now().UnixNano()
	payload, err := proto.MarshalOptions{}.MarshalAppend(binary.LittleEndian.AppendUint64(nil, uint64(arrived)), &tracepb.TracesData{ResourceSpans: batches})
	if err != nil {
		return fmt.Errorf("storing spans: %w", err)
	}
	return s.append(s.spans, journal.Record{Kind: recordSpans, Rows: n, Payload: payload}, func(at int64, known *names) rows {
		return s.spanRows(at, arrived, batches, known, nil)
	})
}

// buildSpans returns the rows of a record that AppendSpans has written.
func (s *Store) buildSpans(record journal.Record, known *names, skip map[string]bool) (rows, error) {
	arrived, batches, err := decodeSpans(record)
	if err != nil {
		return rows{}, err
	}
	return s.spanRows(record.At, arrived, batches, known, skip), nil
}

// decodeSpans decodes a record that AppendSpans has written.
func decodeSpans(record journal.Record) (arrived int64, batches []*tracepb.ResourceSpans, err error) {
	if len(record.Payload) < arrivalBytes {
		return 0, nil, errors.New("a record of spans is too short")
	}
	var data tracepb.TracesData
	if err := proto.Unmarshal(record.Payload[arrivalBytes:], &data); err != nil {
		return 0, nil, fmt.Errorf("decoding spans: %w", err)
	}
	return int64(binary.LittleEndian.Uint64(record.Payload)), data.GetResourceSpans(), nil
}

// spanRows returns the rows of spans, except for those in skip.
func (s *Store) spanRows(at, arrived int64, batches []*tracepb.ResourceSpans, known *names, skip map[string]bool) rows {
	out := newRows()
	record := strconv.FormatInt(at, 10)
	earliest, latest := arrived-int64(s.opts.TraceAge), arrived+int64(MaxEarly)
	var row fieldList
	n := 0
	for _, resource := range batches {
		service := serviceOf(resource.GetResource())
		var ofResource fieldList
		ofResource.attributes(known, scopeResource, resource.GetResource().GetAttributes())
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				number := strconv.Itoa(n)
				n++
				if skip[number] {
					continue
				}
				row.reset()
				row.add(fieldService, service[:min(len(service), maxValue)]) // the stream's
				row.add(fieldTrace, hex.EncodeToString(span.GetTraceId()))
				if name := span.GetName(); len(name) <= maxValue {
					row.add(fieldName, name)
				} else {
					row.more = true
				}
				row.add(fieldKind, strconv.Itoa(int(span.GetKind())))
				row.add(fieldStatus, strconv.Itoa(int(span.GetStatus().GetCode())))
				row.add(fieldDuration, strconv.FormatInt(duration(span), 10))
				row.add(fieldRoot, map[bool]string{true: "1", false: "0"}[len(span.GetParentSpanId()) == 0])
				row.add(fieldAt, record)
				row.add(fieldRow, number)
				row.fields = append(row.fields, ofResource.fields...)
				row.attributes(known, scopeSpan, span.GetAttributes())
				if row.more || ofResource.more {
					row.add(fieldMore, "1")
				}
				// A span may claim any time. If the lab cannot have received a span of that
				// time now, it is found by the time of its arrival.
				start := int64(min(span.GetStartTimeUnixNano(), math.MaxInt64))
				if start < earliest || start > latest {
					start = arrived
				}
				out.row(start, 1, row.fields)
			}
		}
	}
	return out
}

// duration returns the span's end minus its start, in nanoseconds, 0 if it ends before it
// starts or has no end.
func duration(span *tracepb.Span) int64 {
	start, end := span.GetStartTimeUnixNano(), span.GetEndTimeUnixNano()
	if end < start {
		return 0
	}
	return int64(min(end-start, math.MaxInt64))
}

// serviceOf returns the name of a resource's service, "" if it has none.
func serviceOf(r *resourcepb.Resource) string {
	for _, kv := range r.GetAttributes() {
		if kv.GetKey() == AttrServiceName {
			return kv.GetValue().GetStringValue()
		}
	}
	return ""
}

// fieldList collects the fields of a row.
type fieldList struct {
	fields []field
	bytes  int
	more   bool // some attributes are missing
}

func (l *fieldList) reset() { l.fields, l.bytes, l.more = l.fields[:0], 0, false }

func (l *fieldList) add(name, value string) {
	l.fields = append(l.fields, field{Name: name, Value: value})
	l.bytes += len(name) + len(value)
}

// attributes adds attributes as far as a row has room. If a key comes twice, the first
// value counts.
func (l *fieldList) attributes(known *names, scope string, kvs []*commonpb.KeyValue) {
	first := len(l.fields)
	for _, kv := range kvs {
		kind, value := textOf(kv.GetValue())
		name := scope + kind + kv.GetKey()
		if len(value) > maxValue || l.bytes+len(name)+len(value) > maxRowBytes/4 || len(l.fields)-first >= maxRowNames || !known.take(name) {
			l.more = true
			continue
		}
		if !slices.ContainsFunc(l.fields[first:], func(f field) bool { return f.Name == name }) {
			l.add(name, value)
		}
	}
}

// textOf returns the type of a value and its text as a row has them.
func textOf(v *commonpb.AnyValue) (kind, text string) {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		if v.StringValue == "" {
			return typeEmpty, "1"
		}
		return typeString, v.StringValue
	case *commonpb.AnyValue_IntValue:
		return typeInt, strconv.FormatInt(v.IntValue, 10)
	case *commonpb.AnyValue_DoubleValue:
		return typeFloat, strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
	case *commonpb.AnyValue_BoolValue:
		return typeBool, strconv.FormatBool(v.BoolValue)
	}
	return typeOther, "1"
}
