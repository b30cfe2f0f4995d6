package tempo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/traceql"
)

// rootMissing is Tempo's name for the missing root of a trace.
const rootMissing = "<root span not yet received>"

// The JSON of tempopb.SearchResponse. Fields that protobuf leaves out when they
// are zero are left out.
type (
	searchResponse struct { // after the traces
		Metrics searchMetrics `json:"metrics"`
		Status  string        `json:"status,omitempty"` // PARTIAL, or left out
		Message string        `json:"message,omitempty"`
	}
	searchMetrics struct {
		InspectedTraces int `json:"inspectedTraces,omitempty"`
		CompletedJobs   int `json:"completedJobs,omitempty"`
		TotalJobs       int `json:"totalJobs,omitempty"`
	}
	traceMetadata struct {
		TraceID           string `json:"traceID"`
		RootServiceName   string `json:"rootServiceName,omitempty"`
		RootTraceName     string `json:"rootTraceName,omitempty"`
		StartTimeUnixNano uint64 `json:"startTimeUnixNano,string"`
		DurationMs        uint64 `json:"durationMs,omitempty"`
		// spanSet, which is deprecated in Tempo and still sent, and spanSets follow.
		ServiceStats map[string]serviceStats `json:"serviceStats"`
	}
	spanMetadata struct {
		SpanID            string            `json:"spanID"`
		Name              string            `json:"name,omitempty"`
		StartTimeUnixNano uint64            `json:"startTimeUnixNano,string"`
		DurationNanos     int64             `json:"durationNanos,string"`
		Attributes        []json.RawMessage `json:"attributes,omitempty"`
	}
	serviceStats struct {
		SpanCount  int `json:"spanCount"`
		ErrorCount int `json:"errorCount,omitempty"`
	}
)

func (a *api) search(w http.ResponseWriter, r *http.Request) error {
	values := r.URL.Query()
	query, err := a.query(values)
	if err != nil {
		return err
	}
	limit, err := number(values, "limit", defaultLimit, maxLimit)
	if err != nil {
		return err
	}
	spans, err := number(values, "spss", defaultSpans, maxSpans)
	if err != nil {
		return err
	}
	from, to, err := timeRange(values)
	if err != nil {
		return err
	}
	window, ctx := window{from, to}, r.Context()
	found, err := a.store.Search(ctx, store.SearchQuery{
		From: window.earliest(), To: to, Limit: limit, Where: conditions(query), Match: window.only(matcher(ctx, query)),
	})
	if err == nil {
		err = ctx.Err() // once it has ended, nothing matches
	}
	if err != nil {
		return err
	}
	resp := searchResponse{Metrics: searchMetrics{InspectedTraces: found.Inspected, CompletedJobs: 1, TotalJobs: 1}}
	if found.Partial {
		resp.Status, resp.Metrics.CompletedJobs = "PARTIAL", 0
		resp.Message = "only the newest traces, and of very large ones a part, were looked at: add a condition on resource.service.name, name, status or duration, or narrow the time range"
	}
	return respond(w, r, func(e *encoder) {
		e.text(`{"traces":`)
		e.list(len(found.Traces), func(i int) { e.found(found.Traces[i], query, spans) })
		e.fields(resp)
	})
}

// fields writes the fields of v, which has at least one, as the last ones of an object, and
// closes the object.
func (e *encoder) fields(v any) {
	text, err := json.Marshal(v)
	e.err = cmp.Or(e.err, err)
	e.text(",")
	e.bytes(bytes.TrimPrefix(text, []byte("{")))
}

// query parses q, or the parameters from before TraceQL.
func (a *api) query(values url.Values) (*traceql.Query, error) {
	var legacy []string
	for _, name := range []string{"tags", "minDuration", "maxDuration"} {
		if values.Get(name) != "" {
			legacy = append(legacy, name)
		}
	}
	if !values.Has("q") || values.Get("q") == "" {
		text, err := legacyQuery(values)
		if err != nil {
			return nil, err
		}
		return a.parser.Parse(text)
	}
	if len(legacy) > 0 {
		return nil, badRequest("invalid request: q cannot be used together with %s: write it as a condition of q", strings.Join(legacy, ", "))
	}
	return a.parser.Parse(values.Get("q"))
}

// conditions returns the conditions with which the store finds candidates. They must be
// those of one span, so it uses the spanset with the most conditions; if several have as
// many, the last, whose spans are shown.
func conditions(q *traceql.Query) (most []store.Condition) {
	for _, required := range q.Required() {
		if list := checkable(required); len(list) >= len(most) {
			most = list
		}
	}
	return most
}

func checkable(required []traceql.Condition) (list []store.Condition) {
	for _, c := range required {
		scope, name, ok := storedAs(c.Field)
		if !ok {
			continue // of the trace, not of a span
		}
		cond := store.Condition{Scope: scope, Name: name, Op: store.Op(c.Op)}
		switch c.Value.Type {
		case traceql.String:
			cond.Value = c.Value.Text
		case traceql.Float:
			cond.Value = c.Value.Float
		case traceql.Bool:
			cond.Value = c.Value.Bool
		default:
			cond.Value = c.Value.Int
		}
		if c.Pattern != nil && !c.Pattern.Cheap() {
			continue // the engine could not stop within a match
		}
		list = append(list, cond)
	}
	return list
}

// storedAs returns the store's name of a field, or false for a field of the trace.
func storedAs(f traceql.Field) (scope store.Scope, name string, ok bool) {
	switch f.Scope {
	case traceql.Name:
		return store.ScopeIntrinsic, store.Name, true
	case traceql.Status:
		return store.ScopeIntrinsic, store.Status, true
	case traceql.Kind:
		return store.ScopeIntrinsic, store.Kind, true
	case traceql.Duration:
		return store.ScopeIntrinsic, store.Duration, true
	case traceql.AnyScope:
		return store.ScopeAny, f.Name, true
	case traceql.SpanScope:
		return store.ScopeSpan, f.Name, true
	case traceql.ResourceScope:
		return store.ScopeResource, f.Name, true
	}
	return "", "", false
}

// lookback is the longest time before a time range at which a matching span may begin,
// in a trace that ends within the range.
const lookback = time.Minute

// window is a time range. It has the traces that overlap it. The zero time means
// unbounded.
type window struct{ from, to time.Time }

// earliest returns the earliest start of a matching span.
func (w window) earliest() time.Time {
	if w.from.IsZero() {
		return w.from
	}
	return w.from.Add(-lookback)
}

// only returns match without the traces that have ended before the range.
func (w window) only(match func(store.Trace) []int) func(store.Trace) []int {
	if w.from.IsZero() {
		return match
	}
	return func(t store.Trace) []int {
		if _, end := t.Bounds(); end < uint64(w.from.UnixNano()) {
			return nil
		}
		return match(t)
	}
}

// about returns the properties of a trace that a query may use.
func about(t store.Trace) traceql.Trace {
	start, end := t.Bounds()
	about := traceql.Trace{Duration: time.Duration(end - start)}
	if root, ok := t.Root(); ok {
		about.RootName, about.RootServiceName = root.GetName(), root.Source.Service
	}
	return about
}

// matcher returns a function that finds the spans of a trace that match the query. Once
// ctx has ended, it finds none.
func matcher(ctx context.Context, q *traceql.Query) func(store.Trace) []int {
	return func(t store.Trace) []int {
		spans := make([]traceql.Span, len(t.Spans))
		for i, s := range t.Spans {
			spans[i] = traceql.Span{Span: s.Span, Resource: s.Source.Resource}
		}
		found, err := q.Select(ctx, spans, about(t))
		if err != nil {
			return nil
		}
		return found
	}
}

// found writes a trace of a search's response, with at most the given number of spans.
func (e *encoder) found(t store.FoundTrace, q *traceql.Query, spans int) {
	start, end := t.Bounds()
	meta := traceMetadata{
		TraceID: hex.EncodeToString(t.ID[:]), RootServiceName: rootMissing, StartTimeUnixNano: start,
		ServiceStats: make(map[string]serviceStats),
	}
	if end > start {
		meta.DurationMs = (end - start) / uint64(time.Millisecond)
	}
	if root, ok := t.Root(); ok {
		meta.RootTraceName = root.GetName()
		if root.Source.Service != "" { // else the name says that no root was received, as in Tempo
			meta.RootServiceName = root.Source.Service
		}
	}
	for _, s := range t.Spans {
		stats := meta.ServiceStats[s.Source.Service]
		stats.SpanCount++
		if s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
			stats.ErrorCount++
		}
		meta.ServiceStats[s.Source.Service] = stats
	}
	e.text(`{"spanSet":`)
	set := e.spanSet(t, q, t.Matched[:min(spans, len(t.Matched))])
	e.text(`,"spanSets":[`)
	for _, piece := range set {
		e.bytes(piece)
	}
	e.text("]")
	e.fields(meta)
}

// spanSet writes spans of a trace, by their indexes. It writes each span before it makes
// the next, because an attribute that they share may be large. It returns the pieces that it
// wrote.
func (e *encoder) spanSet(t store.FoundTrace, q *traceql.Query, shown []int) (written [][]byte) {
	again := &encoder{ctx: e.ctx, w: writerFunc(func(piece []byte) (int, error) {
		written = append(written, piece)
		return e.w.Write(piece)
	}), err: e.err}
	trace := about(t.Trace)
	again.text(`{"spans":`)
	again.list(len(shown), func(i int) {
		span, err := spanOf(e.ctx, t.Spans[shown[i]], q, trace)
		again.err = cmp.Or(again.err, err)
		again.value(span)
	})
	again.text(fmt.Sprintf(`,"matched":%d`, len(t.Matched)))
	if q.Counts() > 0 {
		again.text(`,"attributes":`)
		again.list(q.Counts(), func(int) {
			again.message(&commonpb.KeyValue{Key: "count()", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(len(t.Matched))}}})
		})
	}
	again.text("}")
	e.err = again.err
	return written
}

// writerFunc is an io.Writer.
type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// spanOf returns a span with the fields that the query shows, as Tempo does: the name has
// its own place, and the duration is not repeated.
func spanOf(ctx context.Context, s store.Span, q *traceql.Query, trace traceql.Trace) (spanMetadata, error) {
	meta := spanMetadata{
		SpanID: hex.EncodeToString(s.GetSpanId()), StartTimeUnixNano: s.GetStartTimeUnixNano(), DurationNanos: s.Duration(),
	}
	list, err := q.MatchedFields(ctx, traceql.Span{Span: s.Span, Resource: s.Source.Resource}, trace)
	if err != nil {
		return meta, err
	}
	for _, shown := range list {
		value := shown.Value
		switch shown.Field.Scope {
		case traceql.Name:
			meta.Name = s.GetName()
			continue
		case traceql.Status:
			value = word("STATUS_CODE_", s.GetStatus().GetCode().String())
		case traceql.Kind:
			value = word("SPAN_KIND_", s.GetKind().String())
		case traceql.AnyScope, traceql.SpanScope, traceql.ResourceScope:
		default:
			continue
		}
		attribute, err := messageJSON(&commonpb.KeyValue{Key: shown.Field.Name, Value: value})
		if err != nil {
			return meta, err
		}
		meta.Attributes = append(meta.Attributes, attribute)
	}
	return meta, nil
}

// word returns TraceQL's word for the name of an enum value.
func word(prefix, name string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: strings.ToLower(strings.TrimPrefix(name, prefix))}}
}
