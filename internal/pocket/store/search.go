package store

import (
	"cmp"
	"container/heap"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Column is a property of spans that a search compares without reading them.
type Column int

// The columns. The first three hold text, the others numbers.
const (
	ColumnService  Column = iota // resource attribute service.name
	ColumnName                   // span name
	ColumnDie                    // span attribute die.type, where it is text
	ColumnStatus                 // OTLP's status code
	ColumnKind                   // OTLP's span kind
	ColumnDuration               // nanoseconds
)

// Op is a comparison.
type Op string

// The comparisons. Text knows Equal, NotEqual, Matches and NotMatches (a
// regular expression that the whole text must fulfil), numbers know all others.
const (
	Equal        Op = "="
	NotEqual     Op = "!="
	Matches      Op = "=~"
	NotMatches   Op = "!~"
	Less         Op = "<"
	LessEqual    Op = "<="
	Greater      Op = ">"
	GreaterEqual Op = ">="
)

// Condition compares a column with a value.
type Condition struct {
	Column Column
	Op     Op
	Text   string // for columns of text
	// Matches reports whether a text matches the regular expression of Matches or
	// NotMatches, for which it must be set. It bounds the time that it takes itself.
	Matches func(text string) bool
	Number  int64 // for the others
}

// SearchQuery selects traces.
type SearchQuery struct {
	From, To time.Time // [From, To) of the start of a span as Where wants it; zero means unbounded
	Limit    int       // how many traces at most, > 0

	// Where are conditions that one span of a matching trace fulfils, all of them;
	// the rest is Match's.
	Where []Condition
	// Match gives the spans of the trace that match, as indexes into its Spans;
	// none if the trace does not. It is called with candidates: traces with a
	// span for which all of Where hold.
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

// How much one search may look at: about half a second.
const (
	maxSearchSpans    = 4_000_000 // of which only the heads are read
	maxSearchSegments = 20_000
	maxSearchTraces   = 4_000
	maxSearchBytes    = MaxTraceBytes // of what is found, and the trace that fills it
	// selective is how many segments, at most, have a duration that is searched
	// for, for them to be looked up by it.
	selective = 2_000
)

// Search finds traces, newest first. Conditions on columns are checked on heads
// of segments that can have such spans, Match on whole traces; what one search
// may look at is bounded, see [SearchResult.Partial].
func (s *Store) Search(ctx context.Context, q SearchQuery) (SearchResult, error) {
	if q.Limit <= 0 || q.Match == nil {
		return SearchResult{}, fmt.Errorf("searching traces: limit %d must be above 0 and Match must be set", q.Limit)
	}
	sel, err := s.compile(ctx, q.Where)
	if err != nil {
		return SearchResult{}, fmt.Errorf("searching traces: %w", err)
	}
	if sel.never {
		return SearchResult{}, nil
	}
	f := finder{store: s, query: q, sel: sel, seen: make(map[TraceID]bool)}
	f.from, f.to = bounds(q.From, q.To)
	next, err := s.segments(ctx, sel, f.from, f.to)
	if err == nil {
		err = f.run(ctx, next)
	}
	if err != nil {
		return SearchResult{}, fmt.Errorf("searching traces: %w", err)
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
	store    *Store
	query    SearchQuery
	sel      selection
	from, to int64
	seen     map[TraceID]bool
	bytes    int // of the traces found
	result   SearchResult
}

// candidate is a span for which all of Where hold.
type candidate struct {
	trace TraceID
	start int64
}

// candidates are a heap, for package heap: the newest one is the first. Where many
// segments overlap, as under load, there are hundreds of thousands.
type candidates []candidate

func (c candidates) Len() int           { return len(c) }
func (c candidates) Less(i, j int) bool { return c[i].start > c[j].start }
func (c candidates) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)        { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// run reads segments, newest first, and looks at candidates as soon as no
// segment that is left can have a newer one.
func (f *finder) run(ctx context.Context, next func() (segmentRef, bool, error)) error {
	var pending candidates
	spans, segments := 0, 0
	for {
		ref, ok, err := next()
		if err != nil {
			return err
		}
		bound := int64(math.MinInt64)
		if ok {
			bound = ref.newest
		}
		for len(pending) > 0 && (!ok || pending[0].start > bound) {
			more, err := f.look(ctx, heap.Pop(&pending).(candidate).trace)
			if err != nil || !more {
				return err
			}
		}
		if !ok {
			return nil
		}
		if spans >= maxSearchSpans || segments >= maxSearchSegments {
			f.result.Partial = true
			next = func() (segmentRef, bool, error) { return segmentRef{}, false, nil } // what is pending is still looked at
			continue
		}
		n, err := f.store.readSegment(ctx, ref.id, func(h head) {
			if h.start >= f.from && h.start < f.to && f.sel.holds(h) {
				heap.Push(&pending, candidate{trace: h.trace, start: h.start})
			}
		})
		if err != nil {
			return err
		}
		spans, segments = spans+n, segments+1
	}
}

// look checks a trace, unless it was checked before, and reports whether to go
// on.
func (f *finder) look(ctx context.Context, id TraceID) (more bool, err error) {
	if f.seen[id] {
		return true, nil
	}
	if f.result.Inspected >= maxSearchTraces {
		f.result.Partial = true
		return false, nil
	}
	f.seen[id] = true
	f.result.Inspected++
	t, err := f.store.Trace(ctx, id)
	if err != nil {
		return false, err
	}
	if len(t.Spans) == 0 { // swept since its segment was read
		return true, nil
	}
	f.result.Partial = f.result.Partial || t.Partial
	if matched := f.query.Match(t); len(matched) > 0 {
		f.result.Traces = append(f.result.Traces, FoundTrace{Trace: t, Matched: matched})
		f.bytes += t.bytes
	}
	if len(f.result.Traces) < f.query.Limit && f.bytes >= maxSearchBytes {
		f.result.Partial = true
		return false, nil
	}
	return len(f.result.Traces) < f.query.Limit, nil
}

// readSegment calls yield for each span of a segment and gives their number. A
// segment that a sweep has deleted since has none.
func (s *Store) readSegment(ctx context.Context, id int64, yield func(head)) (n int, err error) {
	var oldest int64
	var data []byte
	err = s.read.QueryRowContext(ctx, "SELECT oldest, heads FROM span_segment WHERE id = ?", id).Scan(&oldest, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading a segment: %w", err)
	}
	return n, readHeads(data, oldest, func(h head) { n++; yield(h) })
}
