package metrics

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
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

// AppendExemplars implements storage.ExemplarAppenderV2.
func (a *guardedAppender) AppendExemplars(ref storage.SeriesRef, ls labels.Labels, exemplars []exemplar.Exemplar) (storage.SeriesRef, error) {
	return appendExemplars(a.AppenderV2, ref, ls, exemplars)
}

// GetRef implements storage.GetRef.
func (a *guardedAppender) GetRef(ls labels.Labels, hash uint64) (storage.SeriesRef, labels.Labels) {
	return getRef(a.AppenderV2, ls, hash)
}

func appendExemplars(to storage.AppenderV2, ref storage.SeriesRef, ls labels.Labels, exemplars []exemplar.Exemplar) (storage.SeriesRef, error) {
	app, ok := to.(storage.ExemplarAppenderV2)
	if !ok {
		return 0, fmt.Errorf("storing exemplars: %T has no method for it", to)
	}
	return app.AppendExemplars(ref, ls, exemplars)
}

// getRef returns the reference of a series, or 0 if it does not exist.
func getRef(to storage.AppenderV2, ls labels.Labels, hash uint64) (storage.SeriesRef, labels.Labels) {
	if known, ok := to.(storage.GetRef); ok {
		return known.GetRef(ls, hash)
	}
	return 0, labels.EmptyLabels()
}

// Commit implements storage.AppenderTransaction. The TSDB commits samples to memory even
// if its log cannot be written, so Commit calls it only if the log can be.
func (a *guardedAppender) Commit() error {
	if err := a.guard.Admit(); err != nil {
		return errors.Join(err, a.Rollback())
	}
	return a.guard.Wrote(a.AppenderV2.Commit(), false)
}
