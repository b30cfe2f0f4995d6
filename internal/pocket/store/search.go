package store

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// SearchQuery selects traces.
type SearchQuery struct {
	From, To time.Time // [From, To) of the start of a span as Where wants it; zero means unbounded
	Limit    int       // how many traces at most, > 0

	// Where are conditions that one span of a matching trace fulfils, all of them;
	// the rest is Match's.
	Where []Condition
	// Match gives the spans of the trace that match, as indexes into its Spans;
	// none if the trace does not. It is called with candidates: traces that have a
	// span for which Where may hold.
	Match func(Trace) []int
}

// FoundTrace is a trace that a search found.
type FoundTrace struct {
	Trace
	Matched []int // indexes into Spans, at least one
}

// SearchResult is the answer to a search.
type SearchResult struct {
	Traces []FoundTrace // newest first, by the trace's start
	// Partial says that older traces may match too, although there are fewer
	// than Limit: the search stopped after it had looked at as many rows or
	// traces as one search may, or had found as many bytes; or that a trace is
	// itself partial.
	Partial   bool
	Inspected int // candidates that were looked at
}

// Limits of what one search reads.
const (
	maxSearchRows   = 4_000_000
	maxSearchTraces = 4_000
	maxSearchBytes  = MaxTraceBytes // of what is found, and the trace that fills it
	// searchBatch is the number of candidates that are read at once.
	searchBatch = 32
	// rowsOfTrace is the usual number of rows of a trace in the index.
	rowsOfTrace = 8
)

// Search finds traces, newest first. The index gives candidates; Match gets each
// candidate as a whole. The number of candidates of one search is bounded, see
// [SearchResult.Partial].
func (s *Store) Search(ctx context.Context, q SearchQuery) (SearchResult, error) {
	if q.Limit <= 0 || q.Match == nil {
		return SearchResult{}, fmt.Errorf("searching traces: limit %d must be above 0 and Match must be set", q.Limit)
	}
	f := finder{store: s, query: q, seen: map[TraceID]bool{}}
	from, to := bounds(q.From, q.To)
	w := walk{ctx: ctx, all: s.spans, from: from, to: to, filter: filter(q.Where), fields: fieldTrace, wanted: rowsOfTrace * min(searchBatch, q.Limit)}
	for more := true; more; {
		// The walk ends before candidates are read, which would hold the partitions
		// twice.
		var batch []TraceID
		more = false
		err := w.run(func(r row) bool {
			f.rows++
			id, err := hex.DecodeString(r.value(fieldTrace))
			if err != nil || len(id) != len(TraceID{}) || f.seen[TraceID(id)] {
				return true
			}
			f.seen[TraceID(id)] = true
			batch = append(batch, TraceID(id))
			w.to = r.time + 1
			more = len(batch) == min(searchBatch, q.Limit) || f.rows > maxSearchRows
			return !more
		})
		if err == nil {
			more, err = f.look(ctx, batch, more)
		}
		if err != nil {
			return SearchResult{}, fmt.Errorf("searching traces: %w", err)
		}
	}
	slices.SortStableFunc(f.result.Traces, func(a, b FoundTrace) int {
		x, _ := a.Bounds()
		y, _ := b.Bounds()
		return cmp.Compare(y, x)
	})
	return f.result, nil
}

// finder collects the traces of a search.
type finder struct {
	store  *Store
	query  SearchQuery
	seen   map[TraceID]bool
	rows   int // of the index, that were looked at
	bytes  int // of the traces found
	result SearchResult
}

// look checks candidates and reports whether to go on, if there are more.
func (f *finder) look(ctx context.Context, ids []TraceID, more bool) (bool, error) {
	if len(ids) == 0 {
		f.result.Partial = f.result.Partial || more
		return false, nil
	}
	traces, err := f.store.traces(ctx, ids...)
	if err != nil {
		return false, err
	}
	for _, t := range traces {
		f.result.Inspected++
		f.result.Partial = f.result.Partial || t.Partial
		if matched := f.query.Match(t); len(t.Spans) > 0 && len(matched) > 0 {
			f.result.Traces = append(f.result.Traces, FoundTrace{Trace: t, Matched: matched})
			f.bytes += t.bytes
		}
		if len(f.result.Traces) == f.query.Limit {
			return false, nil
		}
		if f.bytes >= maxSearchBytes {
			f.result.Partial = true
			return false, nil
		}
	}
	if more && (f.result.Inspected >= maxSearchTraces || f.rows > maxSearchRows) {
		f.result.Partial = true
		return false, nil
	}
	return more, nil
}
