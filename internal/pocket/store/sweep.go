package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// sweepRows is how many rows a sweep deletes at a time: a few milliseconds,
// between which appends get their turn.
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

// Sweep deletes what is beyond the bounds of age and size, oldest first. The
// store does so by itself; calling it is for whoever cannot wait.
func (s *Store) Sweep(ctx context.Context) error {
	now := s.opts.Now()
	logs, spans := nanos(now.Add(-s.opts.LogAge)), nanos(now.Add(-s.opts.TraceAge))
	err := s.deleteAll(ctx, "DELETE FROM log_row WHERE id IN (SELECT r.id FROM log_stream s JOIN log_row r ON r.stream = s.id WHERE r.time < ? LIMIT ?)", logs)
	for status := 0; status <= 2 && err == nil; status++ {
		err = s.deleteAll(ctx, "DELETE FROM span_row WHERE id IN (SELECT id FROM span_row WHERE status = ? AND start < ? ORDER BY start LIMIT ?)", status, spans)
	}
	if err == nil {
		err = s.shrink(ctx)
	}
	if err != nil {
		return fmt.Errorf("removing what is beyond the bounds of the store: %w", err)
	}
	return nil
}

// deleteAll runs a DELETE whose last parameter is a number of rows until it
// finds none.
func (s *Store) deleteAll(ctx context.Context, query string, args ...any) error {
	args = append(args, sweepRows)
	for {
		n, err := s.deleteSome(ctx, query, args...)
		if err != nil || n == 0 {
			return err
		}
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

// shrink deletes from whichever of spans and lines has the older oldest row,
// in order of arrival, until the pages in use are within the bound. The file
// itself does not get smaller: free pages are used again.
func (s *Store) shrink(ctx context.Context) error {
	for {
		used, err := s.usedBytes(ctx)
		if err != nil || used <= s.opts.MaxBytes {
			return err
		}
		var span, line *int64
		if err := s.read.QueryRowContext(ctx, `SELECT (SELECT start FROM span_row ORDER BY id LIMIT 1),
			(SELECT time FROM log_row ORDER BY id LIMIT 1)`).Scan(&span, &line); err != nil {
			return fmt.Errorf("finding the oldest rows: %w", err)
		}
		table := "span_row"
		switch {
		case span == nil && line == nil:
			return errors.New("the store is empty and still above its size: raise the bound")
		case span == nil, line != nil && *line < *span:
			table = "log_row"
		}
		if _, err := s.deleteSome(ctx, "DELETE FROM "+table+" WHERE id IN (SELECT id FROM "+table+" ORDER BY id LIMIT ?)", sweepRows); err != nil {
			return err
		}
	}
}

// usedBytes is the size of the pages that hold something.
func (s *Store) usedBytes(ctx context.Context) (int64, error) {
	var pages, free, size int64
	err := s.read.QueryRowContext(ctx, `SELECT page_count, freelist_count, page_size
		FROM pragma_page_count, pragma_freelist_count, pragma_page_size`).Scan(&pages, &free, &size)
	if err != nil {
		return 0, fmt.Errorf("reading the size of the store: %w", err)
	}
	return (pages - free) * size, nil
}
