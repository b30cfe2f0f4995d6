package metrics

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/compression"
)

const (
	// stripes is the size of the hash map of series; 16,384 by default, for
	// millions of series. It must be a power of two.
	stripes = 512
	// walSegment bounds one file of the write-ahead log; 128 MB by default,
	// which a lab does not fill in the two hours after which files go.
	walSegment = 16 << 20
	// maxExemplars is the size of the ring of exemplars, some 100 bytes each
	// once it is full: 20 minutes of two services at full load, days of clicks.
	// They are in the write-ahead log, so the latest survive a restart.
	maxExemplars = 50_000
)

// storageOptions are the TSDB's. Where nothing is set here, the values are those
// of the Prometheus server, among them blocks of two hours and no samples out of
// order.
func storageOptions(o Options) (*tsdb.Options, error) {
	if o.Retention == 0 {
		o.Retention = DefaultRetention
	}
	if o.RetentionBytes == 0 {
		o.RetentionBytes = DefaultRetentionBytes
	}
	if o.Retention < 0 || o.RetentionBytes < 0 {
		return nil, fmt.Errorf("setting the retention of metrics: %s and %d bytes: both must be positive", o.Retention, o.RetentionBytes)
	}
	opts := tsdb.DefaultOptions()
	opts.RetentionDuration = o.Retention.Milliseconds()
	opts.MaxBytes = o.RetentionBytes
	// As the Prometheus server does: merged blocks grow to a tenth of the
	// retention, so that old data goes in steps of that size.
	opts.MaxBlockDuration = max(opts.MinBlockDuration, min(o.Retention/10, 31*24*time.Hour).Milliseconds())
	opts.WALCompression = compression.Snappy
	opts.WALSegmentSize = walSegment
	opts.StripeSize = stripes
	// 4 MB by default, held for as long as the process lives.
	opts.HeadChunksWriteBufferSize = chunks.MinWriteBufferSize
	opts.EnableExemplarStorage = true
	opts.MaxExemplars = maxExemplars
	return opts, nil
}

// openTSDB opens, or makes, the TSDB in dir. A write-ahead log that was cut short
// by a crash is repaired by the library; what it cannot read is an error that
// says what to do.
func openTSDB(dir string, o Options) (*tsdb.DB, error) {
	opts, err := storageOptions(o)
	if err != nil {
		return nil, err
	}
	db, err := tsdb.Open(dir, o.Logger, o.Registry, opts, nil)
	var path *fs.PathError
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, syscall.EWOULDBLOCK): // flock(2): somebody else holds it
		return nil, fmt.Errorf("opening metrics in %s: %w: another process uses it: stop that one, or choose another data directory", dir, err)
	case errors.As(err, &path) && !errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOSPC):
		return nil, fmt.Errorf("opening metrics in %s: %w: choose a data directory that this user can write to", dir, err)
	default:
		return nil, fmt.Errorf("opening metrics in %s: %w: it is damaged or was written by a newer version: "+
			"move it away to start without old metrics, or run the version that wrote it", dir, err)
	}
}
