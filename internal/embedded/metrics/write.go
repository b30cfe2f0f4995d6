package metrics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"dicelab/internal/embedded/intake"
)

// maxEarly is the time by which a sample may be in the future (Prometheus, storage/remote).
const maxEarly = 10 * time.Minute

// written counts the samples of one request, by the label job.
type written struct {
	points   map[string]int // appended
	rejected []intake.Rejection
	seen     map[point]bool // rejected points
	tolerant bool           // whether a rejected sample leaves the others
	stored   bool           // whether the samples were committed
}

// point identifies a data point: a histogram has several samples for each.
type point struct {
	family string
	labels uint64
	time   int64
}

type writtenKey struct{}

func newWritten(ctx context.Context, tolerant bool) (context.Context, *written) {
	w := &written{points: make(map[string]int), seen: make(map[point]bool), tolerant: tolerant}
	return context.WithValue(ctx, writtenKey{}, w), w
}

// pushed is the TSDB for samples that are pushed: it bounds series, and counts what each
// request has appended.
type pushed struct {
	guarded
	count *seriesCount
}

// AppenderV2 implements storage.AppendableV2.
func (p pushed) AppenderV2(ctx context.Context) storage.AppenderV2 {
	w, ok := ctx.Value(writtenKey{}).(*written)
	if !ok {
		_, w = newWritten(ctx, false)
	}
	latest := time.Now().Add(maxEarly).UnixMilli()
	return &pushedAppender{AppenderV2: p.guarded.AppenderV2(ctx), count: p.count, written: w, latest: latest}
}

type pushedAppender struct {
	storage.AppenderV2
	count   *seriesCount
	written *written
	latest  int64 // greatest time of a sample, in milliseconds
}

// Append implements storage.AppenderV2.
func (a *pushedAppender) Append(
	ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AOptions,
) (storage.SeriesRef, error) {
	ref, err := a.append(ref, ls, st, t, v, h, fh, o)
	partly, _ := errors.AsType[*storage.AppendPartialError](err) // exemplars alone
	job := ls.Get("job")
	if err == nil || partly != nil {
		a.written.points[job]++
		if a.written.tolerant {
			err = nil
		}
		return ref, err
	}
	key := point{o.MetricFamilyName, hashOfPoint(ls), t}
	if !a.written.seen[key] {
		a.written.seen[key] = true
		a.written.rejected = intake.AddRejection(a.written.rejected, job, 1, fmt.Errorf("%.100q at %s: %w", ls.Get(model.MetricNameLabel), stampOf(t), err))
	}
	if a.written.tolerant {
		err = nil
	}
	return ref, err
}

func (a *pushedAppender) append(
	ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AOptions,
) (storage.SeriesRef, error) {
	if t > a.latest {
		return 0, fmt.Errorf("%w: more than %s in the future", storage.ErrOutOfBounds, maxEarly)
	}
	if ref == 0 {
		if err := a.count.allow(a.AppenderV2, ls); err != nil {
			return 0, fmt.Errorf("%w: %w", storage.ErrOutOfBounds, err) // which senders do not send again
		}
	}
	return a.AppenderV2.Append(ref, ls, st, t, v, h, fh, o)
}

// AppendExemplars implements storage.ExemplarAppenderV2.
func (a *pushedAppender) AppendExemplars(ref storage.SeriesRef, ls labels.Labels, exemplars []exemplar.Exemplar) (storage.SeriesRef, error) {
	return appendExemplars(a.AppenderV2, ref, ls, exemplars)
}

// GetRef implements storage.GetRef.
func (a *pushedAppender) GetRef(ls labels.Labels, hash uint64) (storage.SeriesRef, labels.Labels) {
	return getRef(a.AppenderV2, ls, hash)
}

// Commit implements storage.AppenderTransaction.
func (a *pushedAppender) Commit() error {
	err := a.AppenderV2.Commit()
	a.written.stored = err == nil
	return err
}

// hashOfPoint returns a hash of the labels that the samples of a data point share.
func hashOfPoint(ls labels.Labels) uint64 {
	hash, _ := ls.HashWithoutLabels(nil, "le", "quantile")
	return hash
}

func stampOf(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
