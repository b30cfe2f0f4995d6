package tempo

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/traceql"
)

// Bounds of an answer to a query for metrics.
const (
	maxPoints       = 11_000 // of a series
	maxSeries       = 1_000  // Tempo's default (query_frontend.metrics, max_response_series)
	maxSeriesPoints = 500_000
)

// metricRange is the time of a query for metrics: points at from+step and so on up to
// to, each for the spans that begin in the step before it, (point-step, point].
type metricRange struct {
	from, to time.Time
	step     time.Duration
}

// metricSeries is a series of an answer.
type metricSeries struct {
	labels     []*commonpb.KeyValue
	promLabels string  // the same as Prometheus writes them, without types
	counts     []int64 // of each step
}

// metricsRange answers /api/metrics/query_range.
func (a *api) metricsRange(w http.ResponseWriter, r *http.Request) error {
	within, err := metricBounds(r.URL.Query())
	if err != nil {
		return err
	}
	step, err := metricStep(r.URL.Query().Get("step"), within.step)
	if err != nil {
		return err
	}
	if step != within.step { // else the whole time is one step
		// Points are at multiples of the step, so that they do not move with the start.
		from, to := within.from.UnixNano(), within.to.UnixNano()+int64(step)-1
		within.from = time.Unix(0, from-from%int64(step)-int64(step))
		within.to, within.step = time.Unix(0, to-to%int64(step)), step
	}
	points := int(within.to.Sub(within.from) / within.step)
	if points > maxPoints {
		return badRequest("the query has %d points for each series: at most %d are allowed; use a longer step or a shorter time", points, maxPoints)
	}
	return a.metrics(w, r, within, func(e *encoder, values []float64) {
		e.text(`"samples":`)
		e.list(points, func(i int) {
			at := within.from.Add(time.Duration(i+1) * within.step)
			e.text(`{"timestampMs":"` + strconv.FormatInt(at.UnixMilli(), 10) + `","value":`)
			e.value(values[i])
			e.text("}")
		})
	})
}

// metricsInstant answers /api/metrics/query: one value for the whole time.
func (a *api) metricsInstant(w http.ResponseWriter, r *http.Request) error {
	within, err := metricBounds(r.URL.Query())
	if err != nil {
		return err
	}
	return a.metrics(w, r, within, func(e *encoder, values []float64) {
		e.text(`"value":`)
		e.value(values[0])
	})
}

// metrics answers with series. write writes the values of one.
func (a *api) metrics(w http.ResponseWriter, r *http.Request, within metricRange, write func(*encoder, []float64)) error {
	q, err := a.parser.ParseMetric(cmp.Or(r.URL.Query().Get("q"), r.URL.Query().Get("query")))
	if err != nil {
		return err
	}
	series, partial, err := a.count(r.Context(), q, within)
	if err != nil {
		return err
	}
	resp := searchResponse{Metrics: searchMetrics{CompletedJobs: 1, TotalJobs: 1}}
	if partial {
		resp.Status, resp.Metrics.CompletedJobs = "PARTIAL", 0
		resp.Message = "too many spans had to be read to count them, or there are too many series: narrow the time range, count by fewer attributes, or use conditions that are joined by && alone"
	}
	names := slices.Sorted(maps.Keys(series))
	return respond(w, r, func(e *encoder) {
		e.text(`{"series":`)
		e.list(len(names), func(i int) {
			s := series[names[i]]
			e.text(`{"labels":`)
			e.list(len(s.labels), func(j int) { e.message(s.labels[j]) })
			e.text(`,"promLabels":`)
			e.value(s.promLabels)
			e.text(",")
			values := make([]float64, len(s.counts))
			for i, n := range s.counts {
				if values[i] = float64(n); q.Metric.Rate {
					values[i] /= within.step.Seconds()
				}
			}
			write(e, values)
			e.text("}")
		})
		e.fields(resp)
	})
}

// count counts the spans that a query finds, in series by their labels and the types of
// these.
func (a *api) count(ctx context.Context, q *traceql.Query, within metricRange) (series map[string]metricSeries, partial bool, err error) {
	points := int(within.to.Sub(within.from) / within.step)
	series = map[string]metricSeries{}
	full := false
	add := func(values []any, at time.Time, n int) {
		labels, promLabels := labelsOf(q.Metric, values)
		name := promLabels
		for _, v := range values {
			name += fmt.Sprintf(" %T", v)
		}
		s, ok := series[name]
		if !ok {
			if len(series) == maxSeries || (len(series)+1)*points > maxSeriesPoints {
				full = true
				return
			}
			s = metricSeries{labels, promLabels, make([]int64, points)}
			series[name] = s
		}
		s.counts[(at.Sub(within.from)-1)/within.step] += int64(n)
	}
	if len(q.Metric.By) == 0 {
		add(nil, within.to, 0) // it is there also if no span is
	}
	count := store.SpanCount{From: within.from, To: within.to, Step: within.step}
	required := q.Required()[0]
	count.Where = checkable(required)
	count.Exact = q.Conjunction() && len(count.Where) == len(required)
	for _, f := range q.Metric.By {
		scope, name, _ := storedAs(f)
		count.By = append(count.By, store.Attribute{Scope: scope, Name: name})
	}
	var refused error
	count.Read = func(at time.Time, s store.Span) {
		found, err := q.Select(ctx, []traceql.Span{{Span: s.Span, Resource: s.Source.Resource}}, traceql.Trace{})
		if err != nil || len(found) == 0 {
			return // the error is the context's
		}
		var values []any
		for _, f := range q.Metric.By {
			value, err := valueOf(f, s)
			refused = cmp.Or(refused, err)
			values = append(values, value)
		}
		add(values, at, 1)
	}
	partial, err = a.store.CountSpans(ctx, count, add)
	return series, partial || full, cmp.Or(err, ctx.Err(), refused)
}

// valueOf returns the value of a field of a span as [store.Store.CountSpans] has it.
func valueOf(f traceql.Field, s store.Span) (any, error) {
	switch f.Scope {
	case traceql.Name:
		return s.GetName(), nil
	case traceql.Status:
		return int64(s.GetStatus().GetCode()), nil
	case traceql.Kind:
		return int64(s.GetKind()), nil
	}
	value, ok := traceql.Attribute(f, s.Span, s.Source.Resource)
	if !ok {
		return nil, nil
	}
	switch v := value.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue, nil
	case *commonpb.AnyValue_IntValue:
		return v.IntValue, nil
	case *commonpb.AnyValue_DoubleValue:
		return v.DoubleValue, nil
	case *commonpb.AnyValue_BoolValue:
		return v.BoolValue, nil
	}
	return nil, badRequest("%s of a span is a list, a map, bytes or nothing: counting by it is not supported by the embedded stack: %s", f.Name, useNative)
}

// labelsOf returns the labels of a series, and as Prometheus writes them. A value that
// spans do not have is no label; without any, the first one is nil.
func labelsOf(m *traceql.Metric, values []any) (labels []*commonpb.KeyValue, text string) {
	var texts []string
	label := func(name string, value *commonpb.AnyValue, shown string) {
		labels = append(labels, &commonpb.KeyValue{Key: name, Value: value})
		if strings.ContainsFunc(name, func(r rune) bool {
			return !(r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
		}) {
			name = strconv.Quote(name)
		}
		texts = append(texts, name+"="+strconv.Quote(shown))
	}
	textValue := func(s string) *commonpb.AnyValue {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
	}
	for i, f := range m.By {
		switch v := values[i].(type) {
		case string:
			label(f.String(), textValue(v), cmp.Or(v, "<empty>"))
		case int64:
			switch f.Scope {
			case traceql.Status:
				name, ok := tracepb.Status_StatusCode_name[int32(v)]
				if !ok {
					name = tracepb.Status_STATUS_CODE_UNSET.String()
				}
				w := word("STATUS_CODE_", name)
				label(f.String(), w, w.GetStringValue())
			case traceql.Kind:
				w := word("SPAN_KIND_", tracepb.Span_SpanKind(v).String())
				label(f.String(), w, w.GetStringValue())
			default:
				label(f.String(), &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: v}}, strconv.FormatInt(v, 10))
			}
		case float64:
			label(f.String(), &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: v}}, strconv.FormatFloat(v, 'g', -1, 64))
		case bool:
			label(f.String(), &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: v}}, strconv.FormatBool(v))
		}
	}
	if len(m.By) == 0 {
		label("__name__", textValue(m.Name), m.Name)
	} else if len(labels) == 0 {
		label(m.By[0].String(), textValue("nil"), "<nil>")
	}
	slices.Sort(texts)
	return labels, "{" + strings.Join(texts, ", ") + "}"
}

// metricBounds reads start, end and since, as one step; the default is the last hour.
func metricBounds(values url.Values) (within metricRange, err error) {
	if within.to, err = metricTime(values, "end", time.Now()); err != nil {
		return within, err
	}
	since := time.Hour
	if s := values.Get("since"); s != "" {
		if since, err = time.ParseDuration(s); err != nil || since <= 0 {
			return within, badRequest("invalid since: %q: write it like 30m or 1h", s)
		}
	}
	if within.from, err = metricTime(values, "start", within.to.Add(-since)); err != nil {
		return within, err
	}
	if !within.from.Before(within.to) {
		return within, badRequest("http parameter start must be before end. received start=%s end=%s", values.Get("start"), values.Get("end"))
	}
	within.step = within.to.Sub(within.from)
	return within, nil
}

// metricTime reads a time in seconds or nanoseconds since 1970, or of RFC 3339.
func metricTime(values url.Values, name string, absent time.Time) (time.Time, error) {
	s := values.Get(name)
	if s == "" {
		return absent, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
		if n > 1<<33 {
			return time.Unix(0, n), nil
		}
		return time.Unix(n, 0), nil
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || at.Unix() <= 0 || at.Unix() > 1<<33 {
		return at, badRequest("invalid %s: %q: it must be in seconds or nanoseconds since 1970, or like 2026-11-27T12:00:00Z", name, s)
	}
	return at, nil
}

// metricStep reads a step. The default is a 240th of the time in whole seconds, in fives
// above five.
func metricStep(s string, whole time.Duration) (time.Duration, error) {
	if s == "" {
		step := (whole / 240).Truncate(5 * time.Second)
		if step == 0 {
			step = max((whole / 240).Truncate(time.Second), time.Second)
		}
		return step, nil
	}
	step, err := time.ParseDuration(s)
	if seconds, ferr := strconv.ParseFloat(s, 64); ferr == nil && seconds < 1<<33 {
		step, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || step < time.Millisecond || step < whole && step > store.MaxStep {
		return 0, badRequest("invalid step: %q: write it like 15s or 1m, or in seconds, from 1ms to %v", s, store.MaxStep)
	}
	return min(step, whole), nil
}
