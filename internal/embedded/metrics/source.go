package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/prometheus/storage"
)

// Source is a source of series that are not scraped: those that the stack computes.
type Source interface {
	// Collect appends a sample of each series as of at. It neither commits nor rolls
	// back: appended samples are kept even if it returns an error.
	Collect(to storage.AppenderV2, at time.Time) error
}

// collector collects from a source every interval.
type collector struct {
	source   Source // nil: there is none
	interval time.Duration
	db       storage.AppendableV2
	log      *slog.Logger
	last     time.Time // of the newest samples
}

func newCollector(o Options, db storage.AppendableV2) *collector {
	return &collector{source: o.Source, interval: o.Interval, db: db, log: o.Logger}
}

// run collects until ctx is done, and then once more.
func (c *collector) run(ctx context.Context) {
	if c.source == nil {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(c.interval)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			done = true
		}
		if err := c.collect(); err != nil {
			c.log.Warn("collecting generated series", "error", err)
		}
	}
}

// collect stores a sample of each series. No two collections are in the same
// millisecond, because the TSDB would refuse the second.
func (c *collector) collect() error {
	at := time.Now()
	if next := c.last.Add(time.Millisecond); at.Before(next) {
		at = next
	}
	c.last = at
	to := c.db.AppenderV2(context.Background()) // a collection is not cut short
	err := c.source.Collect(to, at)
	if commit := to.Commit(); commit != nil {
		err = errors.Join(err, fmt.Errorf("storing generated series: %w", commit))
	}
	return err
}
