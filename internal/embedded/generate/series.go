package generate

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"dicelab/internal/contract"
)

// series is one series of the TSDB.
type series struct {
	labels labels.Labels
	ref    storage.SeriesRef // lets the TSDB find the series faster
	begun  bool              // its 0 was appended
}

func newSeries(base labels.Labels, name string, more ...string) series {
	b := labels.NewBuilder(base)
	b.Set(model.MetricNameLabel, name)
	for i := 0; i < len(more); i += 2 {
		b.Set(more[i], more[i+1])
	}
	return series{labels: b.Labels()}
}

// counter is a counter. It has no series before the first addition.
type counter struct {
	series
	value float64
}

func newCounter(base labels.Labels, name string) counter {
	return counter{series: newSeries(base, name)}
}

func (c *counter) add(n float64) { c.value += n }

func (c *counter) collect(b *batch) error {
	if c.value == 0 {
		return nil
	}
	return b.put(&c.series, c.value)
}

// histogram is a classic histogram.
type histogram struct {
	bounds  []float64 // upper bounds but for +Inf
	buckets []bucket  // one more
	count   series
	sum     counter
}

// bucket counts the values between two bounds.
type bucket struct {
	series
	n float64

	// The last value since the last collection, which is the exemplar. fresh is set if
	// there was one.
	fresh bool
	trace [16]byte
	value float64
}

// histogramSeries returns the number of series of a histogram.
func histogramSeries(bounds []float64) int { return len(bounds) + 3 } // +Inf, count and sum

func newHistogram(base labels.Labels, name string, bounds []float64) histogram {
	h := histogram{
		bounds: bounds, buckets: make([]bucket, len(bounds)+1),
		count: newSeries(base, name+"_count"), sum: newCounter(base, name+"_sum"),
	}
	for i, bound := range append(slices.Clone(bounds), math.Inf(1)) {
		h.buckets[i].series = newSeries(base, name+"_bucket", labels.BucketLabel, strconv.FormatFloat(bound, 'f', -1, 64))
	}
	return h
}

func (h *histogram) observe(value float64, trace []byte) {
	i, _ := slices.BinarySearch(h.bounds, value) // the first bound that is not less
	b := &h.buckets[i]
	b.n++
	b.fresh, b.value = true, value
	copy(b.trace[:], trace)
	h.sum.add(value)
}

func (h *histogram) collect(b *batch) error {
	total := 0.0
	for i := range h.buckets {
		bucket := &h.buckets[i]
		total += bucket.n
		var exemplars []exemplar.Exemplar
		if bucket.fresh {
			exemplars = []exemplar.Exemplar{{
				Labels: labels.FromStrings(contract.FieldTraceID, hex.EncodeToString(bucket.trace[:])),
				Value:  bucket.value, Ts: b.at, HasTs: true,
			}}
			bucket.fresh = false
		}
		if err := b.put(&bucket.series, total, exemplars...); err != nil {
			return err
		}
	}
	if err := b.put(&h.count, total); err != nil {
		return err
	}
	return b.put(&h.sum.series, h.sum.value)
}

// batch appends samples of one moment.
type batch struct {
	to storage.AppenderV2
	at int64 // milliseconds since 1970

	late  int   // samples that were refused for their time
	cause error // of the last of them
}

// all calls the given functions in order, until one fails.
func (b *batch) all(collect ...func(*batch) error) error {
	for _, f := range collect {
		if err := f(b); err != nil {
			return err
		}
	}
	return nil
}

// put appends a sample. Before the first sample of a series it appends a 0 at the end of
// the previous minute, as Tempo does, so that the two are in different steps of a query.
// If there is a sample after that time, as soon after a restart, the 0 comes just before
// the new sample.
func (b *batch) put(s *series, value float64, exemplars ...exemplar.Exemplar) error {
	if !s.begun {
		minute := time.Minute.Milliseconds()
		err := b.append(s, b.at-b.at%minute-time.Second.Milliseconds(), 0)
		if tooLate(err) {
			err = b.append(s, b.at-1, 0)
		}
		if err != nil && !tooLate(err) {
			return err
		}
		s.begun = true
	}
	err := b.append(s, b.at, value, exemplars...)
	if tooLate(err) {
		b.late, b.cause = b.late+1, err
		return nil
	}
	return err
}

func (b *batch) append(s *series, at int64, value float64, exemplars ...exemplar.Exemplar) error {
	// The TSDB takes late samples of others; a late 0 would hide that a counter began anew.
	ref, err := b.to.Append(s.ref, s.labels, 0, at, value, nil, nil, storage.AOptions{Exemplars: exemplars, RejectOutOfOrder: true})
	// If only its exemplar is refused, the sample is appended all the same: queries can
	// do without exemplars.
	var partial *storage.AppendPartialError
	if err != nil && !errors.As(err, &partial) {
		return fmt.Errorf("appending %s: %w", s.labels, err)
	}
	s.ref = ref
	return nil
}

// tooLate reports whether err means that a sample is older than the stored ones of its
// series.
func tooLate(err error) bool {
	return errors.Is(err, storage.ErrOutOfOrderSample) || errors.Is(err, storage.ErrOutOfBounds) ||
		errors.Is(err, storage.ErrTooOldSample) || errors.Is(err, storage.ErrDuplicateSampleForTimestamp)
}

// refused returns an error with the number of samples that were too late, or nil.
func (b *batch) refused() error {
	if b.late == 0 {
		return nil
	}
	return fmt.Errorf("%d generated samples were not stored, the last for this: %w", b.late, b.cause)
}
