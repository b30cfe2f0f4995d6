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
	"slices"
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
	query, err := searchQuery(values)
	if err != nil {
		return err
	}
	limit, err := number(values, "limit", defaultLimit, maxLimit)
	if err != nil {
		return err
	}
	if values.Get("spss") == "0" {
		values.Del("spss") // tempo-cli means the default
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
	where, _ := conditions(query.Candidates())
	found, err := a.store.Search(ctx, store.SearchQuery{
		From: window.earliest(), To: to, Limit: limit, Where: where, Match: window.only(matcher(ctx, query)),
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
		resp.Message = "only the newest traces, and of very large ones a part, were looked at: add a condition on " +
			"resource.service.name, name, status or duration, or narrow the time range"
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

// searchQuery parses q, or the parameters from before TraceQL.
func searchQuery(values url.Values) (*traceql.Query, error) {
	text := values.Get("q")
	if text == "" {
		var err error
		if text, err = legacyQuery(values); err != nil {
			return nil, err
		}
		return traceql.Parse(text)
	}
	for _, name := range []string{"tags", "minDuration", "maxDuration"} {
		if values.Get(name) != "" {
			return nil, badRequest("invalid request: q cannot be used together with %s: write it as a condition of q", name)
		}
	}
	return traceql.Parse(text)
}

// lookback is the longest time before a time range at which a matching span may begin,
// in a trace that ends within the range.
const lookback = time.Minute

// window is a time range. It has the traces that overlap it. The zero time means
// unbounded.
type window struct{ from, to time.Time }

// earliest returns the earliest start of a matching span. A range in the future has traces of
// clocks that are ahead, and none that is under way when it begins.
func (w window) earliest() time.Time {
	if w.from.IsZero() || w.from.After(time.Now()) {
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

// traceOf returns a trace as queries see it.
func traceOf(t store.Trace) *traceql.Trace {
	start, end := t.Bounds()
	n := len(t.Spans)
	trace := &traceql.Trace{Spans: make([]traceql.Span, n), Order: make([]int, n), Duration: time.Duration(end - start)}
	for i, s := range t.Spans {
		trace.Spans[i], trace.Order[i] = spanOf(s), i
	}
	slices.SortStableFunc(trace.Order, func(a, b int) int { return cmp.Compare(t.Spans[a].Arrival, t.Spans[b].Arrival) })
	if root, ok := t.Root(); ok {
		trace.RootName, trace.RootServiceName = root.GetName(), root.Source.Service
	}
	return trace
}

func spanOf(s store.Span) traceql.Span {
	return traceql.Span{Span: s.Span, Resource: s.Source.Resource, Scope: s.Source.Scope}
}

// matcher returns a function that finds the spans of a trace that match the query. Once
// ctx has ended, it finds none.
func matcher(ctx context.Context, q *traceql.Query) func(store.Trace) []int {
	return func(t store.Trace) (spans []int) {
		sets, err := q.Select(ctx, traceOf(t))
		if err != nil {
			return nil
		}
		for _, set := range sets {
			spans = append(spans, set.Spans...)
		}
		return spans
	}
}

// found writes a trace of a search's response, with at most the given number of spans of
// each spanset.
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
	trace := traceOf(t.Trace)
	sets, err := q.Select(e.ctx, trace)
	if e.err = cmp.Or(e.err, err); len(sets) == 0 {
		return // the context has ended
	}
	e.text(`{"spanSet":`)
	first := e.spanSet(trace, q, sets[0], spans)
	e.text(`,"spanSets":`)
	e.list(len(sets), func(i int) {
		if i > 0 {
			e.spanSet(trace, q, sets[i], spans)
			return
		}
		for _, piece := range first {
			e.bytes(piece)
		}
	})
	e.fields(meta)
}

// spanSet writes a spanset with at most so many spans. It writes each span before it makes
// the next, because an attribute that they share may be large. It returns the pieces that it
// wrote.
func (e *encoder) spanSet(trace *traceql.Trace, q *traceql.Query, set traceql.Spanset, most int) (written [][]byte) {
	again := &encoder{ctx: e.ctx, w: writerFunc(func(piece []byte) (int, error) {
		written = append(written, piece)
		return e.w.Write(piece)
	}), err: e.err}
	again.text(`{"spans":`)
	again.list(min(most, len(set.Spans)), func(i int) {
		span, err := shownSpan(e.ctx, trace, set.Spans[i], q)
		again.err = cmp.Or(again.err, err)
		again.value(span)
	})
	again.text(fmt.Sprintf(`,"matched":%d`, len(set.Spans)))
	if len(set.Attributes) > 0 {
		again.text(`,"attributes":`)
		again.list(len(set.Attributes), func(i int) { again.attribute(set.Attributes[i].Name, set.Attributes[i].Value) })
	}
	again.text("}")
	e.err = again.err
	return written
}

// attribute writes a named value.
func (e *encoder) attribute(name string, v traceql.Value) {
	e.message(&commonpb.KeyValue{Key: name, Value: v.Any()})
}

// writerFunc is an io.Writer.
type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// shownSpan returns a span with the fields that the query shows, as Tempo does: the name has
// its own place, and what the trace shows anyway is not repeated.
func shownSpan(ctx context.Context, trace *traceql.Trace, i int, q *traceql.Query) (spanMetadata, error) {
	s := trace.Spans[i]
	meta := spanMetadata{
		SpanID: hex.EncodeToString(s.GetSpanId()), StartTimeUnixNano: s.GetStartTimeUnixNano(),
		DurationNanos: int64(max(s.GetEndTimeUnixNano(), s.GetStartTimeUnixNano()) - s.GetStartTimeUnixNano()),
	}
	list, err := q.MatchedFields(ctx, trace, i)
	if err != nil {
		return meta, err
	}
	for _, shown := range list {
		if shown.Field.Scope == traceql.Intrinsic {
			switch shown.Field.Name {
			case traceql.Name:
				meta.Name = s.GetName()
				continue
			case traceql.Duration, traceql.TraceDuration, traceql.RootName, traceql.RootServiceName, traceql.TraceID,
				traceql.SpanID:
				continue
			}
		}
		attribute, err := messageJSON(&commonpb.KeyValue{Key: shown.Field.Name, Value: shown.Value.Any()})
		if err != nil {
			return meta, err
		}
		meta.Attributes = append(meta.Attributes, attribute)
	}
	return meta, nil
}
