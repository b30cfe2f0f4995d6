package tempo

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"strconv"
	"time"

	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/traceql"
)

// Bounds of an answer to a query for metrics.
const (
	maxPoints       = 11_000 // of a series
	maxSeries       = 1_000  // Tempo's default (query_frontend.metrics, max_response_series)
	maxSeriesPoints = 500_000
	maxExemplars    = 100 // Tempo's default (query_frontend.metrics, max_exemplars)
)

// metricsRange answers /api/metrics/query_range.
func (a *api) metricsRange(w http.ResponseWriter, r *http.Request) error {
	within, err := metricRange(r.URL.Query())
	if err != nil {
		return err
	}
	points := within.Points()
	if points > maxPoints {
		return badRequest("the query has %d points for each series: at most %d are allowed; use a longer step or a shorter "+
			"time", points, maxPoints)
	}
	return a.metrics(w, r, within, maxExemplars, func(e *encoder, s traceql.Series) {
		e.text(`,"samples":[`)
		comma := ""
		for i, v := range s.Values {
			if math.IsNaN(v) {
				continue
			}
			at := within.From.Add(time.Duration(i+1) * within.Step)
			e.text(comma + `{"timestampMs":"` + strconv.FormatInt(at.UnixMilli(), 10) + `"`)
			e.number(v)
			e.text("}")
			comma = ","
		}
		e.text("]")
		if len(s.Exemplars) > 0 {
			e.text(`,"exemplars":`)
			e.list(len(s.Exemplars), func(i int) { e.exemplar(s.Exemplars[i]) })
		}
	})
}

// metricsInstant answers /api/metrics/query: one value for the whole time.
func (a *api) metricsInstant(w http.ResponseWriter, r *http.Request) error {
	from, to, err := metricBounds(r.URL.Query())
	if err != nil {
		return err
	}
	return a.metrics(w, r, traceql.Range{From: from, To: to, Step: to.Sub(from)}, 0, func(e *encoder, s traceql.Series) {
		e.number(s.Values[0])
	})
}

// metrics answers with series. write writes the values of one.
func (a *api) metrics(w http.ResponseWriter, r *http.Request, within traceql.Range, exemplars int,
	write func(*encoder, traceql.Series)) error {
	values := r.URL.Query()
	q, err := traceql.ParseMetric(cmp.Or(values.Get("q"), values.Get("query")))
	if err != nil {
		return err
	}
	if exemplars > 0 {
		exemplars = exemplarsOf(q, values.Get("exemplars"))
	}
	aggregator := q.Metric.Aggregator(within, traceql.Limits{Series: maxSeries, Points: maxSeriesPoints,
		Exemplars: exemplars})
	partial, err := a.collect(r.Context(), q, within, aggregator)
	if err != nil {
		return err
	}
	resp := searchResponse{Metrics: searchMetrics{CompletedJobs: 1, TotalJobs: 1}}
	if partial || aggregator.Full() {
		resp.Status, resp.Metrics.CompletedJobs = "PARTIAL", 0
		resp.Message = "too many spans or traces had to be read, or there are too many series: narrow the time range, " +
			"group by fewer fields, or use conditions on service, name, status and attributes that && joins"
	}
	series := aggregator.Series()
	return respond(w, r, func(e *encoder) {
		e.text(`{"series":`)
		e.list(len(series), func(i int) {
			e.text(`{"labels":`)
			e.labels(series[i].Labels)
			write(e, series[i])
			e.text("}")
		})
		e.fields(resp)
	})
}

func (e *encoder) labels(labels []traceql.Label) {
	e.list(len(labels), func(i int) { e.attribute(labels[i].Name, labels[i].Value) })
}

// number writes the field value, unless it is 0, in protobuf's JSON mapping.
func (e *encoder) number(v float64) {
	if v == 0 {
		return
	}
	e.text(`,"value":`)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		e.value(map[bool]string{true: "NaN", false: "Infinity"}[math.IsNaN(v)])
		return
	}
	e.value(v)
}

func (e *encoder) exemplar(x traceql.Exemplar) {
	e.text(`{"labels":`)
	e.labels(x.Labels)
	e.number(x.Value)
	e.text(`,"timestampMs":"` + strconv.FormatInt(x.Time.UnixMilli(), 10) + `"}`)
}

// exemplarsOf returns the number of exemplars that a query wants: that of its hint, or of
// the parameter, or as many as there may be.
func exemplarsOf(q *traceql.Query, parameter string) int {
	n, err := strconv.Atoi(parameter)
	if err != nil || n <= 0 {
		n = maxExemplars
	}
	switch hint := q.Hints["exemplars"]; {
	case hint.Type == traceql.TypeInt:
		n = int(max(hint.Int, 0))
	case hint.Type == traceql.TypeBool && hint.Int == 0:
		n = 0
	}
	return min(n, maxExemplars)
}

// collect gives the aggregator the spans that a query finds. partial reports that there may
// be more.
func (a *api) collect(ctx context.Context, q *traceql.Query, within traceql.Range,
	to *traceql.Aggregator) (partial bool, err error) {
	terms, exact := q.Found()
	where, all := conditions(terms)
	if q.OfTrace() {
		return a.collectTraces(ctx, q, where, within, to)
	}
	count := store.SpanCount{From: within.From, To: within.To, Step: within.Step, Where: where}
	count.Exact = exact && all
	fields := q.Metric.By
	if count.Each = q.Metric.Of != nil; count.Each {
		fields = append(fields[:len(fields):len(fields)], *q.Metric.Of)
	}
	for _, f := range fields {
		scope, name, ok := storedAs(f)
		if count.Exact = count.Exact && ok; ok {
			count.By = append(count.By, store.Attribute{Scope: scope, Name: name})
		}
	}
	count.Read = func(at time.Time, s store.Span) {
		trace := &traceql.Trace{Spans: []traceql.Span{spanOf(s)}}
		sets, e := q.Select(ctx, trace)
		if e == nil && len(sets) > 0 {
			e = to.Span(ctx, trace, 0, at)
		}
		err = cmp.Or(err, e)
	}
	values := make([]traceql.Value, len(fields)+1)
	partial, failed := a.store.CountSpans(ctx, count, func(by []any, at time.Time, n int) {
		for i, f := range fields {
			values[i] = f.Of(by[i])
		}
		to.Add(at, n, values[:len(q.Metric.By)], values[len(q.Metric.By)])
	})
	if err = cmp.Or(failed, err, ctx.Err()); err == nil && count.Exact {
		err = a.exemplars(ctx, q, where, within, to)
	}
	return partial, err
}

// collectTraces is collect for a query that needs whole traces.
func (a *api) collectTraces(ctx context.Context, q *traceql.Query, where []store.Condition, within traceql.Range,
	to *traceql.Aggregator) (partial bool, err error) {
	found, failed := a.store.Search(ctx, store.SearchQuery{
		From: within.From, To: within.To.Add(1), Limit: 1, Where: where,
		Match: func(t store.Trace) []int {
			trace := traceOf(t)
			sets, e := q.Select(ctx, trace)
			for _, set := range sets {
				for _, i := range set.Spans {
					e = cmp.Or(e, to.Span(ctx, trace, i, startOf(t.Spans[i])))
				}
			}
			err = cmp.Or(err, e)
			return nil // go on to the next
		},
	})
	return found.Partial, cmp.Or(failed, err)
}

func startOf(s store.Span) time.Time { return time.Unix(0, int64(s.GetStartTimeUnixNano())) }

// exemplarParts is the number of parts of a range. Exemplars are taken from each part.
const exemplarParts = 10

// exemplars adds exemplars for spans that the index has counted.
func (a *api) exemplars(ctx context.Context, q *traceql.Query, where []store.Condition, within traceql.Range,
	to *traceql.Aggregator) error {
	part := within.To.Sub(within.From) / exemplarParts
	for i := range time.Duration(exemplarParts) {
		most := to.Wanted() / int(exemplarParts-i)
		if most == 0 {
			continue
		}
		var failed error
		from := within.From.Add(i * part)
		err := a.store.SampleSpans(ctx, from, from.Add(part), where, most, func(start time.Time, s store.Span) {
			trace := &traceql.Trace{Spans: []traceql.Span{spanOf(s)}}
			sets, err := q.Select(ctx, trace)
			if failed = cmp.Or(failed, err); err == nil && len(sets) > 0 {
				to.Exemplar(trace, 0, start)
			}
		})
		if err = cmp.Or(err, failed, ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}
