package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// TraceID is a trace ID, in the order of its hex digits.
type TraceID [16]byte

// Source is what made a span. Spans share it; it must not be changed.
type Source struct {
	Service           string // resource attribute service.name, "" if there is none
	Resource          *resourcepb.Resource
	ResourceSchemaURL string
	Scope             *commonpb.InstrumentationScope
	ScopeSchemaURL    string

	data []byte // the row's protobuf: ResourceSpans of one ScopeSpans without spans
}

// Span is a stored span, complete. Attributes may be shared with other spans:
// they must not be changed.
type Span struct {
	*tracepb.Span
	Source *Source
}

// Duration is the span's end minus its start, in nanoseconds; negative if its
// clock went backwards.
func (s Span) Duration() int64 {
	return int64(s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano())
}

// Trace is what is stored of a trace.
type Trace struct {
	ID    TraceID
	Spans []Span // by start; none if the trace is not known
	// Partial says that the trace is larger than [MaxTraceBytes], so that only the
	// spans that came first are here.
	Partial bool

	bytes int // of the spans, as in MaxTraceBytes
}

// MaxTraceBytes bounds what is read of one trace, in bytes of its spans as JSON:
// about 40,000 spans. (Tempo's own bound, max_bytes_per_trace, is 5 MB.)
const MaxTraceBytes = 16 << 20

// Root is the first span without a parent; false if it is not there (yet).
func (t Trace) Root() (Span, bool) {
	for _, s := range t.Spans {
		if len(s.GetParentSpanId()) == 0 {
			return s, true
		}
	}
	return Span{}, false
}

// Bounds are the first start and the last end of the trace's spans, in
// nanoseconds since 1970.
func (t Trace) Bounds() (start, end uint64) {
	for i, s := range t.Spans {
		if i == 0 || s.GetStartTimeUnixNano() < start {
			start = s.GetStartTimeUnixNano()
		}
		end = max(end, s.GetEndTimeUnixNano())
	}
	return start, end
}

// ResourceSpans gives the trace in OTLP's form: spans grouped by resource and
// scope.
func (t Trace) ResourceSpans() []*tracepb.ResourceSpans {
	var list []*tracepb.ResourceSpans
	resources := make(map[string]*tracepb.ResourceSpans)
	scopes := make(map[*Source]*tracepb.ScopeSpans)
	for _, s := range t.Spans {
		scope, ok := scopes[s.Source]
		if !ok {
			scope = &tracepb.ScopeSpans{Scope: s.Source.Scope, SchemaUrl: s.Source.ScopeSchemaURL}
			scopes[s.Source] = scope
			key := s.Source.ResourceSchemaURL + "\x00" + s.Source.resourceKey()
			resource, ok := resources[key]
			if !ok {
				resource = &tracepb.ResourceSpans{Resource: s.Source.Resource, SchemaUrl: s.Source.ResourceSchemaURL}
				resources[key] = resource
				list = append(list, resource)
			}
			resource.ScopeSpans = append(resource.ScopeSpans, scope)
		}
		scope.Spans = append(scope.Spans, s.Span)
	}
	return list
}

func (s *Source) resourceKey() string {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(s.Resource)
	if err != nil {
		return string(s.data) // it was decoded from protobuf, so this cannot be; at worst a resource comes twice
	}
	return string(b)
}

// Trace gives the trace with this ID; without spans if there is none. A span
// that was sent twice (same ID, kind and start) is there once.
func (s *Store) Trace(ctx context.Context, id TraceID) (Trace, error) {
	t := Trace{ID: id}
	parts, partial, err := s.parts(ctx, id)
	if err != nil {
		return t, fmt.Errorf("reading trace %x: %w", id, err)
	}
	t.Partial = partial
	type identity struct {
		id    string
		kind  tracepb.Span_SpanKind
		start uint64
	}
	seen := make(map[identity]bool)
reading:
	for _, part := range parts {
		forms, err := s.forms(ctx, part.segment)
		if errors.Is(err, sql.ErrNoRows) { // swept since
			continue
		}
		if err != nil {
			return t, fmt.Errorf("reading trace %x: %w", id, err)
		}
		spans, err := splitArray(part.text)
		if err != nil {
			return t, fmt.Errorf("reading trace %x: %w", id, err)
		}
		for _, text := range spans {
			span, size, err := s.decodeSpan(ctx, forms, text)
			if errors.Is(err, sql.ErrNoRows) { // swept since
				continue
			}
			if err != nil {
				return t, fmt.Errorf("reading trace %x: %w", id, err)
			}
			key := identity{string(span.SpanId), span.Kind, span.StartTimeUnixNano}
			if seen[key] {
				continue
			}
			seen[key] = true
			if t.bytes+size > MaxTraceBytes && len(t.Spans) > 0 {
				t.Partial = true
				break reading
			}
			t.bytes += size
			span.TraceId = bytes.Clone(id[:])
			t.Spans = append(t.Spans, span)
		}
	}
	slices.SortStableFunc(t.Spans, func(a, b Span) int { return cmp.Compare(a.GetStartTimeUnixNano(), b.GetStartTimeUnixNano()) })
	return t, nil
}

// partsQuery reads parts of a trace by their IDs, with the segment of each. A
// search runs it for every trace that it looks at, so it is prepared.
const partsQuery = `SELECT (SELECT max(id) FROM span_segment WHERE id <= p.id), p.spans
	FROM span_part p WHERE p.id IN (SELECT value FROM json_each(?)) AND p.trace_id = ? ORDER BY p.id`

// partRow is a row of span_part.
type partRow struct {
	segment int64
	text    []byte
}

// parts reads the rows of a trace, in the order in which they came, and tells
// whether there are more than may be read.
func (s *Store) parts(ctx context.Context, id TraceID) (parts []partRow, partial bool, err error) {
	ids, err := s.index.find(ctx, s.read, id)
	if err != nil || len(ids) == 0 {
		return nil, false, err
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, false, err
	}
	rows, err := s.readParts.QueryContext(ctx, string(list), id[:])
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	size := 0
	for rows.Next() {
		var part partRow
		if err := rows.Scan(&part.segment, &part.text); err != nil {
			return nil, false, err
		}
		if size += len(part.text); size > MaxTraceBytes && len(parts) > 0 {
			return parts, true, nil
		}
		parts = append(parts, part)
	}
	return parts, false, rows.Err()
}

// The elements of a span's array, see schema.
const (
	elementForm = iota
	elementSpanID
	elementParentID
	elementStart
	elementDuration
	elementChanges
	elementRest // not always there
)

// decodeSpan gives a span, and its size as text with what its form says of it.
func (s *Store) decodeSpan(ctx context.Context, forms *formList, text []byte) (_ Span, size int, err error) {
	elements, err := splitArray(text)
	if err != nil {
		return Span{}, 0, err
	}
	if len(elements) < elementRest {
		return Span{}, 0, fmt.Errorf("a span has %d elements: the file is damaged", len(elements))
	}
	var numbers [elementDuration + 1]int64
	for _, i := range []int{elementForm, elementStart, elementDuration} {
		if numbers[i], err = strconv.ParseInt(string(elements[i]), 10, 64); err != nil {
			return Span{}, 0, fmt.Errorf("decoding element %d of a span: %w", i, err)
		}
	}
	span := &tracepb.Span{}
	if len(elements) > elementRest {
		rest, err := base64.StdEncoding.AppendDecode(nil, bytes.Trim(elements[elementRest], `"`))
		if err == nil {
			err = proto.Unmarshal(rest, span)
		}
		if err != nil {
			return Span{}, 0, fmt.Errorf("decoding the rest of a span: %w", err)
		}
	}
	if span.SpanId, err = decodeID(elements[elementSpanID]); err != nil {
		return Span{}, 0, err
	}
	if span.ParentSpanId, err = decodeID(elements[elementParentID]); err != nil {
		return Span{}, 0, err
	}
	form, err := forms.form(numbers[elementForm])
	if err != nil {
		return Span{}, 0, err
	}
	if span.Attributes == nil {
		if span.Attributes, err = form.change(elements[elementChanges]); err != nil {
			return Span{}, 0, err
		}
	}
	class, err := s.class(ctx, form.class)
	if err != nil {
		return Span{}, 0, err
	}
	source, err := s.source(ctx, form.source)
	if err != nil {
		return Span{}, 0, err
	}
	start, duration := uint64(numbers[elementStart]), uint64(numbers[elementDuration])
	span.StartTimeUnixNano, span.EndTimeUnixNano = start, start+duration
	span.Name, span.Kind, span.Flags = class.name, tracepb.Span_SpanKind(class.kind), uint32(form.flags)
	switch {
	case form.flags&flagStatus != 0:
		span.Status = &tracepb.Status{}
	case span.Status == nil && class.status != 0:
		span.Status = &tracepb.Status{Code: tracepb.Status_StatusCode(class.status)}
	}
	return Span{Span: span, Source: source}, len(text) + form.size, nil
}

func decodeID(text []byte) ([]byte, error) {
	id, err := hex.AppendDecode(nil, bytes.Trim(text, `"`))
	if err != nil {
		return nil, fmt.Errorf("decoding an ID of a span: %w", err)
	}
	return id, nil
}

// class gives a row of span_class, from memory where it can.
func (s *Store) class(ctx context.Context, id int64) (spanClass, error) {
	s.mu.Lock()
	c, ok := s.classes[id]
	s.mu.Unlock()
	if ok {
		return c, nil
	}
	if err := s.read.QueryRowContext(ctx, "SELECT service, name, kind, status, die FROM span_class WHERE id = ?", id).
		Scan(&c.service, &c.name, &c.kind, &c.status, &c.die); err != nil {
		return c, fmt.Errorf("reading span class %d: %w", id, err)
	}
	if c.bytes() > maxWord {
		return c, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.classes) >= maxWords {
		clear(s.classes)
	}
	s.classes[id] = c
	return c, nil
}

// source gives a row of span_source, from memory where it can.
func (s *Store) source(ctx context.Context, id int64) (*Source, error) {
	s.mu.Lock()
	src, ok := s.sources[id]
	s.mu.Unlock()
	if ok {
		return src, nil
	}
	src = &Source{}
	if err := s.read.QueryRowContext(ctx, "SELECT service, data FROM span_source WHERE id = ?", id).Scan(&src.Service, &src.data); err != nil {
		return nil, fmt.Errorf("reading span source %d: %w", id, err)
	}
	var head tracepb.ResourceSpans
	if err := proto.Unmarshal(src.data, &head); err != nil {
		return nil, fmt.Errorf("decoding span source %d: %w", id, err)
	}
	src.Resource, src.ResourceSchemaURL = head.GetResource(), head.GetSchemaUrl()
	for _, scope := range head.GetScopeSpans() {
		src.Scope, src.ScopeSchemaURL = scope.GetScope(), scope.GetSchemaUrl()
	}
	if len(src.data) > maxWord {
		return src, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sources) >= maxWords {
		clear(s.sources)
	}
	s.sources[id] = src
	return src, nil
}
