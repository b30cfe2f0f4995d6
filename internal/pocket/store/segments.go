package store

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
)

const (
	// segmentPage is how many segments a cursor reads at a time.
	segmentPage = 64
	// maxCursors is how many classes a search follows one by one; of more, every
	// segment is read.
	maxCursors = 16
)

// segmentRef is a segment that a search has to look at.
type segmentRef struct {
	id     int64
	newest int64 // no span in it that the search wants started later
}

// segments gives the segments that can have what a selection wants of [from,
// to), newest first, each once.
func (s *Store) segments(ctx context.Context, sel selection, from, to int64) (next func() (segmentRef, bool, error), err error) {
	if upper := to + segmentTime; upper > to { // a segment that ends later begins later than to
		to = upper
	}
	if sel.longest > math.MinInt64 {
		list, few, err := s.segmentsByDuration(ctx, sel.longest, from, to)
		if err != nil || few {
			return eachRef(list), err
		}
	}
	if sel.classes == nil || len(sel.classes) > maxCursors {
		return (&cursor{store: s, from: from, to: to, last: math.MaxInt64,
			query: "SELECT id, newest FROM span_segment WHERE newest >= ? AND (newest, id) < (?, ?) ORDER BY newest DESC, id DESC LIMIT ?"}).once(ctx), nil
	}
	m := &merge{seen: make(map[int64]bool)}
	for class := range sel.classes {
		m.cursors = append(m.cursors, &cursor{store: s, from: from, to: to, last: math.MaxInt64, args: []any{class, sel.longest},
			query: `SELECT segment, newest FROM span_summary WHERE class = ? AND +longest >= ? AND newest >= ?
				AND (newest, segment) < (?, ?) ORDER BY newest DESC, segment DESC LIMIT ?`})
	}
	return func() (segmentRef, bool, error) { return m.next(ctx) }, nil
}

// segmentsByDuration gives the segments that have a span of at least that
// duration, if they are few.
func (s *Store) segmentsByDuration(ctx context.Context, longest, from, to int64) (list []segmentRef, few bool, err error) {
	rows, err := s.read.QueryContext(ctx, "SELECT segment, newest FROM span_summary INDEXED BY span_longest WHERE longest >= ? LIMIT ?", longest, selective+1)
	if err != nil {
		return nil, false, fmt.Errorf("reading segments: %w", err)
	}
	defer rows.Close()
	newest, n := make(map[int64]int64), 0
	for ; rows.Next(); n++ {
		var ref segmentRef
		if err := rows.Scan(&ref.id, &ref.newest); err != nil {
			return nil, false, fmt.Errorf("reading segment: %w", err)
		}
		if before, ok := newest[ref.id]; !ok || ref.newest > before {
			newest[ref.id] = ref.newest
		}
	}
	if err := rows.Err(); err != nil || n > selective {
		return nil, false, err
	}
	for id, at := range newest {
		if at >= from && at < to {
			list = append(list, segmentRef{id: id, newest: at})
		}
	}
	slices.SortFunc(list, func(a, b segmentRef) int { return cmp.Or(cmp.Compare(b.newest, a.newest), cmp.Compare(b.id, a.id)) })
	return list, true, nil
}

func eachRef(list []segmentRef) func() (segmentRef, bool, error) {
	return func() (segmentRef, bool, error) {
		if len(list) == 0 {
			return segmentRef{}, false, nil
		}
		ref := list[0]
		list = list[1:]
		return ref, true, nil
	}
}

// cursor goes through one index from newer to older. Each page is a query of its
// own, so that no reader holds an old snapshot, and with it the WAL, for long.
type cursor struct {
	store *Store
	query string
	args  []any // before from, to, last and the page's size
	from  int64
	to    int64 // segments before (to, last) are left
	last  int64

	page []segmentRef
	done bool // no page is left
}

// peek gives the next segment and leaves it there.
func (c *cursor) peek(ctx context.Context) (segmentRef, bool, error) {
	if len(c.page) == 0 && !c.done {
		if err := c.fill(ctx); err != nil {
			return segmentRef{}, false, err
		}
	}
	if len(c.page) == 0 {
		return segmentRef{}, false, nil
	}
	return c.page[0], true, nil
}

func (c *cursor) fill(ctx context.Context) error {
	rows, err := c.store.read.QueryContext(ctx, c.query, append(slices.Clone(c.args), c.from, c.to, c.last, segmentPage)...)
	if err != nil {
		return fmt.Errorf("reading segments: %w", err)
	}
	defer rows.Close()
	c.page = c.page[:0]
	for rows.Next() {
		var ref segmentRef
		if err := rows.Scan(&ref.id, &ref.newest); err != nil {
			return fmt.Errorf("reading segment: %w", err)
		}
		c.page = append(c.page, ref)
		c.to, c.last = ref.newest, ref.id
	}
	c.done = len(c.page) < segmentPage
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading segments: %w", err)
	}
	return nil
}

func (c *cursor) once(ctx context.Context) func() (segmentRef, bool, error) {
	return func() (segmentRef, bool, error) {
		ref, ok, err := c.peek(ctx)
		if ok {
			c.page = c.page[1:]
		}
		return ref, ok, err
	}
}

// merge goes through several cursors at once. A segment comes with its newest
// span of any of their classes, first.
type merge struct {
	cursors []*cursor
	seen    map[int64]bool
}

func (m *merge) next(ctx context.Context) (segmentRef, bool, error) {
	for {
		var first *cursor
		var best segmentRef
		for _, c := range m.cursors {
			ref, ok, err := c.peek(ctx)
			if err != nil {
				return segmentRef{}, false, err
			}
			if ok && (first == nil || ref.newest > best.newest) {
				first, best = c, ref
			}
		}
		if first == nil {
			return segmentRef{}, false, nil
		}
		first.page = first.page[1:]
		if !m.seen[best.id] {
			m.seen[best.id] = true
			return best, true, nil
		}
	}
}
