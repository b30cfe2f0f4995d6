package store

import (
	"context"
	"fmt"
)

// LimitPages makes SQLite refuse to let the file grow beyond so many pages, as on
// a device that is full; 0 lifts the bound. A device of its own would need root.
func LimitPages(ctx context.Context, s *Store, pages int64) error {
	if pages == 0 {
		pages = 1 << 31
	}
	return s.do(ctx, func(w *writer) error {
		var now int64
		return w.scan(&now, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
	})
}
