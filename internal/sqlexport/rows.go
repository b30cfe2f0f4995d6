package sqlexport

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/contract"
	"dicelab/internal/otlpjson"
	"dicelab/internal/query"
)

// Trace is a trace as it was read.
type Trace struct {
	otlpjson.Trace
	Partial bool // the server left spans out
}

// located is a span with its row and what it came with.
type located struct {
	*tracepb.Span
	id       int64
	resource int64
	service  string
	scope    *tracepb.ScopeSpans
}

// AddTrace writes a trace, its spans, their events, links and attributes, and returns
// the number of spans: 0 for a trace that was written before, which is left as it is,
// and for one without spans.
func (f *File) AddTrace(ctx context.Context, trace Trace) (int, error) {
	spans, err := f.locate(ctx, trace)
	if err != nil || len(spans) == 0 {
		return 0, err
	}
	if added, err := f.addSummary(ctx, trace, spans); !added || err != nil {
		return 0, err
	}
	rows := make(map[string]int64, len(spans)) // by span ID
	for _, s := range spans {
		if _, twice := rows[string(s.GetSpanId())]; !twice {
			rows[string(s.GetSpanId())] = s.id
		}
	}
	for _, s := range spans {
		if err := f.addSpan(ctx, trace.ID, s, rows); err != nil {
			return 0, err
		}
	}
	f.spans += int64(len(spans))
	return len(spans), nil
}

// locate gives every span of a trace the number of its row, and writes resources
// that are new.
func (f *File) locate(ctx context.Context, trace Trace) (spans []located, err error) {
	for _, batch := range trace.Data {
		attributes := attributesJSON(batch.GetResource().GetAttributes())
		service := ""
		for _, kv := range batch.GetResource().GetAttributes() {
			if kv.GetKey() == contract.AttrServiceName {
				service = kv.GetValue().GetStringValue()
				break
			}
		}
		resource, ok := f.resources[attributes]
		if !ok {
			resource = int64(len(f.resources) + 1)
			if err := f.add(ctx, "resources", resource, service, attributes); err != nil {
				return nil, err
			}
			f.resources[attributes] = resource
		}
		for _, scope := range batch.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				spans = append(spans, located{span, f.spans + int64(len(spans)) + 1, resource, service, scope})
			}
		}
	}
	return spans, nil
}

func (f *File) addSpan(ctx context.Context, trace string, s located, rows map[string]int64) error {
	start, startNS := stamp(s.GetStartTimeUnixNano())
	var parent any // NULL
	if id, ok := rows[string(s.GetParentSpanId())]; ok {
		parent = id
	}
	scope := s.scope.GetScope()
	err := f.add(ctx, "spans", s.id, trace, hex.EncodeToString(s.GetSpanId()), hex.EncodeToString(s.GetParentSpanId()), parent,
		start, startNS, milliseconds(s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano()), s.service, s.GetName(),
		enum("SPAN_KIND_", s.GetKind().String()), enum("STATUS_CODE_", s.GetStatus().GetCode().String()), s.GetStatus().GetMessage(),
		attributesJSON(s.GetAttributes()), s.resource, scope.GetName(), scope.GetVersion(), s.GetTraceState())
	if err != nil {
		return err
	}
	for _, e := range s.GetEvents() {
		at, ns := stamp(e.GetTimeUnixNano())
		if err := f.add(ctx, "events", s.id, at, ns, e.GetName(), attributesJSON(e.GetAttributes())); err != nil {
			return err
		}
	}
	for _, l := range s.GetLinks() {
		err := f.add(ctx, "links", s.id, hex.EncodeToString(l.GetTraceId()), hex.EncodeToString(l.GetSpanId()), l.GetTraceState(), attributesJSON(l.GetAttributes()))
		if err != nil {
			return err
		}
	}
	return nil
}

// addSummary writes the row of the trace, and reports whether it is new. Its service
// and name are those of the span without a parent that began first, NULL if there is
// none.
func (f *File) addSummary(ctx context.Context, trace Trace, spans []located) (added bool, err error) {
	var root *located
	first, last, failed := uint64(math.MaxUint64), uint64(0), 0
	for i, s := range spans {
		first, last = min(first, s.GetStartTimeUnixNano()), max(last, s.GetEndTimeUnixNano())
		if s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
			failed++
		}
		if len(s.GetParentSpanId()) == 0 && (root == nil || s.GetStartTimeUnixNano() < root.GetStartTimeUnixNano()) {
			root = &spans[i]
		}
	}
	var service, name any
	if root != nil {
		service, name = root.service, root.GetName()
	}
	start, startNS := stamp(first)
	n, err := f.insertRow(ctx, "traces", trace.ID, start, startNS, milliseconds(first, last), service, name, len(spans), failed, trace.Partial)
	return n > 0, err
}

// AddLine writes a log line.
func (f *File) AddLine(ctx context.Context, line query.LogLine) error {
	labels, err := object(line.Labels)
	if err != nil {
		return err
	}
	metadata, err := object(line.Metadata)
	if err != nil {
		return err
	}
	stream, ok := f.streams[labels]
	if !ok {
		stream = int64(len(f.streams) + 1)
		if err := f.add(ctx, "streams", stream, labels); err != nil {
			return err
		}
		f.streams[labels] = stream
	}
	if line.Fields == nil && (line.TraceID() == "" || line.SpanID() == "" || line.Service() == "" || line.Level() == "") {
		line.Fields = query.ParseFields(line.Text) // it may be there
	}
	ns := line.Time.UnixNano()
	f.lines++
	return f.add(ctx, "logs", f.lines, line.Time.UTC().Format(timeForm), ns, orNull(line.Service()), orNull(line.Level()),
		orNull(line.TraceID()), orNull(line.SpanID()), line.Text, stream, metadata)
}

// object returns a map as a JSON object with its keys sorted.
func object(m map[string]string) (string, error) {
	if len(m) == 0 {
		return "{}", nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return "", fmt.Errorf("encoding labels: %w", err)
	}
	return string(bytes.TrimSpace(b.Bytes())), nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
