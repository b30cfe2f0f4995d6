package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"
)

// sweepRows is how many log lines a sweep deletes at a time, of spans it is a
// segment: a few milliseconds, between which appends get their turn.
const sweepRows = 500

// runSweeper enforces the bounds until the store is closed, which ends ctx.
func (s *Store) runSweeper(ctx context.Context) {
	defer close(s.swept)
	tick := time.NewTicker(s.opts.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.forgetForms() // an idle lab needs no cache
			err := s.Sweep(ctx)
			if ctx.Err() != nil {
				return
			}
			s.mu.Lock()
			s.sweepErr = err
			s.mu.Unlock()
		}
	}
}

// Sweep deletes what is beyond the bounds of age and size, oldest first, and
// gives the room back to the file system. The store does so by itself; calling it
// is for whoever cannot wait. Spans go with the youngest of their segment, which
// is at most a minute younger.
func (s *Store) Sweep(ctx context.Context) error {
	now := s.opts.Now()
	logs, spans := nanos(now.Add(-s.opts.LogAge)), nanos(now.Add(-s.opts.TraceAge))
	swept, err := s.deleteAll(ctx, "DELETE FROM log_row WHERE id IN (SELECT r.id FROM log_stream s JOIN log_row r ON r.stream = s.id WHERE r.time < ? LIMIT ?)", logs)
	for more := true; more && err == nil; {
		if more, err = s.deleteSegment(ctx, "newest < ? ORDER BY newest", spans); more {
			swept = true
		}
	}
	if err == nil {
		var shrunk bool
		shrunk, err = s.shrink(ctx)
		swept = swept || shrunk
	}
	if err == nil && swept {
		err = s.prune(ctx)
	}
	if err == nil {
		err = s.giveBack(ctx)
	}
	if err != nil {
		return fmt.Errorf("removing what is beyond the bounds of the store: %w", err)
	}
	return nil
}

// deleteAll runs a DELETE whose last parameter is a number of rows until it
// finds none, and tells whether it has found any.
func (s *Store) deleteAll(ctx context.Context, query string, args ...any) (found bool, err error) {
	args = append(args, sweepRows)
	for {
		n, err := s.deleteSome(ctx, query, args...)
		if err != nil || n == 0 {
			return found, err
		}
		found = true
	}
}

func (s *Store) deleteSome(ctx context.Context, query string, args ...any) (n int64, err error) {
	deleted := make(chan int64, 1) // a channel: if ctx ends, the writer may still be at it
	err = s.do(ctx, func(w *writer) error {
		n, err := w.exec(query, args...)
		deleted <- n
		return err
	})
	if err != nil {
		return 0, err
	}
	return <-deleted, nil
}

// deleteSegment deletes the first segment for which a condition holds, and all
// that belongs to it; it reports false if there is none.
func (s *Store) deleteSegment(ctx context.Context, condition string, args ...any) (bool, error) {
	found := make(chan bool, 1) // as in deleteSome
	err := s.do(ctx, func(w *writer) error {
		ok, err := w.deleteSegment(condition, args...)
		found <- ok
		return err
	})
	if err != nil {
		return false, err
	}
	return <-found, nil
}

func (w *writer) deleteSegment(condition string, args ...any) (bool, error) {
	st, err := w.stmt("SELECT id, last, oldest, heads FROM span_segment WHERE " + condition + " LIMIT 1")
	if err != nil {
		return false, err
	}
	var id, last, oldest int64
	var data []byte
	err = st.QueryRow(args...).Scan(&id, &last, &oldest, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("finding the oldest segment: %w", err)
	}
	var sums []summary
	if err := readHeads(data, oldest, func(h head) { sums = summarise(sums, h) }); err != nil {
		return false, err
	}
	for _, sum := range sums {
		if _, err := w.exec("DELETE FROM span_summary WHERE class = ? AND newest = ? AND segment = ?", sum.class, sum.newest, id); err != nil {
			return false, err
		}
	}
	if _, err := w.exec("DELETE FROM span_part WHERE id BETWEEN ? AND ?", id, last); err != nil {
		return false, err
	}
	if _, err := w.exec("DELETE FROM span_segment WHERE id = ?", id); err != nil {
		return false, err
	}
	return true, w.dropRuns()
}

// shrink deletes from whichever of spans and lines has the older oldest row,
// in order of arrival, until the pages in use are within the bound. It tells
// whether it has deleted any.
func (s *Store) shrink(ctx context.Context) (deleted bool, err error) {
	for {
		size, err := s.size(ctx)
		if err != nil || (size.pages-size.free)*size.page <= s.opts.MaxBytes {
			return deleted, err
		}
		var span, line *int64
		if err := s.read.QueryRowContext(ctx, `SELECT (SELECT oldest FROM span_segment ORDER BY id LIMIT 1),
			(SELECT time FROM log_row ORDER BY id LIMIT 1)`).Scan(&span, &line); err != nil {
			return deleted, fmt.Errorf("finding the oldest rows: %w", err)
		}
		switch {
		case span == nil && line == nil:
			return deleted, errors.New("the store is empty and still above its size: raise the bound")
		case span == nil, line != nil && *line < *span:
			_, err = s.deleteSome(ctx, "DELETE FROM log_row WHERE id IN (SELECT id FROM log_row ORDER BY id LIMIT ?)", sweepRows)
		default:
			_, err = s.deleteSegment(ctx, "TRUE ORDER BY id")
		}
		if err != nil {
			return deleted, err
		}
		deleted = true
	}
}

const (
	// spareShare is the part of the file that may be free and stays: a store at
	// its bound soon wants it again, and taking it anew would cost more.
	spareShare = 10
	// sparePages is what stays in a small file.
	sparePages = 256
	// vacuumPages is how many pages are given back at a time: those at the end of
	// the file are moved to where there is room, some milliseconds' work.
	vacuumPages = 256
)

// giveBack returns free pages to the file system.
func (s *Store) giveBack(ctx context.Context) error {
	for {
		size, err := s.size(ctx)
		if err != nil {
			return err
		}
		if size.free-vacuumPages < max(size.pages/spareShare, sparePages) {
			return s.truncate(ctx, size)
		}
		if err := s.do(ctx, (*writer).vacuum); err != nil {
			return fmt.Errorf("giving room back: %w", err)
		}
	}
}

// truncate makes the file as short as it has pages. It gets so when the whole
// WAL has been copied into it and nobody writes or reads meanwhile; a reader
// copies what it can without keeping anybody waiting. What does not succeed now
// does in one of the next sweeps.
func (s *Store) truncate(ctx context.Context, size fileSize) error {
	info, err := os.Stat(s.path)
	if err != nil {
		return fmt.Errorf("giving room back: %w", err)
	}
	if info.Size() <= size.pages*size.page {
		return nil
	}
	if _, err := s.read.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
		return fmt.Errorf("giving room back: %w", err)
	}
	return nil
}

// vacuum gives vacuumPages back.
func (w *writer) vacuum() (err error) {
	st, err := w.stmt(fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumPages))
	if err != nil {
		return err
	}
	rows, err := st.Query()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() { // each step frees a page
	}
	return rows.Err()
}

// fileSize is the size of the file in pages.
type fileSize struct {
	pages, free int64
	page        int64 // bytes of one
}

func (s *Store) size(ctx context.Context) (f fileSize, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT page_count, freelist_count, page_size
		FROM pragma_page_count, pragma_freelist_count, pragma_page_size`).Scan(&f.pages, &f.free, &f.page)
	if err != nil {
		return f, fmt.Errorf("reading the size of the store: %w", err)
	}
	return f, nil
}
