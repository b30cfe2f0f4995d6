package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
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

// Span is a stored span, complete.
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
}

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
	parts, err := s.parts(ctx, id)
	if err != nil {
		return t, fmt.Errorf("reading trace %x: %w", id, err)
	}
	type identity struct {
		id    string
		kind  tracepb.Span_SpanKind
		start uint64
	}
	seen := make(map[identity]bool)
	for _, part := range parts {
		var spans [][]json.RawMessage
		if err := json.Unmarshal(part, &spans); err != nil {
			return t, fmt.Errorf("reading trace %x: %w", id, err)
		}
		for _, elements := range spans {
			span, err := s.decodeSpan(ctx, elements)
			if err != nil {
				return t, fmt.Errorf("reading trace %x: %w", id, err)
			}
			key := identity{string(span.SpanId), span.Kind, span.StartTimeUnixNano}
			if seen[key] {
				continue
			}
			seen[key] = true
			span.TraceId = bytes.Clone(id[:])
			t.Spans = append(t.Spans, span)
		}
	}
	slices.SortStableFunc(t.Spans, func(a, b Span) int { return cmp.Compare(a.GetStartTimeUnixNano(), b.GetStartTimeUnixNano()) })
	return t, nil
}

// parts reads the rows of a trace, in the order in which they came.
func (s *Store) parts(ctx context.Context, id TraceID) ([][]byte, error) {
	rows, err := s.read.QueryContext(ctx, "SELECT spans FROM span_part INDEXED BY span_trace_hex WHERE "+traceHex+" = ? ORDER BY id", hex.EncodeToString(id[:]))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var parts [][]byte
	for rows.Next() {
		var part []byte
		if err := rows.Scan(&part); err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, rows.Err()
}

// The elements of a span's array, see schema.
const (
	elementSource = iota
	elementClass
	elementSpanID
	elementParentID
	elementStart
	elementDuration
	elementFlags
	elementAttributes
	elementRest // not always there
)

func (s *Store) decodeSpan(ctx context.Context, elements []json.RawMessage) (Span, error) {
	if len(elements) < elementRest {
		return Span{}, fmt.Errorf("a span has %d elements: the file is damaged", len(elements))
	}
	var numbers [elementFlags + 1]int64
	for _, i := range []int{elementSource, elementClass, elementStart, elementDuration, elementFlags} {
		n, err := strconv.ParseInt(string(elements[i]), 10, 64)
		if err != nil {
			return Span{}, fmt.Errorf("decoding element %d of a span: %w", i, err)
		}
		numbers[i] = n
	}
	span := &tracepb.Span{}
	if len(elements) > elementRest {
		rest, err := base64.StdEncoding.AppendDecode(nil, bytes.Trim(elements[elementRest], `"`))
		if err == nil {
			err = proto.Unmarshal(rest, span)
		}
		if err != nil {
			return Span{}, fmt.Errorf("decoding the rest of a span: %w", err)
		}
	}
	for i, id := range map[int]*[]byte{elementSpanID: &span.SpanId, elementParentID: &span.ParentSpanId} {
		var err error
		if *id, err = hex.AppendDecode(nil, bytes.Trim(elements[i], `"`)); err != nil {
			return Span{}, fmt.Errorf("decoding element %d of a span: %w", i, err)
		}
	}
	if span.Attributes == nil {
		var err error
		if span.Attributes, err = decodeAttributes(elements[elementAttributes]); err != nil {
			return Span{}, err
		}
	}
	class, err := s.class(ctx, numbers[elementClass])
	if err != nil {
		return Span{}, err
	}
	source, err := s.source(ctx, numbers[elementSource])
	if err != nil {
		return Span{}, err
	}
	start, duration := uint64(numbers[elementStart]), uint64(numbers[elementDuration])
	span.StartTimeUnixNano, span.EndTimeUnixNano = start, start+duration
	span.Name, span.Kind, span.Flags = class.name, tracepb.Span_SpanKind(class.kind), uint32(numbers[elementFlags])
	switch {
	case numbers[elementFlags]&flagStatus != 0:
		span.Status = &tracepb.Status{}
	case span.Status == nil && class.status != 0:
		span.Status = &tracepb.Status{Code: tracepb.Status_StatusCode(class.status)}
	}
	return Span{Span: span, Source: source}, nil
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sources) >= maxWords {
		clear(s.sources)
	}
	s.sources[id] = src
	return src, nil
}
