package logql

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// NewEngine returns an engine for [Metric.Eval], with a bound on the time and the samples
// of a query.
func NewEngine(timeout time.Duration) promql.QueryEngine {
	return promql.NewEngine(promql.EngineOpts{
		Logger: slog.New(slog.DiscardHandler), MaxSamples: 4 * MaxTotal, Timeout: timeout, Parser: parser.NewParser(parser.Options{}),
	})
}

// Result is the result of a metric query.
type Result struct {
	Scalar bool // one number, without labels: the query has no series
	Series []Series
}

// Eval evaluates a metric query from the series of its ranges, in order of Ranges. The
// series have points at the steps. Its error is a SeriesLimitError, a PointLimitError, an
// error of ctx, or one of the engine about the query.
func (m *Metric) Eval(ctx context.Context, engine promql.QueryEngine, ranges [][]Series, s Steps) (Result, error) {
	if err := s.check(); err != nil {
		return Result{}, err
	}
	if len(m.Ranges) == 1 && m.expr == reference(labelRange, 0) {
		return limited(Result{Series: ranges[0]})
	}
	stored := &seriesStore{ranges: ranges}
	for _, expr := range m.divisors {
		divisor, err := evaluate(ctx, engine, stored, expr, s)
		if err != nil {
			return Result{}, err
		}
		for _, series := range divisor.Series {
			for i, p := range series.Points {
				if p.Value == 0 {
					series.Points[i].Value = math.NaN()
				}
			}
		}
		stored.divisors = append(stored.divisors, divisor.Series)
	}
	result, err := evaluate(ctx, engine, stored, m.expr, s)
	if err != nil {
		return Result{}, err
	}
	if !m.sorted || !s.Instant {
		slices.SortFunc(result.Series, func(a, b Series) int {
			return labels.Compare(labels.FromMap(a.Metric), labels.FromMap(b.Metric))
		})
	}
	return limited(result)
}

// limited returns a result, unless it exceeds a bound.
func limited(r Result) (Result, error) {
	total := 0
	for _, series := range r.Series {
		total += len(series.Points)
	}
	switch {
	case len(r.Series) > MaxSeries:
		return Result{}, SeriesLimitError{}
	case total > MaxTotal:
		return Result{}, PointLimitError{}
	}
	return r, nil
}

// evaluate evaluates a PromQL expression over the series that are stored.
func evaluate(ctx context.Context, engine promql.QueryEngine, stored *seriesStore, expr string, s Steps) (Result, error) {
	// A point counts at its own step alone.
	opts := promql.NewPrometheusQueryOpts(false, time.Millisecond, nil)
	var query promql.Query
	var err error
	if s.Instant {
		query, err = engine.NewInstantQuery(ctx, stored, opts, expr, s.Start)
	} else {
		query, err = engine.NewRangeQuery(ctx, stored, opts, expr, s.Start, s.End, s.Step)
	}
	if err != nil {
		return Result{}, err
	}
	defer query.Close()
	out := query.Exec(ctx)
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	if out.Err != nil {
		return Result{}, out.Err
	}
	return resultOf(out.Value)
}

// resultOf converts a value of Prometheus's engine, which uses its memory again.
func resultOf(v parser.Value) (Result, error) {
	var r Result
	switch v := v.(type) {
	case promql.Scalar:
		r.Scalar = true
		r.Series = []Series{{Points: []Point{{time.UnixMilli(v.T), v.V}}}}
	case promql.Vector:
		for _, sample := range v {
			r.Series = append(r.Series, Series{Metric: sample.Metric.Map(), Points: []Point{{time.UnixMilli(sample.T), sample.F}}})
		}
	case promql.Matrix:
		for _, series := range v {
			points := make([]Point, len(series.Floats))
			for i, p := range series.Floats {
				points[i] = Point{time.UnixMilli(p.T), p.F}
			}
			r.Series = append(r.Series, Series{Metric: series.Metric.Map(), Points: points})
		}
	default:
		return r, fmt.Errorf("the engine returned a %s", v.Type())
	}
	return r, nil
}

// seriesStore is a storage.Queryable for the series of a query's ranges and divisors.
type seriesStore struct{ ranges, divisors [][]Series }

// Querier implements storage.Queryable.
func (s *seriesStore) Querier(int64, int64) (storage.Querier, error) { return seriesQuerier{s}, nil }

type seriesQuerier struct{ *seriesStore }

// Select implements storage.Querier: the one matcher is a reference.
func (s seriesQuerier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	from := s.ranges
	if matchers[0].Name == labelDivisor {
		from = s.divisors
	}
	i, err := strconv.Atoi(matchers[0].Value)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	return &seriesSet{rest: from[i]}
}

// LabelValues implements storage.Querier; the engine does not call it.
func (seriesQuerier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.Querier; the engine does not call it.
func (seriesQuerier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements storage.Querier.
func (seriesQuerier) Close() error { return nil }

type seriesSet struct {
	rest []Series
	at   Series
}

// Next implements storage.SeriesSet.
func (s *seriesSet) Next() bool {
	if len(s.rest) == 0 {
		return false
	}
	s.at, s.rest = s.rest[0], s.rest[1:]
	return true
}

// At implements storage.SeriesSet.
func (s *seriesSet) At() storage.Series {
	points := pointList(s.at.Points)
	return &storage.SeriesEntry{Lset: labels.FromMap(s.at.Metric), SampleIteratorFn: func(chunkenc.Iterator) chunkenc.Iterator {
		return storage.NewListSeriesIterator(points)
	}}
}

// Err implements storage.SeriesSet.
func (*seriesSet) Err() error { return nil }

// Warnings implements storage.SeriesSet.
func (*seriesSet) Warnings() annotations.Annotations { return nil }

// pointList implements storage.Samples.
type pointList []Point

// Get implements storage.Samples.
func (l pointList) Get(i int) chunks.Sample { return sample{point: l[i]} }

// Len implements storage.Samples.
func (l pointList) Len() int { return len(l) }

// sample is a chunks.Sample that is a float; methods for histograms are not called.
type sample struct {
	chunks.Sample
	point Point
}

// T implements chunks.Sample.
func (s sample) T() int64 { return s.point.Time.UnixMilli() }

// ST implements chunks.Sample.
func (s sample) ST() int64 { return 0 }

// F implements chunks.Sample.
func (s sample) F() float64 { return s.point.Value }

// Type implements chunks.Sample.
func (s sample) Type() chunkenc.ValueType { return chunkenc.ValFloat }
