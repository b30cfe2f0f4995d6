package metrics

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// queryPoints bounds the points for which one query allocates memory: its steps times its
// series, 16 bytes each. The library allocates every step of a series at the first
// sample, and counts samples as it finds them: a subquery of 1,000 days in steps of a
// second took 1.4 GB before a sample was counted.
const queryPoints = 2_000_000

// queryWork bounds the samples that one query reads of one series: its steps times
// the samples in the range of each. The library checks its context once for each series,
// and quantile_over_time takes some 80 ns for a sample.
const queryWork = 20_000_000

// boundedEngine is an engine that bounds the points and the work of each query.
type boundedEngine struct {
	promql.QueryEngine
	parser   parser.Parser
	interval time.Duration // between two samples of a series
}

// NewInstantQuery implements promql.QueryEngine.
func (e boundedEngine) NewInstantQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, text string, at time.Time) (promql.Query, error) {
	bounded, err := e.bound(q, text, 0, time.Second)
	if err != nil {
		return nil, err
	}
	return e.QueryEngine.NewInstantQuery(ctx, bounded, opts, text, at)
}

// NewRangeQuery implements promql.QueryEngine.
func (e boundedEngine) NewRangeQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, text string, start, end time.Time, step time.Duration) (promql.Query, error) {
	bounded, err := e.bound(q, text, end.Sub(start), step)
	if err != nil {
		return nil, err
	}
	return e.QueryEngine.NewRangeQuery(ctx, bounded, opts, text, start, end, step)
}

// bound returns a queryable that limits the number of series of the query.
func (e boundedEngine) bound(q storage.Queryable, text string, span, step time.Duration) (storage.Queryable, error) {
	expr, err := e.parser.ParseExpr(text)
	if err != nil {
		return nil, err
	}
	m := measure{interval: e.interval}
	m.add(expr, span, step)
	switch {
	case m.steps > queryPoints/m.nodes:
		return nil, fmt.Errorf("the query has %d parts of up to %d steps: parts times steps may be at most %d; use longer steps, also in subqueries such as [1h:10s], or a shorter time", m.nodes, m.steps, queryPoints)
	case m.work > queryWork:
		return nil, fmt.Errorf("the query reads a range of up to %d samples at each of up to %d steps: ranges times steps may be at most %d; use longer steps or shorter ranges", m.samples, m.steps, queryWork)
	}
	b := &boundedStorage{Queryable: q, steps: m.steps}
	b.left.Store(queryPoints / m.steps)
	return b, nil
}

// measure is the size of a query.
type measure struct {
	interval time.Duration
	nodes    int64 // parts of the expression
	steps    int64 // the most steps in which a part is evaluated
	samples  int64 // the most samples of a series in a range
	work     int64 // the most samples of a series, of all steps
}

// add adds a part that is evaluated over a time in steps. Subqueries are evaluated
// over their range and the ranges around them.
func (m *measure) add(n parser.Node, span, step time.Duration) {
	steps := int64(span/max(step, time.Millisecond)) + 1
	m.nodes, m.steps = m.nodes+1, max(m.steps, steps)
	switch n := n.(type) {
	case *parser.MatrixSelector:
		m.ranges(steps, n.Range, m.interval)
	case *parser.SubqueryExpr:
		if step = n.Step; step == 0 {
			step = evaluationInterval
		}
		m.ranges(steps, n.Range, step)
		if span += n.Range; span < 0 {
			span = math.MaxInt64 // more than 292 years
		}
	}
	for _, child := range parser.Children(n) {
		m.add(child, span, step)
	}
}

// ranges adds a range that is read at each step.
func (m *measure) ranges(steps int64, length, step time.Duration) {
	samples := int64(length/max(step, time.Millisecond)) + 1
	m.samples, m.work = max(m.samples, samples), max(m.work, steps*min(samples, queryWork+1))
}

// boundedStorage is a queryable for one query, with a limit on its series.
type boundedStorage struct {
	storage.Queryable
	steps int64
	left  atomic.Int64 // series
}

// Querier implements storage.Queryable.
func (s *boundedStorage) Querier(from, to int64) (storage.Querier, error) {
	q, err := s.Queryable.Querier(from, to)
	return boundedQuerier{q, s}, err
}

type boundedQuerier struct {
	storage.Querier
	bounds *boundedStorage
}

// Select implements storage.Querier.
func (q boundedQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	return &boundedSet{SeriesSet: q.Querier.Select(ctx, sorted, hints, matchers...), bounds: q.bounds}
}

// boundedSet ends with an error if the query has too many series.
type boundedSet struct {
	storage.SeriesSet
	bounds *boundedStorage
	full   bool
}

// Next implements storage.SeriesSet.
func (s *boundedSet) Next() bool {
	if s.full || !s.SeriesSet.Next() {
		return false
	}
	s.full = s.bounds.left.Add(-1) < 0
	return !s.full
}

// Err implements storage.SeriesSet.
func (s *boundedSet) Err() error {
	if s.full {
		return fmt.Errorf("the query reads more than %d series in up to %d steps: series times steps may be at most %d; choose fewer series, longer steps or a shorter time",
			queryPoints/s.bounds.steps, s.bounds.steps, queryPoints)
	}
	return s.SeriesSet.Err()
}

// Warnings implements storage.SeriesSet.
func (s *boundedSet) Warnings() annotations.Annotations { return s.SeriesSet.Warnings() }
