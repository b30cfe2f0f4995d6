package store

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"
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

// spanRow is a span of a batch.
type spanRow struct {
	class           int // index into the batch
	start, duration int64
	from, to        int // where its array stands in the text of the batch
}

// spanPart is the spans of one trace in a segment.
type spanPart struct {
	trace TraceID
	spans []spanRow
	text  string
}

// spanSegment is what becomes a row of span_segment and what belongs to it.
type spanSegment struct {
	parts  []spanPart
	byID   map[TraceID]int // index into parts
	forms  forms
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
	seed     maphash.Seed

	text       []byte // of the spans, one after the other
	rest       []byte // scratch
	attributes fields // scratch
}

// AppendSpans stores spans and returns when they are committed. On error none
// of them is stored, unless ctx ended while the commit was under way.
//
// Nothing is lost: what the columns do not hold (events, links, trace state,
// status message, dropped counts, unknown fields, attributes that JSON cannot
// express) is kept as protobuf. IDs must have 16 and 8 bytes.
func (s *Store) AppendSpans(ctx context.Context, batches []*tracepb.ResourceSpans) error {
	batch := &spanBatch{byClass: make(map[spanClass]int), byPeriod: make(map[int64]*spanSegment), seed: maphash.MakeSeed()}
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
	batch.joinParts()
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
	// Conversions wrap, and wrap back when read: no value is lost.
	row := spanRow{start: int64(span.GetStartTimeUnixNano()), duration: int64(span.GetEndTimeUnixNano() - span.GetStartTimeUnixNano())}
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
	b.attributes.set(span.GetAttributes(), b.seed)
	rest, err := encodeRest(span, class.status, b.attributes.exact)
	if err != nil {
		return err
	}
	key := formKey{source: len(b.sources) - 1, class: row.class, flags: uint64(span.GetFlags()), keys: b.attributes.keys}
	if emptyStatus(status) {
		key.flags |= flagStatus
	}
	seg := b.segment(row.start)
	row.from = len(b.text)
	b.rest = appendPlain(b.rest[:0], span, row)
	b.text = seg.forms.appendForm(append(b.text, '['), b.rest, key, &b.attributes)
	if len(rest) > 0 {
		b.text = append(b.text, `,"`...)
		b.text = base64.StdEncoding.AppendEncode(b.text, rest)
		b.text = append(b.text, '"')
	}
	b.text = append(b.text, ']')
	row.to = len(b.text)
	seg.add(TraceID(span.GetTraceId()), row)
	return nil
}

// segment finds the one for spans that start then.
func (b *spanBatch) segment(start int64) *spanSegment {
	period := start / segmentTime
	seg := b.byPeriod[period]
	if seg == nil || seg.spans == segmentSpans {
		seg = &spanSegment{byID: make(map[TraceID]int), forms: forms{byKey: make(map[formKey]int)}, oldest: math.MaxInt64, newest: math.MinInt64}
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

// joinParts gives every part its text.
func (b *spanBatch) joinParts() {
	text := make([]byte, 0, len(b.text)+2*len(b.text)/64)
	for _, seg := range b.segments {
		for _, part := range seg.parts {
			for i, span := range part.spans {
				text = append(text, "[,"[min(i, 1)])
				text = append(text, b.text[span.from:span.to]...)
			}
			text = append(text, ']')
		}
	}
	all := string(text) // once: the parts share it
	for _, seg := range b.segments {
		for i := range seg.parts {
			n := 1
			for _, span := range seg.parts[i].spans {
				n += 1 + span.to - span.from
			}
			seg.parts[i].text, all = all[:n], all[n:]
		}
	}
	b.text = nil
}

// appendPlain appends the elements of the span's array between form and changes.
func appendPlain(b []byte, span *tracepb.Span, row spanRow) []byte {
	b = append(b, `,"`...)
	b = hex.AppendEncode(b, span.GetSpanId())
	b = append(b, `","`...)
	b = hex.AppendEncode(b, span.GetParentSpanId())
	b = append(b, `",`...)
	b = append(strconv.AppendInt(b, row.start, 10), ',')
	return append(strconv.AppendInt(b, row.duration, 10), ',')
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
	for _, part := range seg.parts {
		h.part(part.trace, len(part.spans))
		for _, span := range part.spans {
			h.span(classes[span.class], span.start, span.duration)
		}
	}
	if err := w.insertParts(first, seg.parts); err != nil {
		return err
	}
	if err := w.indexParts(first, seg.parts); err != nil {
		return err
	}
	w.text = seg.forms.appendText(w.text[:0], sources, classes)
	if _, err := w.exec("INSERT INTO span_segment (id, last, oldest, newest, spans, forms, heads) VALUES (?, ?, ?, ?, ?, ?, ?)",
		first, first+int64(len(seg.parts))-1, seg.oldest, seg.newest, seg.spans, string(w.text), h.data); err != nil {
		return err
	}
	for _, sum := range h.summaries() {
		if _, err := w.exec("INSERT INTO span_summary (class, newest, segment, longest) VALUES (?, ?, ?, ?)", sum.class, sum.newest, first, sum.longest); err != nil {
			return err
		}
	}
	return nil
}

// insertParts gives the first one its ID; SQLite counts on from there. (An ID
// that is given may be no number, against which a statement of several rows would
// take the precautions that [insertInto] is to avoid.)
func (w *writer) insertParts(first int64, parts []spanPart) error {
	if _, err := w.exec("INSERT INTO span_part (id, trace_id, spans) VALUES (?,?,?)", first, parts[0].trace[:], parts[0].text); err != nil {
		return err
	}
	for parts = parts[1:]; len(parts) > 0; {
		n := 1
		if len(parts) >= insertRows {
			n = insertRows
		}
		w.args = w.args[:0]
		for i := range parts[:n] {
			w.args = append(w.args, parts[i].trace[:], parts[i].text)
		}
		if _, err := w.exec(insertInto+"span_part (trace_id, spans) VALUES "+values("(?,?)", n), w.args...); err != nil {
			return err
		}
		parts = parts[n:]
	}
	return nil
}

// takeParts gives the first of n IDs of parts in a row. A segment's parts must
// follow each other.
func (w *writer) takeParts(n int) (first int64, err error) {
	if w.nextPart == 0 {
		st, err := w.stmt("SELECT max(coalesce((SELECT max(id) FROM span_part), 0), coalesce((SELECT max(last) FROM trace_run), 0)) + 1")
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
