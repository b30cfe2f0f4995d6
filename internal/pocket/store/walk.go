package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// walk goes through rows in order of time although there is no index on time
// alone, only one on (key, time): it cuts the time into windows that hold about
// page rows of the wanted keys each, newest window first unless forward. Each
// window is found from the index alone, and read with a query of its own, so
// that no reader holds an old snapshot (and with it the WAL) for long.
type walk struct {
	table, key, column string // names from this package, never from outside
	ids                []int64
	forward            bool
	index              string // on (key, column)
	page               int
}

// run calls visit for one window [lo, hi) after the other within [from, to),
// until it says that it wants no more.
func (w walk) run(ctx context.Context, db *sql.DB, from, to int64, visit func(lo, hi int64) (more bool, err error)) error {
	cond, order := "%[3]s >= ? AND %[3]s < ?", "DESC"
	if w.forward {
		order = "ASC"
	}
	st, err := db.PrepareContext(ctx, fmt.Sprintf("SELECT %[3]s FROM %[1]s INDEXED BY %[5]s WHERE %[2]s = ? AND "+cond+" ORDER BY %[3]s %[4]s LIMIT 1 OFFSET ?",
		w.table, w.key, w.column, order, w.index))
	if err != nil {
		return fmt.Errorf("preparing a walk of %s: %w", w.table, err)
	}
	defer st.Close()
	for from < to {
		lo, hi := from, to
		offset := max(w.page/max(len(w.ids), 1), 1)
		for _, id := range w.ids {
			var at int64
			err := st.QueryRowContext(ctx, id, lo, hi, offset).Scan(&at)
			switch {
			case errors.Is(err, sql.ErrNoRows): // fewer than a page are left of this one
			case err != nil:
				return fmt.Errorf("walking %s: %w", w.table, err)
			case w.forward:
				hi = at + 1 // with every row of that time, so that each window has rows
			default:
				lo = at
			}
		}
		more, err := visit(lo, hi)
		if err != nil || !more {
			return err
		}
		if w.forward {
			from = hi
		} else {
			to = lo
		}
	}
	return nil
}
