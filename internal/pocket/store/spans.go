package store

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/contract"
)

// AttrServiceName is the resource attribute that names a service (OpenTelemetry
// semantic conventions, resource "service").
const AttrServiceName = "service.name"

const (
	// segmentSpans bounds a segment: what a search reads at once, and what a sweep
	// deletes at once.
	segmentSpans = 1000
	// segmentTime is the period within which the spans of a segment start, so that
	// a search skips what is newer than it wants, and a sweep keeps nothing long.
	segmentTime = int64(time.Minute)
	// insertRows is how many parts one INSERT takes.
	insertRows = 32
)

// spanClass is a row of span_class: what many spans have in common.
type spanClass struct {
	service, name string
	kind, status  int32
	die           string // "" where there is none
}

func (c spanClass) bytes() int { return len(c.service) + len(c.name) + len(c.die) }

// sourceRow is a row of span_source.
type sourceRow struct {
	service, scope, resource string
	data                     []byte
}

// spanRow is a span as far as it can be encoded before the writer has numbers
// for its source and class.
type spanRow struct {
	source, class   int // indexes into the batch
	start, duration int64
	text            []byte // of the array's elements from the span ID on
}

// spanPart is the spans of one trace in a segment.
type spanPart struct {
	trace TraceID
	spans []spanRow
}

// spanSegment is what becomes a row of span_segment and what belongs to it.
type spanSegment struct {
	parts  []spanPart
	byID   map[TraceID]int // index into parts
	spans  int
	oldest int64
	newest int64
}

// spanBatch is what one append stores.
type spanBatch struct {
	sources  []*sourceRow
	classes  []spanClass
	segments []*spanSegment

	byClass  map[spanClass]int
	byPeriod map[int64]*spanSegment // that has room, by start / segmentTime
}

// AppendSpans stores spans and returns when they are committed. On error none
// of them is stored, unless ctx ended while the commit was under way.
//
// Nothing is lost: what the columns do not hold (events, links, trace state,
// status message, dropped counts, unknown fields, attributes that JSON cannot
// express) is kept as protobuf. IDs must have 16 and 8 bytes.
func (s *Store) AppendSpans(ctx context.Context, batches []*tracepb.ResourceSpans) error {
	batch := &spanBatch{byClass: make(map[spanClass]int), byPeriod: make(map[int64]*spanSegment)}
	for _, resource := range batches {
		for _, scope := range resource.GetScopeSpans() {
			if len(scope.GetSpans()) == 0 {
				continue
			}
			source, err := encodeSource(resource, scope)
			if err != nil {
				return fmt.Errorf("storing spans: %w", err)
			}
			batch.sources = append(batch.sources, source)
			for _, span := range scope.GetSpans() {
				if err := batch.add(span, source.service); err != nil {
					return fmt.Errorf("storing span %q: %w", span.GetName(), err)
				}
			}
		}
	}
	if len(batch.segments) == 0 {
		return ctx.Err()
	}
	return s.do(ctx, func(w *writer) error { return w.insertSpans(batch) })
}

func encodeSource(batch *tracepb.ResourceSpans, scope *tracepb.ScopeSpans) (*sourceRow, error) {
	head := &tracepb.ResourceSpans{
		Resource: batch.GetResource(), SchemaUrl: batch.GetSchemaUrl(),
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: scope.GetScope(), SchemaUrl: scope.GetSchemaUrl()}},
	}
	head.ProtoReflect().SetUnknown(batch.ProtoReflect().GetUnknown())
	head.ScopeSpans[0].ProtoReflect().SetUnknown(scope.ProtoReflect().GetUnknown())
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(head)
	if err != nil {
		return nil, fmt.Errorf("encoding resource: %w", err)
	}
	resource, _ := appendAttributes(nil, batch.GetResource().GetAttributes()) // data is exact
	return &sourceRow{
		service:  textAttribute(batch.GetResource().GetAttributes(), AttrServiceName),
		scope:    scope.GetScope().GetName(),
		resource: string(resource),
		data:     data,
	}, nil
}

func textAttribute(kvs []*commonpb.KeyValue, key string) string {
	for _, kv := range kvs {
		if kv.GetKey() == key {
			return kv.GetValue().GetStringValue()
		}
	}
	return ""
}

// add encodes a span of the batch's last source.
func (b *spanBatch) add(span *tracepb.Span, service string) error {
	if len(span.GetTraceId()) != 16 || len(span.GetSpanId()) != 8 {
		return fmt.Errorf("its trace ID has %d bytes and its span ID %d: they must have 16 and 8", len(span.GetTraceId()), len(span.GetSpanId()))
	}
	row := spanRow{
		source: len(b.sources) - 1,
		// Conversions wrap, and wrap back when read: no value is lost.
		start: int64(span.GetStartTimeUnixNano()), duration: int64(span.GetEndTimeUnixNano() - span.GetStartTimeUnixNano()),
	}
	status := span.GetStatus()
	class := spanClass{service: service, name: span.GetName(), kind: int32(span.GetKind()), die: textAttribute(span.GetAttributes(), contract.AttrDieType)}
	if code := status.GetCode(); code > 0 && code <= 2 {
		class.status = int32(code)
	}
	var known bool
	if row.class, known = b.byClass[class]; !known {
		row.class = len(b.classes)
		b.classes = append(b.classes, class)
		b.byClass[class] = row.class
	}
	var err error
	if row.text, err = encodeSpan(span, class.status, row); err != nil {
		return err
	}
	b.segment(row.start).add(TraceID(span.GetTraceId()), row)
	return nil
}

// segment finds the one for spans that start then.
func (b *spanBatch) segment(start int64) *spanSegment {
	period := start / segmentTime
	seg := b.byPeriod[period]
	if seg == nil || seg.spans == segmentSpans {
		seg = &spanSegment{byID: make(map[TraceID]int), oldest: math.MaxInt64, newest: math.MinInt64}
		b.segments = append(b.segments, seg)
		b.byPeriod[period] = seg
	}
	return seg
}

func (s *spanSegment) add(id TraceID, row spanRow) {
	i, ok := s.byID[id]
	if !ok {
		i = len(s.parts)
		s.byID[id] = i
		s.parts = append(s.parts, spanPart{trace: id})
	}
	s.parts[i].spans = append(s.parts[i].spans, row)
	s.spans++
	s.oldest, s.newest = min(s.oldest, row.start), max(s.newest, row.start)
}

// encodeSpan writes the elements of the span's array that need no numbers from
// the writer. status is the class's: what the span's own has besides is rest.
func encodeSpan(span *tracepb.Span, status int32, row spanRow) ([]byte, error) {
	b := make([]byte, 0, 768)
	b = append(b, `,"`...)
	b = hex.AppendEncode(b, span.GetSpanId())
	b = append(b, `","`...)
	b = hex.AppendEncode(b, span.GetParentSpanId())
	b = append(b, `",`...)
	b = append(strconv.AppendInt(b, row.start, 10), ',')
	b = append(strconv.AppendInt(b, row.duration, 10), ',')
	flags := uint64(span.GetFlags())
	if emptyStatus(span.GetStatus()) {
		flags |= flagStatus
	}
	b = append(strconv.AppendUint(b, flags, 10), ',')
	b, exact := appendAttributes(b, span.GetAttributes())
	rest, err := encodeRest(span, status, exact)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		b = append(b, `,"`...)
		b = base64.StdEncoding.AppendEncode(b, rest)
		b = append(b, '"')
	}
	return append(b, ']'), nil
}

// flagStatus, beyond OTLP's 32 bits of flags, marks a span that has a status that
// says nothing, as SDKs send it; some leave it out.
const flagStatus = 1 << 32

func emptyStatus(s *tracepb.Status) bool {
	return s != nil && s.GetCode() == 0 && s.GetMessage() == "" && len(s.ProtoReflect().GetUnknown()) == 0
}

// encodeRest gives what of a span stands in no other place, nil if nothing does.
func encodeRest(span *tracepb.Span, status int32, exact bool) ([]byte, error) {
	plain := exact && span.GetTraceState() == "" && len(span.GetEvents()) == 0 && len(span.GetLinks()) == 0 &&
		span.GetDroppedAttributesCount() == 0 && span.GetDroppedEventsCount() == 0 && span.GetDroppedLinksCount() == 0 &&
		len(span.ProtoReflect().GetUnknown()) == 0
	said := span.GetStatus()
	if emptyStatus(said) || said != nil && status != 0 && said.GetMessage() == "" && len(said.ProtoReflect().GetUnknown()) == 0 {
		said = nil // flags or class say it
	}
	if plain && said == nil {
		return nil, nil
	}
	rest := &tracepb.Span{
		TraceState: span.GetTraceState(), Events: span.GetEvents(), Links: span.GetLinks(), Status: said,
		DroppedAttributesCount: span.GetDroppedAttributesCount(), DroppedEventsCount: span.GetDroppedEventsCount(), DroppedLinksCount: span.GetDroppedLinksCount(),
	}
	rest.ProtoReflect().SetUnknown(span.ProtoReflect().GetUnknown())
	if !exact {
		rest.Attributes = span.GetAttributes()
	}
	data, err := proto.Marshal(rest)
	if err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	return data, nil
}

func (w *writer) insertSpans(batch *spanBatch) error {
	sources, classes := make([]int64, len(batch.sources)), make([]int64, len(batch.classes))
	var err error
	for i, r := range batch.sources {
		if sources[i], err = w.source(r); err != nil {
			return err
		}
	}
	for i, c := range batch.classes {
		if classes[i], err = w.class(c); err != nil {
			return err
		}
	}
	for _, seg := range batch.segments {
		if err := w.insertSegment(seg, sources, classes); err != nil {
			return fmt.Errorf("inserting spans: %w", err)
		}
	}
	return w.extendLeases(sources)
}

func (w *writer) insertSegment(seg *spanSegment, sources, classes []int64) error {
	first, err := w.takeParts(len(seg.parts))
	if err != nil {
		return err
	}
	h := heads{oldest: seg.oldest}
	for at := 0; at < len(seg.parts); {
		n := 1
		if len(seg.parts)-at >= insertRows {
			n = insertRows
		}
		w.args = w.args[:0]
		for i, part := range seg.parts[at : at+n] {
			w.text = append(w.text[:0], '[')
			h.part(part.trace, len(part.spans))
			for j, span := range part.spans {
				if j > 0 {
					w.text = append(w.text, ',')
				}
				class := classes[span.class]
				w.text = strconv.AppendInt(append(w.text, '['), sources[span.source], 10)
				w.text = strconv.AppendInt(append(w.text, ','), class, 10)
				w.text = append(w.text, span.text...)
				h.span(class, span.start, span.duration)
			}
			w.text = append(w.text, ']')
			w.args = append(w.args, first+int64(at+i), part.trace[:], string(w.text))
		}
		if _, err := w.exec(insertParts(n), w.args...); err != nil {
			return err
		}
		at += n
	}
	if _, err := w.exec("INSERT INTO span_segment (id, last, oldest, newest, spans, heads) VALUES (?, ?, ?, ?, ?, ?)",
		first, first+int64(len(seg.parts))-1, seg.oldest, seg.newest, seg.spans, h.data); err != nil {
		return err
	}
	for _, sum := range h.summaries() {
		if _, err := w.exec("INSERT INTO span_summary (class, newest, segment, longest) VALUES (?, ?, ?, ?)", sum.class, sum.newest, first, sum.longest); err != nil {
			return err
		}
	}
	return nil
}

func insertParts(n int) string {
	const row = "(?,?,?)"
	return "INSERT INTO span_part (id, trace_id, spans) VALUES " + strings.Repeat(row+",", n-1) + row
}

// takeParts gives the first of n IDs of parts in a row. A segment's parts must
// follow each other.
func (w *writer) takeParts(n int) (first int64, err error) {
	if w.nextPart == 0 {
		st, err := w.stmt("SELECT coalesce(max(id), 0) + 1 FROM span_part")
		if err != nil {
			return 0, err
		}
		if err := st.QueryRow().Scan(&w.nextPart); err != nil {
			return 0, fmt.Errorf("finding the last part: %w", err)
		}
	}
	first = w.nextPart
	w.nextPart += int64(n)
	return first, nil
}

func (w *writer) class(c spanClass) (int64, error) {
	known := w.classes
	if c.bytes() > maxWord {
		known = make(map[spanClass]int64)
	}
	return intern(w, known, c, "SELECT id FROM span_class WHERE service = ? AND name = ? AND kind = ? AND status = ? AND die = ?", 5,
		"INSERT INTO span_class (service, name, kind, status, die) VALUES (?, ?, ?, ?, ?) RETURNING id", c.service, c.name, int64(c.kind), int64(c.status), c.die)
}

func (w *writer) source(r *sourceRow) (int64, error) {
	known := w.sources
	if len(r.data) > maxWord {
		known = make(map[string]int64)
	}
	return intern(w, known, string(r.data), "SELECT id FROM span_source WHERE data = ?", 1,
		"INSERT INTO span_source (data, service, scope, resource) VALUES (?, ?, ?, ?) RETURNING id", r.data, r.service, r.scope, r.resource)
}
