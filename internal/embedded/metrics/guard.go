package metrics

import (
	"context"
	"errors"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// Guard reports whether samples can be stored. [dicelab/internal/embedded/disk.Watch] is
// one.
type Guard interface {
	// Err returns nil, or the reason why nothing can be stored.
	Err() error
	// Admit is Err for a caller that is about to store something.
	Admit() error
	// Wrote notes the result of storing, and returns err or the reason for it. full
	// reports whether err means that there is no room.
	Wrote(err error, full bool) error
}

// guarded is the TSDB. It cannot be written if its guard, which may be nil, forbids it.
type guarded struct {
	*tsdb.DB
	guard Guard
}

// AppenderV2 implements storage.AppendableV2.
func (g guarded) AppenderV2(ctx context.Context) storage.AppenderV2 {
	to := g.DB.AppenderV2(ctx)
	if g.guard == nil {
		return to
	}
	return &guardedAppender{to, g.guard}
}

type guardedAppender struct {
	storage.AppenderV2
	guard Guard
}

// Commit implements storage.AppenderTransaction. The TSDB commits samples to memory even
// if its log cannot be written, so Commit calls it only if the log can be.
func (a *guardedAppender) Commit() error {
	if err := a.guard.Admit(); err != nil {
		return errors.Join(err, a.Rollback())
	}
	return a.guard.Wrote(a.AppenderV2.Commit(), false)
}
