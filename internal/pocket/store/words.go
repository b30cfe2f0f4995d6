package store

import (
	"context"
	"fmt"
	"math"
)

// leaseParts is for how many parts to come a source is said to be needed, at a
// time: one UPDATE is shared by as many.
const leaseParts = 10_000

// pruneWords is how many dictionary rows are looked at, or deleted, at a time.
const pruneWords = 1000

// extendLeases notes that parts up to the newest may be of these sources.
func (w *writer) extendLeases(sources []int64) error {
	for _, id := range sources {
		if w.leases[id] >= w.nextPart {
			continue
		}
		until := w.nextPart + leaseParts
		if _, err := w.exec("UPDATE span_source SET until = ?1 WHERE id = ?2 AND until < ?1", until, id); err != nil {
			return fmt.Errorf("noting that a source is needed: %w", err)
		}
		if len(w.leases) >= maxWords {
			clear(w.leases)
		}
		w.leases[id] = until
	}
	return nil
}

// admit tells whether there is room for the streams of lines. Its error may be
// one that refused knows: it comes before anything is written.
func (w *writer) admit(rows []lineRow) error {
	var fresh map[string]bool
	last := ""
	for _, r := range rows {
		if r.stream == last {
			continue
		}
		last = r.stream
		if _, known := w.streams[last]; known || fresh[last] {
			continue
		}
		var there bool
		if err := w.scan(&there, "SELECT EXISTS (SELECT 1 FROM log_stream WHERE labels = ?)", last); err != nil {
			return fmt.Errorf("finding a stream: %w", err)
		}
		if !there {
			if fresh == nil {
				fresh = make(map[string]bool)
			}
			fresh[last] = true
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if w.streamN < 0 {
		if err := w.scan(&w.streamN, "SELECT count(*) FROM log_stream"); err != nil {
			return fmt.Errorf("counting streams: %w", err)
		}
	}
	if w.streamN+len(fresh) > MaxStreams {
		return &TooManyStreamsError{Streams: w.streamN, New: len(fresh)}
	}
	w.streamN += len(fresh)
	return nil
}

func (w *writer) scan(into any, query string, args ...any) error {
	st, err := w.stmt(query)
	if err != nil {
		return err
	}
	return st.QueryRow(args...).Scan(into)
}

// dictionary is a table of words that rows of others refer to.
type dictionary struct {
	table  string
	unused string // condition that a row fulfils when nothing refers to it
}

func dictionaries() []dictionary {
	return []dictionary{
		{"log_stream", "NOT EXISTS (SELECT 1 FROM log_row r WHERE r.stream = d.id)"},
		{"span_class", "NOT EXISTS (SELECT 1 FROM span_summary s WHERE s.class = d.id)"},
		{"span_source", fmt.Sprintf("until < coalesce((SELECT min(id) FROM span_segment), %d)", math.MaxInt64)},
	}
}

// prune deletes words that nothing refers to. They are found by a reader, page by
// page; the writer deletes those that are still not used.
//
// The last row of each stays, whatever refers to it: so no number is given a
// second time, which readers count on that have one in hand.
func (s *Store) prune(ctx context.Context) error {
	for _, d := range dictionaries() {
		find := fmt.Sprintf("SELECT max(id), count(*) FROM (SELECT id FROM %s d WHERE id > ? AND %s AND id < (SELECT max(id) FROM %[1]s) ORDER BY id LIMIT ?)", d.table, d.unused)
		remove := fmt.Sprintf("DELETE FROM %s AS d WHERE id > ? AND id <= ? AND %s AND id < (SELECT max(id) FROM %[1]s)", d.table, d.unused)
		for from, n := int64(0), pruneWords; n == pruneWords; {
			var to *int64
			if err := s.read.QueryRowContext(ctx, find, from, pruneWords).Scan(&to, &n); err != nil {
				return fmt.Errorf("finding unused rows of %s: %w", d.table, err)
			}
			if n == 0 {
				break
			}
			err := s.do(ctx, func(w *writer) error {
				w.forgetWords()
				_, err := w.exec(remove, from, *to)
				return err
			})
			if err != nil {
				return fmt.Errorf("deleting unused rows of %s: %w", d.table, err)
			}
			from = *to
		}
	}
	return nil
}
