package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/streams"
)

// Run stores the lines that are read until Close has been called, every Read has
// returned and the queue is empty; then it returns nil. If ctx ends first, the queued
// lines are dropped and counted, and the error has their number.
//
// Run does not return if the store fails: it drops and counts the lines that the store
// refuses, and logs the first refusal and the recovery.
func (c *Collector) Run(ctx context.Context) error {
	defer close(c.done)
	w := writer{Collector: c}
	for c.wait(ctx) {
		w.write(ctx, c.take())
	}
	if n := c.abandon() + w.abandoned; n > 0 {
		return fmt.Errorf("stopping the log collector: %d lines that were read were not stored: %w", n, context.Cause(ctx))
	}
	return nil
}

// Close forbids further calls of Read, waits until those under way have reached the end
// of their service's output and until Run has stored every line, and returns nil then. If
// ctx ends first, the error has the number of lines that are left; Run goes on until its
// own context ends. Close may be called again.
func (c *Collector) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.notify()
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		return fmt.Errorf("closing the log collector: %d services have not closed their output and %d lines wait for the store: %w",
			c.readers, len(c.queue), context.Cause(ctx))
	}
}

// wait returns true as soon as there is a batch to store, and false if there will be
// none, because everything is stored or ctx has ended.
func (c *Collector) wait(ctx context.Context) bool {
	if !c.waitUntil(ctx, nil, func() bool { return len(c.queue) > 0 || c.closed && c.readers == 0 }) {
		return false
	}
	delay := time.NewTimer(c.opts.BatchDelay)
	defer delay.Stop()
	if !c.waitUntil(ctx, delay.C, func() bool {
		return len(c.queue) >= batchLines || c.bytes >= batchBytes || c.closed && c.readers == 0
	}) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue) > 0
}

// waitUntil waits until ready, which is called with the lock held, or enough. It
// returns false when ctx has ended.
func (c *Collector) waitUntil(ctx context.Context, enough <-chan time.Time, ready func() bool) bool {
	for {
		if ctx.Err() != nil {
			return false
		}
		c.mu.Lock()
		ok := ready()
		c.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-c.wake:
		case <-enough:
			return true
		case <-ctx.Done():
		}
	}
}

// take removes a batch from the queue.
func (c *Collector) take() []queued {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, bytes := 0, 0
	for n < len(c.queue) && n < batchLines && (n == 0 || bytes+len(c.queue[n].line.Text) <= batchBytes) {
		bytes += len(c.queue[n].line.Text)
		n++
	}
	batch := append([]queued(nil), c.queue[:n]...)
	rest := copy(c.queue, c.queue[n:])
	clear(c.queue[rest:]) // or the array would keep the texts
	c.queue = c.queue[:rest]
	c.bytes -= bytes
	return batch
}

// abandon drops the queued lines and all that are read from now on, and returns the
// number of queued lines.
func (c *Collector) abandon() int {
	c.mu.Lock()
	rest := c.queue
	c.queue, c.bytes, c.stopped = nil, 0, true
	c.mu.Unlock()
	c.drop(rest, ReasonShutdown)
	return len(rest)
}

// drop counts lines that are not stored.
func (c *Collector) drop(lines []queued, reason string) {
	for _, l := range lines {
		c.opts.Dropped.WithLabelValues(l.service, reason).Inc()
	}
}

// writer stores batches and counts failures.
type writer struct {
	*Collector
	refused   int // lines dropped since the store last took any
	abandoned int // lines of the batch that was being stored when ctx ended
}

// write stores a batch, trying again when the store refuses it.
func (w *writer) write(ctx context.Context, batch []queued) {
	lines := make([]store.Line, len(batch))
	for i, q := range batch {
		lines[i] = q.line
	}
	err := w.appender.AppendLines(ctx, lines)
	var some *streams.RefusedError // some lines were refused for good
	for _, pause := range w.opts.Retries {
		if err == nil || errors.As(err, &some) || !sleep(ctx, pause) {
			break
		}
		err = w.appender.AppendLines(ctx, lines)
	}
	if errors.As(err, &some) {
		batch = at(batch, some.Refused)
	}
	switch {
	case err == nil:
		w.recovered(ctx)
	case ctx.Err() != nil:
		w.drop(batch, ReasonShutdown)
		w.abandoned += len(batch)
	default:
		w.drop(batch, ReasonStoreFailed)
		if w.refused == 0 {
			w.opts.Logger.ErrorContext(ctx, "Log lines are dropped: the store refuses them", slog.Any(contract.FieldError, err))
		}
		w.refused += len(batch)
	}
}

// at returns the elements at some indexes.
func at(batch []queued, indexes []int) []queued {
	chosen := make([]queued, len(indexes))
	for i, index := range indexes {
		chosen[i] = batch[index]
	}
	return chosen
}

// recovered notes that the store accepts lines again.
func (w *writer) recovered(ctx context.Context) {
	if w.refused > 0 {
		w.opts.Logger.WarnContext(ctx, "The store takes log lines again", slog.Int("lines_dropped", w.refused))
		w.refused = 0
	}
}

// sleep waits and returns false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
