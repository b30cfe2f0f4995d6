package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"dicelab/internal/embedded/journal"
)

// partition holds the telemetry that arrived within some hours: a journal with the
// telemetry as it was sent, and an index of it. It is a directory, and is deleted as a
// whole.
type partition struct {
	dir     string
	created time.Time
	journal *journal.Journal
	index   *index
	names   *names       // read when rows are added
	using   sync.RWMutex // held for reading while the partition is used

	flushing sync.Mutex  // held until added rows are visible
	dirty    atomic.Bool // rows were added that queries may not see yet

	mu             sync.Mutex
	oldest, newest int64 // times of rows, nanoseconds since 1970; 0 and 0 before the first
	indexBytes     int64
}

// partitionName is the layout of the name of a partition's directory: the time of its
// creation.
const partitionName = "2006-01-02T15-04-05.000000000Z"

// build returns the rows of a journal's record, except for those whose field row is in
// skip.
type build func(record journal.Record, known *names, skip map[string]bool) (rows, error)

// openPartition opens the partition in dir, or creates it. It makes the index anew if that
// was marked as damaged, if the process ended while opening it, or if o asks for it.
func openPartition(ctx context.Context, dir string, make build, o Options) (_ *partition, err error) {
	created, err := time.Parse(partitionName, filepath.Base(dir))
	if err != nil {
		return nil, &NameError{dir}
	}
	p := &partition{dir: dir, created: created}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating a partition: %w", err)
	}
	if p.journal, err = journal.Open(filepath.Join(dir, "journal")); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(filepath.Join(dir, rebuildMark)); err == nil || o.Rebuild {
		if err := os.RemoveAll(filepath.Join(dir, "index")); err != nil {
			return nil, errors.Join(fmt.Errorf("deleting a damaged index: %w", err), p.journal.Close())
		}
	}
	if err := mark(dir); err != nil {
		return nil, errors.Join(err, p.journal.Close())
	}
	opened.add(dir, o.Fail)
	p.index = openIndex(filepath.Join(dir, "index"), o.FlushEvery)
	if err := p.recover(ctx, make); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if err := os.Remove(filepath.Join(dir, rebuildMark)); err != nil {
		return nil, errors.Join(fmt.Errorf("opening a partition: %w", err), p.close())
	}
	p.oldest, p.newest = p.index.times()
	return p, p.measure()
}

// recover adds the rows to the index that only the journal has: they were acknowledged
// while the index had them only in memory. It goes back from the newest record until it
// has added all missing rows.
func (p *partition) recover(ctx context.Context, make build) error {
	_, accepted := p.journal.Size()
	written, err := p.index.count(ctx)
	if err != nil {
		return err
	}
	missing := accepted - written
	if missing == 0 {
		return nil
	}
	places, err := p.journal.Places()
	if err != nil {
		return err
	}
	if err := p.readNames(ctx); err != nil {
		return err
	}
	defer p.index.flush()
	for _, at := range slices.Backward(places) {
		if missing <= 0 {
			return nil
		}
		record, err := p.journal.Read(at)
		if err != nil {
			return err
		}
		there := map[string]bool{}
		if written > 0 {
			found, err := p.index.query(ctx, fieldAt+":="+strconv.FormatInt(at, 10)+" | fields "+fieldRow)
			if err != nil {
				return err
			}
			for _, row := range found {
				there[row.value(fieldRow)] = true
			}
		}
		if len(there) == record.Rows {
			continue
		}
		rows, err := make(record, p.names, there)
		if err != nil {
			return fmt.Errorf("reading the journal of %s: %w", p.dir, err)
		}
		p.index.add(rows)
		missing -= int64(record.Rows - len(there))
	}
	return nil
}

// readNames reads the names that the index has, if rows are to be added to it.
func (p *partition) readNames(ctx context.Context) (err error) {
	if p.names == nil {
		p.names, err = readNames(ctx, p.index)
	}
	return err
}

// append writes a record to the journal, and the rows that make returns for it to the
// index.
func (p *partition) append(record journal.Record, make func(at int64, known *names) rows) error {
	at, err := p.journal.Append(record.Kind, record.Rows, record.Payload)
	if err != nil {
		return err
	}
	rows := make(at, p.names)
	p.mu.Lock()
	if p.newest == 0 || rows.oldest < p.oldest {
		p.oldest = rows.oldest
	}
	p.newest = max(p.newest, rows.newest)
	p.mu.Unlock()
	p.index.add(rows)
	p.dirty.Store(true)
	return nil
}

// visible makes all rows visible to queries. It also waits for another query that is
// doing so.
func (p *partition) visible() {
	p.flushing.Lock()
	defer p.flushing.Unlock()
	if p.dirty.Swap(false) {
		p.index.flush()
	}
}

// times returns the times of the first and the last row.
func (p *partition) times() (oldest, newest int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.oldest, p.newest
}

// measure reads the size of the index.
func (p *partition) measure() error {
	var bytes int64
	err := filepath.WalkDir(filepath.Join(p.dir, "index"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // the engine deletes files that it has merged
		return fmt.Errorf("measuring %s: %w", p.dir, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.indexBytes = bytes
	return nil
}

// size returns the bytes of the partition's files, as they were last measured.
func (p *partition) size() int64 {
	bytes, _ := p.journal.Size()
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes + p.indexBytes
}

func (p *partition) close() error {
	p.index.close()
	opened.remove(p.dir)
	return p.journal.Close()
}
