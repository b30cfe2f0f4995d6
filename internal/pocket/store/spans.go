package store

import (
	"context"
	"fmt"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/contract"
)

// AttrServiceName is the resource attribute that names a service (OpenTelemetry
// semantic conventions, resource "service").
const AttrServiceName = "service.name"

// insertRows is how many spans one INSERT takes.
const insertRows = 50

const spanColumns = "trace_id, span_id, parent_id, start, duration, source, service, name, kind, status, die, attributes, rest"

// spanRow is a span as it goes to the file.
type spanRow struct {
	trace, span       []byte
	parent, rest, die any // nil where there is none
	start, duration   int64
	source            *sourceRow
	name              string
	kind, status      int32
	attributes        string
}

// sourceRow is a row of span_source.
type sourceRow struct {
	service, scope, resource string
	data                     []byte
}

// AppendSpans stores spans and returns when they are committed. On error none
// of them is stored, unless ctx ended while the commit was under way.
//
// Nothing is lost: what the columns do not hold (events, links, trace state,
// flags, status message, dropped counts, unknown fields, attributes that JSON
// cannot express) is kept as protobuf. IDs must have 16 and 8 bytes.
func (s *Store) AppendSpans(ctx context.Context, batches []*tracepb.ResourceSpans) error {
	var rows []spanRow
	for _, batch := range batches {
		for _, scope := range batch.GetScopeSpans() {
			if len(scope.GetSpans()) == 0 {
				continue
			}
			source, err := encodeSource(batch, scope)
			if err != nil {
				return fmt.Errorf("storing spans: %w", err)
			}
			for _, span := range scope.GetSpans() {
				row, err := encodeSpan(span, source)
				if err != nil {
					return fmt.Errorf("storing span %q: %w", span.GetName(), err)
				}
				rows = append(rows, row)
			}
		}
	}
	if len(rows) == 0 {
		return ctx.Err()
	}
	return s.do(ctx, func(w *writer) error { return w.insertSpans(rows) })
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

func encodeSpan(span *tracepb.Span, source *sourceRow) (spanRow, error) {
	if len(span.GetTraceId()) != 16 || len(span.GetSpanId()) != 8 {
		return spanRow{}, fmt.Errorf("its trace ID has %d bytes and its span ID %d: they must have 16 and 8", len(span.GetTraceId()), len(span.GetSpanId()))
	}
	row := spanRow{
		trace: span.GetTraceId(), span: span.GetSpanId(), source: source, name: span.GetName(), kind: int32(span.GetKind()),
		// Conversions wrap, and wrap back when read: no value is lost.
		start: int64(span.GetStartTimeUnixNano()), duration: int64(span.GetEndTimeUnixNano() - span.GetStartTimeUnixNano()),
	}
	if len(span.GetParentSpanId()) > 0 {
		row.parent = span.GetParentSpanId()
	}
	if die := textAttribute(span.GetAttributes(), contract.AttrDieType); die != "" {
		row.die = die
	}
	rest := &tracepb.Span{
		TraceState: span.GetTraceState(), Flags: span.GetFlags(),
		Events: span.GetEvents(), Links: span.GetLinks(),
		DroppedAttributesCount: span.GetDroppedAttributesCount(), DroppedEventsCount: span.GetDroppedEventsCount(), DroppedLinksCount: span.GetDroppedLinksCount(),
	}
	rest.ProtoReflect().SetUnknown(span.ProtoReflect().GetUnknown())
	attributes, exact := appendAttributes(make([]byte, 0, 512), span.GetAttributes())
	if !exact {
		rest.Attributes = span.GetAttributes()
	}
	row.attributes = string(attributes)
	if status := span.GetStatus(); status != nil {
		plain := &tracepb.Status{Code: status.GetCode()}
		switch known := status.GetCode() > 0 && status.GetCode() <= 2; {
		case known && proto.Equal(plain, status):
			row.status = int32(status.GetCode())
		case known:
			row.status, rest.Status = int32(status.GetCode()), status
		default:
			rest.Status = status
		}
	}
	data, err := proto.Marshal(rest)
	if err != nil {
		return row, fmt.Errorf("encoding: %w", err)
	}
	if len(data) > 0 {
		row.rest = data
	}
	return row, nil
}

func (w *writer) insertSpans(rows []spanRow) error {
	for len(rows) > 0 {
		n := 1
		if len(rows) >= insertRows {
			n = insertRows
		}
		w.args = w.args[:0]
		for _, r := range rows[:n] {
			source, err := w.source(r.source)
			if err != nil {
				return err
			}
			service, err := w.word(r.source.service)
			if err != nil {
				return err
			}
			name, err := w.word(r.name)
			if err != nil {
				return err
			}
			die := r.die
			if text, ok := die.(string); ok {
				if die, err = w.word(text); err != nil {
					return err
				}
			}
			w.args = append(w.args, r.trace, r.span, r.parent, r.start, r.duration, source, service, name, int64(r.kind), int64(r.status), die, r.attributes, r.rest)
		}
		if _, err := w.exec(insertSpans(n), w.args...); err != nil {
			return fmt.Errorf("inserting spans: %w", err)
		}
		rows = rows[n:]
	}
	return nil
}

func insertSpans(n int) string {
	row := "(" + strings.Repeat("?,", strings.Count(spanColumns, ",")) + "?)"
	return "INSERT INTO span_row (" + spanColumns + ") VALUES " + strings.Repeat(row+",", n-1) + row
}

func (w *writer) word(text string) (int64, error) {
	return w.intern(w.words, text, "SELECT id FROM word WHERE text = ?", "INSERT INTO word (text) VALUES (?) RETURNING id", text)
}

func (w *writer) source(r *sourceRow) (int64, error) {
	return w.intern(w.sources, string(r.data), "SELECT id FROM span_source WHERE data = ?",
		"INSERT INTO span_source (data, service, scope, resource) VALUES (?, ?, ?, ?) RETURNING id", r.data, r.service, r.scope, r.resource)
}
