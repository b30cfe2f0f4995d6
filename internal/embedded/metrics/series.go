package metrics

import (
	"fmt"
	"sync/atomic"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// Bounds of the series of the TSDB, which has the labels of all of them in memory. They
// bound what senders and targets of the user may add; the lab's own series, some
// thousands at most, are added in any case.
const (
	maxSeries       = 50_000   // series that were written in the last two to three hours
	maxSeriesBytes  = 32 << 20 // names and values of the labels of all series
	maxSeriesLabels = 64       // labels of a series
	maxLabelBytes   = 16 << 10 // names and values of the labels of a series
)

// seriesCount counts the series in the TSDB's head. It implements
// tsdb.SeriesLifecycleCallback.
type seriesCount struct {
	series, bytes atomic.Int64
}

// PreCreation allows every series: allow has checked those that are bounded.
func (*seriesCount) PreCreation(labels.Labels) error { return nil }

// PostCreation counts a series.
func (c *seriesCount) PostCreation(ls labels.Labels) {
	c.series.Add(1)
	c.bytes.Add(int64(labelBytes(ls)))
}

// PostDeletion counts series that were removed because they had no new samples.
func (c *seriesCount) PostDeletion(deleted map[chunks.HeadSeriesRef]labels.Labels) {
	for _, ls := range deleted {
		c.series.Add(-1)
		c.bytes.Add(-int64(labelBytes(ls)))
	}
}

// allow returns an error if a series is new and there is no room for it. to knows the
// series that exist.
func (c *seriesCount) allow(to storage.AppenderV2, ls labels.Labels) error {
	n, size := ls.Len(), labelBytes(ls)
	if n > maxSeriesLabels || size > maxLabelBytes {
		return fmt.Errorf("the series %.100q has %d labels of %d bytes: at most %d of %d are allowed", ls.Get(model.MetricNameLabel), n, size, maxSeriesLabels, maxLabelBytes)
	}
	if c.series.Load() < maxSeries && c.bytes.Load()+int64(size) <= maxSeriesBytes {
		return nil
	}
	if ref, _ := getRef(to, ls, ls.Hash()); ref != 0 {
		return nil
	}
	return fmt.Errorf("there are %d series with labels of %d bytes, and at most %d of %d are kept: the new series of %.100q is refused; use fewer values of labels",
		c.series.Load(), c.bytes.Load(), maxSeries, maxSeriesBytes, ls.Get(model.MetricNameLabel))
}

func labelBytes(ls labels.Labels) (n int) {
	ls.Range(func(l labels.Label) { n += len(l.Name) + len(l.Value) })
	return n
}
