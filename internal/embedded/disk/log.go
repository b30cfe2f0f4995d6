package disk

import (
	"context"
	"log/slog"
)

// Handler returns a handler that drops what is logged while nothing is stored, and
// passes the rest to next: libraries log each attempt to write.
func (w *Watch) Handler(next slog.Handler) slog.Handler { return &quiet{next, w} }

type quiet struct {
	slog.Handler
	watch *Watch
}

// Handle implements slog.Handler.
func (q *quiet) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && q.watch.Silence() {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q *quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &quiet{q.Handler.WithAttrs(attrs), q.watch}
}

// WithGroup implements slog.Handler.
func (q *quiet) WithGroup(name string) slog.Handler {
	return &quiet{q.Handler.WithGroup(name), q.watch}
}
