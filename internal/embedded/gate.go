package embedded

import (
	"context"
	"errors"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/embedded/disk"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/streams"
	"dicelab/internal/embedded/tail"
)

// wrote notes the result of an append, unless its error is not one of the disk.
func wrote(watch *disk.Watch, err error) error {
	switch {
	case errors.Is(err, store.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return watch.Wrote(err, errors.Is(err, store.ErrFull))
}

// spansGate appends spans while the data directory is in order.
type spansGate struct {
	store *store.Store
	watch *disk.Watch
}

// AppendSpans implements [otlp.Appender].
func (g spansGate) AppendSpans(ctx context.Context, batches []*tracepb.ResourceSpans) error {
	if err := g.watch.Admit(); err != nil {
		return err
	}
	return wrote(g.watch, g.store.AppendSpans(ctx, batches))
}

// linesGate appends lines while the data directory is in order, and passes them on to
// clients that follow them.
type linesGate struct {
	*store.Store
	watch *disk.Watch
	tails *tail.Hub
}

// AppendLines implements [streams.Store].
func (g linesGate) AppendLines(ctx context.Context, lines []store.Line) error {
	if err := g.watch.Admit(); err != nil {
		return err
	}
	err := wrote(g.watch, g.Store.AppendLines(ctx, lines))
	if err == nil {
		g.tails.Publish(lines)
	}
	return err
}

// healthGate is a store whose health includes that of its directory.
type healthGate struct {
	*store.Store
	watch *disk.Watch
}

// Health implements [tempo.Store].
func (g healthGate) Health(ctx context.Context) error {
	if err := g.watch.Err(); err != nil {
		return err
	}
	return g.Store.Health(ctx)
}

// pushStore is the store of Loki's API. Reads go to the store, writes through the bound
// on streams.
type pushStore struct {
	*store.Store
	lines streams.Appender
}

// AppendLines implements [loki.Store].
func (s pushStore) AppendLines(ctx context.Context, lines []store.Line) error {
	return s.lines.AppendLines(ctx, lines)
}
