package store

import (
	"cmp"
	"context"
	"slices"
	"strconv"
)

// Limits of the number of rows that a walk aims to read at once.
const (
	fewestRows = 100
	mostRows   = 5_000
)

// everything is the filter that matches every row.
const everything = "*"

// walk reads rows in the order of their times, stretch by stretch. It chooses the length of
// a stretch so that it has about as many rows as are read at once.
type walk struct {
	ctx      context.Context
	all      *partitions
	from, to int64  // nanoseconds since 1970
	forward  bool   // the oldest first
	filter   string // of LogsQL
	fields   string // fields to read, as LogsQL's pipe fields lists them; "" for all
	expected int    // expected number of rows before yield returns false; 0 for all
}

// run calls yield for each row until it returns false. Rows of one time are in the order in
// which they were stored, reversed if the newest are first.
func (w walk) run(yield func(row) bool) error {
	at := w.expected
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
// order. visit returns the number of rows that it found, and whether to go on. A stretch
// with more than most rows is visited again in shorter ones, if it can be divided.
func (w walk) stretches(n int, visit func(parts []*partition, from, to int64, most int) (rows int, more bool, err error)) error {
	return w.all.read(w.from, w.to, func(parts []*partition) error {
		from, to := w.to, w.from // range of the existing rows
		for _, p := range parts {
			oldest, newest := p.times()
			from, to = min(from, max(oldest, w.from)), max(to, min(newest+1, w.to))
		}
		most := 4 * n
		length := w.first(parts, to-from, n)
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
				length = max(1, (hi-lo)/16)
				continue
			case rows < n/2 && length < (to-from)/2:
				// An empty stretch costs far less than one with too many rows, so it grows slowly.
				length *= 2
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

// first returns the length of a first stretch in nanoseconds: one that has about n of all
// rows if they are spread evenly, or a longer one if a filter leaves rows out.
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

// stretch returns the rows in [from, to), in order. If there are more than most, it returns
// more than most rows, but not all.
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
