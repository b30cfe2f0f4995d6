package store

import (
	"cmp"
	"context"
	"slices"
	"strconv"
)

// How many rows a walk reads at once, about: as many as it wants, within these.
const (
	fewestRows = 100
	mostRows   = 5_000
)

// everything is the filter that holds for every row.
const everything = "*"

// walk reads rows in the order of their times, stretch by stretch, each as long as
// about as many rows as are read at once need.
type walk struct {
	ctx      context.Context
	all      *partitions
	from, to int64  // nanoseconds since 1970
	forward  bool   // the oldest first
	filter   string // of LogsQL
	fields   string // that are wanted, as LogsQL's pipe fields lists them; "" for all
	wanted   int    // rows, about, that yield takes; 0 for all
}

// run calls yield for each row until it returns false. Rows of one time are in the
// order in which they were stored, or against it if the newest are first.
func (w walk) run(yield func(row) bool) error {
	at := w.wanted
	if at == 0 {
		at = mostRows
	}
	return w.stretches(max(fewestRows, min(at, mostRows)), func(parts []*partition, from, to int64, most int) (rows int, more bool, err error) {
		found, err := w.stretch(parts, from, to, most)
		if err != nil || len(found) > most && to-from > 1 {
			return len(found), true, err
		}
		for _, r := range found {
			if !yield(r) {
				return len(found), false, nil
			}
		}
		return len(found), true, nil
	})
}

// stretches calls visit for stretches [from, to) of the walk with about n rows, in
// order. It returns how many rows it found, and whether to go on; a stretch that can
// be divided is visited again in shorter ones if it has more than most rows.
func (w walk) stretches(n int, visit func(parts []*partition, from, to int64, most int) (rows int, more bool, err error)) error {
	return w.all.read(w.from, w.to, func(parts []*partition) error {
		from, to := w.to, w.from // of the rows there are
		for _, p := range parts {
			oldest, newest := p.times()
			from, to = min(from, max(oldest, w.from)), max(to, min(newest+1, w.to))
		}
		most := 4 * n
		length, grow := w.first(parts, to-from, n), int64(4)
		for from < to {
			lo, hi := max(from, to-length), to
			if w.forward {
				lo, hi = from, min(to, from+length)
			}
			rows, more, err := visit(parts, lo, hi, most)
			switch {
			case err != nil || !more:
				return err
			case rows > most && hi-lo > 1:
				// Rows are close to each other in times that have few before.
				length, grow = max(1, (hi-lo)/16), 2
				continue
			case rows < n/2 && length < (to-from)/grow:
				length *= grow
				if rows < n/16 && grow > 2 {
					grow = 16
				}
			}
			if w.forward {
				from = hi
			} else {
				to = lo
			}
		}
		return nil
	})
}

// first returns the length of a stretch that has about n rows of all if they are
// spread evenly, in nanoseconds; a longer one where a filter leaves rows out.
func (w walk) first(parts []*partition, all int64, n int) int64 {
	var rows int64
	for _, p := range parts {
		_, r := p.journal.Size()
		rows += r
	}
	if w.filter != everything {
		n *= 16
	}
	return max(1, min(all, int64(float64(all)*float64(n)/float64(max(rows, 1)))))
}

// stretch returns the rows in [from, to), in order; more than most if there are
// more, not all of them.
func (w walk) stretch(parts []*partition, from, to int64, most int) (found []row, err error) {
	query := w.filter + " " + between(from, to)
	if w.fields != "" {
		query += " | fields _time, " + fieldAt + ", " + fieldRow + ", " + w.fields
	}
	if to-from > 1 { // there is no shorter stretch
		query += " | limit " + strconv.Itoa(most+1)
	}
	for _, p := range parts {
		if oldest, newest := p.times(); oldest >= to || newest < from {
			continue
		}
		rows, err := p.index.query(w.ctx, query)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			rows[i].in = p
		}
		found = append(found, rows...)
		if len(found) > most && to-from > 1 {
			return found, nil
		}
		slices.SortFunc(found[len(found)-len(rows):], func(a, b row) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.number, b.number))
		})
	}
	slices.SortStableFunc(found, func(a, b row) int { return cmp.Compare(a.time, b.time) })
	if !w.forward {
		slices.Reverse(found)
	}
	return found, nil
}
