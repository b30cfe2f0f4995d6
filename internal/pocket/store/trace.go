package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

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
	rows, err := s.read.QueryContext(ctx, `SELECT r.span_id, r.parent_id, r.start, r.duration, r.source, n.text, r.kind, r.status, r.attributes, r.rest
		FROM span_row r INDEXED BY span_trace JOIN word n ON n.id = r.name WHERE r.trace_id = ? ORDER BY r.id`, id[:])
	if err != nil {
		return t, fmt.Errorf("reading trace %x: %w", id, err)
	}
	defer rows.Close()
	type identity struct {
		id    string
		kind  tracepb.Span_SpanKind
		start uint64
	}
	seen := make(map[identity]bool)
	var sources []int64 // of t.Spans: read after the rows, which hold a connection
	for rows.Next() {
		span, source, err := scanSpan(rows)
		if err != nil {
			return t, fmt.Errorf("reading trace %x: %w", id, err)
		}
		key := identity{string(span.SpanId), span.Kind, span.StartTimeUnixNano}
		if seen[key] {
			continue
		}
		seen[key] = true
		span.TraceId = bytes.Clone(id[:])
		t.Spans = append(t.Spans, Span{Span: span})
		sources = append(sources, source)
	}
	if err := rows.Err(); err != nil {
		return t, fmt.Errorf("reading trace %x: %w", id, err)
	}
	if err := rows.Close(); err != nil {
		return t, fmt.Errorf("reading trace %x: %w", id, err)
	}
	for i, source := range sources {
		if t.Spans[i].Source, err = s.source(ctx, source); err != nil {
			return t, err
		}
	}
	slices.SortStableFunc(t.Spans, func(a, b Span) int { return cmp.Compare(a.GetStartTimeUnixNano(), b.GetStartTimeUnixNano()) })
	return t, nil
}

func scanSpan(rows *sql.Rows) (*tracepb.Span, int64, error) {
	var id, parent, attributes, rest []byte
	var start, duration, source int64
	var name string
	var kind, status int32
	if err := rows.Scan(&id, &parent, &start, &duration, &source, &name, &kind, &status, &attributes, &rest); err != nil {
		return nil, 0, err
	}
	span := &tracepb.Span{}
	if err := proto.Unmarshal(rest, span); err != nil {
		return nil, 0, fmt.Errorf("decoding span %x: %w", id, err)
	}
	span.SpanId, span.ParentSpanId, span.Name, span.Kind = id, parent, name, tracepb.Span_SpanKind(kind)
	span.StartTimeUnixNano = uint64(start)
	span.EndTimeUnixNano = uint64(start) + uint64(duration)
	if span.Status == nil && status != 0 {
		span.Status = &tracepb.Status{Code: tracepb.Status_StatusCode(status)}
	}
	if span.Attributes == nil {
		var err error
		if span.Attributes, err = decodeAttributes(attributes); err != nil {
			return nil, 0, fmt.Errorf("decoding span %x: %w", id, err)
		}
	}
	return span, source, nil
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
