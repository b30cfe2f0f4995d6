package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"dicelab/internal/embedded/journal"
)

// partitions holds the partitions of one kind of telemetry, the oldest first. Rows are
// added to the last one.
type partitions struct {
	dir   string
	build build
	opts  Options

	mu   sync.RWMutex
	list []*partition
}

func openPartitions(ctx context.Context, dir string, make build, o Options) (_ *partitions, err error) {
	all := &partitions{dir: dir, build: make, opts: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, all.close())
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating %s: %w", dir, err)
	}
	entries, err := os.ReadDir(dir) // in order of their names
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir, err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), deleted) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("deleting a partition: %w", err)
			}
			continue
		}
		p, err := openPartition(ctx, filepath.Join(dir, e.Name()), make, o)
		if err != nil {
			return nil, err
		}
		all.list = append(all.list, p)
	}
	if len(all.list) == 0 {
		return all, all.begin(ctx)
	}
	return all, all.list[len(all.list)-1].readNames(ctx)
}

// begin creates a partition, to which rows are added from now on.
func (all *partitions) begin(ctx context.Context) error {
	created := all.opts.Now().UTC()
	if n := len(all.list); n > 0 && !created.After(all.list[n-1].created) { // the clock was set back
		created = all.list[n-1].created.Add(1)
	}
	p, err := openPartition(ctx, filepath.Join(all.dir, created.Format(partitionName)), all.build, all.opts)
	if err != nil {
		return err
	}
	all.list = append(all.list, p)
	return p.readNames(ctx)
}

// append adds a record to the last partition.
func (all *partitions) append(record journal.Record, make func(at int64, known *names) rows) error {
	all.mu.RLock()
	if len(all.list) == 0 {
		all.mu.RUnlock()
		return ErrClosed
	}
	p := all.list[len(all.list)-1]
	p.using.RLock()
	all.mu.RUnlock()
	defer p.using.RUnlock()
	return p.append(record, make)
}

// read calls f with the partitions that have rows in [from, to), in nanoseconds since
// 1970, the oldest first. They stay open until f returns.
func (all *partitions) read(from, to int64, f func([]*partition) error) error {
	var in []*partition
	all.mu.RLock()
	for _, p := range all.list {
		if oldest, newest := p.times(); newest != 0 && oldest < to && newest >= from {
			p.using.RLock()
			defer p.using.RUnlock()
			in = append(in, p)
		}
	}
	all.mu.RUnlock()
	for _, p := range in {
		p.visible()
	}
	return f(in)
}

// roll begins a new partition if the last one is older than age or larger than size.
func (all *partitions) roll(ctx context.Context, age time.Duration, size int64) error {
	all.mu.Lock()
	defer all.mu.Unlock()
	if len(all.list) == 0 {
		return nil // closed
	}
	last := all.list[len(all.list)-1]
	if _, newest := last.times(); newest == 0 {
		return nil // empty
	}
	if all.opts.Now().Sub(last.created) < age && last.size() < size {
		return nil
	}
	return all.begin(ctx)
}

// first returns the oldest partition that is not the last one, or nil.
func (all *partitions) first() *partition {
	all.mu.RLock()
	defer all.mu.RUnlock()
	if len(all.list) < 2 {
		return nil
	}
	return all.list[0]
}

// deleted is the suffix of a partition that is being deleted: if the process ends
// meanwhile, the rest cannot be opened.
const deleted = ".deleted"

// drop deletes the oldest partition, as soon as no query reads it.
func (all *partitions) drop() error {
	all.mu.Lock()
	p := all.list[0]
	all.list = all.list[1:]
	all.mu.Unlock()
	p.using.Lock()
	defer p.using.Unlock()
	err := errors.Join(p.close(), os.Rename(p.dir, p.dir+deleted), os.RemoveAll(p.dir+deleted))
	if err != nil {
		return fmt.Errorf("deleting %s: %w", p.dir, err)
	}
	return nil
}

// size returns the bytes of all partitions. It measures those that still change.
func (all *partitions) size() (bytes int64, err error) {
	all.mu.RLock()
	defer all.mu.RUnlock()
	for _, p := range all.list {
		err = errors.Join(err, p.measure())
		bytes += p.size()
	}
	return bytes, err
}

func (all *partitions) close() (err error) {
	all.mu.Lock()
	list := all.list
	all.list = nil
	all.mu.Unlock()
	for _, p := range list {
		p.using.Lock() // appends and reads that are under way end first
		err = errors.Join(err, p.close())
		p.using.Unlock()
	}
	return err
}
