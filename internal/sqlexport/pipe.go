package sqlexport

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// pipe calls write with what read sends, in its order. One is read while another is
// written; the first error ends both.
func pipe[T any](ctx context.Context, read func(ctx context.Context, send func(T) error) error,
	write func(context.Context, T) error) error {
	pages := make(chan T)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(pages)
		return read(ctx, func(page T) error {
			select {
			case pages <- page:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	group.Go(func() error {
		for page := range pages {
			if err := write(ctx, page); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}
