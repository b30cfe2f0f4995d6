package metrics

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/compression"
)

const (
	// stripes is the size of the hash map of series; 16,384 by default, for
	// millions of series. It must be a power of two.
	stripes = 512
	// walSegment bounds one file of the write-ahead log. The default is 128 MB, which a
	// lab does not fill in the two hours after which files are deleted.
	walSegment = 16 << 20
	// maxExemplars is the size of the ring of exemplars, some 100 bytes each once it is
	// full. It lasts for 20 minutes of two services at full load, including the metrics
	// of their spans, or for days of clicks. Exemplars are in the write-ahead log, so
	// the latest survive a restart.
	maxExemplars = 100_000
	// lateness is the time by which a sample may be older than the newest of its series:
	// senders in several batches do not keep the order. Older ones are refused.
	lateness = 30 * time.Minute
)

// storageOptions returns the options of the TSDB. Those that are not set here have the
// values of the Prometheus server, among them blocks of two hours.
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
	// As in the Prometheus server, merged blocks grow to a tenth of the retention, so
	// that old data are deleted in steps of that size.
	opts.MaxBlockDuration = max(opts.MinBlockDuration, min(o.Retention/10, 31*24*time.Hour).Milliseconds())
	opts.WALCompression = compression.Snappy
	opts.WALSegmentSize = walSegment
	opts.StripeSize = stripes
	// 4 MB by default, held for as long as the process lives.
	opts.HeadChunksWriteBufferSize = chunks.MinWriteBufferSize
	opts.EnableExemplarStorage = true
	opts.MaxExemplars = maxExemplars
	opts.OutOfOrderTimeWindow = lateness.Milliseconds()
	return opts, nil
}

// blockVersion is the version of blocks that the library reads (tsdb/block.go).
const blockVersion = 1

// openTSDB opens or creates the TSDB in dir, whose series count counts. The library repairs a write-ahead log that a
// crash has cut short. If it cannot read the TSDB, the error names what to do.
func openTSDB(dir string, o Options, count *seriesCount) (*tsdb.DB, error) {
	opts, err := storageOptions(o)
	if err != nil {
		return nil, err
	}
	opts.SeriesLifecycleCallback = count
	if err := checkBlocks(dir); err != nil {
		return nil, explainOpen(dir, err)
	}
	db, err := tsdb.Open(dir, o.Logger, o.Registry, opts, nil)
	if err != nil {
		return nil, explainOpen(dir, err)
	}
	return db, nil
}

// checkBlocks reads the metadata of each block in dir. The library only logs a block that
// it cannot read and goes on without it, so that old metrics would be missing without a
// visible reason.
func checkBlocks(dir string) error {
	metas, err := filepath.Glob(filepath.Join(dir, "*", "meta.json"))
	if err != nil {
		return err
	}
	for _, path := range metas {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var meta struct {
			Version int `json:"version"`
		}
		if err := json.Unmarshal(text, &meta); err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		if meta.Version != blockVersion {
			return fmt.Errorf("reading %s: its version is %d, not %d", path, meta.Version, blockVersion)
		}
	}
	return nil
}

// DamagedError means that this version cannot read the TSDB's directory.
type DamagedError struct {
	Dir string // the directory
	Err error
}

// Error names the remedy.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("opening metrics in %s: %v: it is damaged or was written by a newer version: move it away to start without old metrics, or run the version that wrote it", e.Dir, e.Err)
}

// Unwrap returns the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// explainOpen adds the remedy to an error of opening the TSDB in dir.
func explainOpen(dir string, err error) error {
	var path *fs.PathError
	var hint string
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK): // flock(2): another process holds it
		hint = "another process uses it: stop that one, or choose another data directory"
	case errors.Is(err, syscall.ENOSPC):
		hint = "the disk is full: make room, or choose another data directory"
	case errors.As(err, &path) && !errors.Is(err, fs.ErrNotExist): // a missing file is damage
		hint = "choose a data directory that this user can read and write"
	default:
		return &DamagedError{Dir: dir, Err: err}
	}
	return fmt.Errorf("opening metrics in %s: %w: %s", dir, err, hint)
}

// Check opens the TSDB of a data directory and closes it again. It fails as [New]
// does, with [*DamagedError] if it cannot be read.
func Check(o Options) error {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Registry = prometheus.NewRegistry() // New's takes everything once
	db, err := openTSDB(filepath.Join(o.Dir, DirName), o, &seriesCount{})
	if err != nil {
		return err
	}
	return db.Close()
}
