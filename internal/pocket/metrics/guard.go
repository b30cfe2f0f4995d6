package metrics

import (
	"context"
	"errors"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// Guard says whether samples can be stored. [dicelab/internal/pocket/disk.Watch]
// is one.
type Guard interface {
	// Err returns nil, or why nothing can be stored.
	Err() error
	// Admit is Err for who is about to store something.
	Admit() error
	// Wrote notes how that went, and returns err, or why it failed. full reports
	// whether err means that there is no room.
	Wrote(err error, full bool) error
}

// guarded is the TSDB while its guard, which may be nil, lets it be written.
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

// Commit implements storage.AppenderTransaction. The TSDB commits to memory what
// its log cannot take, so it is asked only where the log can.
func (a *guardedAppender) Commit() error {
	if err := a.guard.Admit(); err != nil {
		return errors.Join(err, a.Rollback())
	}
	return a.guard.Wrote(a.AppenderV2.Commit(), false)
}
