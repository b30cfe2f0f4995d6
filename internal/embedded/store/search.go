package store

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// SearchQuery selects traces.
type SearchQuery struct {
	From, To time.Time // [From, To) of the start of a span that Where matches; zero means unbounded
	Limit    int       // largest number of traces, > 0

	// Where are conditions for candidates: a matching trace must have a span that
	// satisfies all of them. Match decides the rest.
	Where []Condition
	// Match returns the spans of the trace that match, as indexes into its Spans, or
	// none if the trace does not match. It is called with candidates: traces with a span
	// that Where may match.
	Match func(Trace) []int
}

// FoundTrace is a trace that a search found.
type FoundTrace struct {
	Trace
	Matched []int // indexes into Spans, at least one
}

// SearchResult is the result of a search.
type SearchResult struct {
	Traces []FoundTrace // newest first, by the trace's start
	// Partial reports that older traces may match, too, although there are fewer than
	// Limit, because the search reached the limit of rows, traces or bytes of one
	// search. It is also set if a trace itself is partial.
	Partial   bool
	Inspected int // candidates that were read
}

// Limits of what one search reads.
const (
	maxSearchRows   = 4_000_000
	maxSearchTraces = 4_000
	maxSearchBytes  = MaxTraceBytes // of the found traces; the last one may exceed it
	// The numbers of candidates that are read at once, at first and at most: each time twice
	// as many, because a walk and a query of the index cost much by themselves.
	firstCandidates = 32
	mostCandidates  = 512
	// rowsOfTrace is the usual number of rows of a trace that the conditions of a search match.
	rowsOfTrace = 3
)

// Search finds traces, newest first. The index gives candidates; Match gets each
// candidate as a whole. The number of candidates of one search is bounded, see
// [SearchResult.Partial].
func (s *Store) Search(ctx context.Context, q SearchQuery) (SearchResult, error) {
	if q.Limit <= 0 || q.Match == nil {
		return SearchResult{}, fmt.Errorf("searching traces: limit %d must be above 0 and Match must be set", q.Limit)
	}
	candidates := min(firstCandidates, q.Limit)
	f := finder{store: s, query: q, seen: map[TraceID]bool{}}
	from, to := bounds(q.From, q.To)
	w := walk{ctx: ctx, all: s.spans, from: from, to: to, filter: filter(q.Where), fields: fieldTrace, expected: rowsOfTrace * candidates}
	for more := true; more; {
		// The walk ends before candidates are read, because both lock the partitions.
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
			more = len(batch) == candidates || f.rows > maxSearchRows
			return !more
		})
		if err == nil {
			more, err = f.look(ctx, batch, more)
		}
		if err != nil {
			return SearchResult{}, fmt.Errorf("searching traces: %w", err)
		}
		candidates = min(2*candidates, mostCandidates, max(maxSearchTraces-f.result.Inspected, 1))
		w.expected = rowsOfTrace * candidates
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
	rows   int // of the index, that were read
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
	if errors.Is(err, errLargeBatch) {
		half := len(ids) / 2
		if goOn, err := f.look(ctx, ids[:half], true); err != nil || !goOn {
			return false, err
		}
		return f.look(ctx, ids[half:], more)
	}
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
