package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/embedded/journal"
)

// ReadSpans calls yield with the spans of the store in dir, in the order of their
// arrival: those of each export, also spans that were sent twice. It leaves out
// partitions that ended more than [MaxEarly] before since. It reads the journals alone
// and changes nothing, so the store may be open, in another process too; what arrives
// meanwhile may be missing.
func ReadSpans(ctx context.Context, dir string, since time.Time, yield func([]*tracepb.ResourceSpans) error) error {
	decode := func(record journal.Record) ([]*tracepb.ResourceSpans, error) {
		_, batches, err := decodeSpans(record)
		return batches, err
	}
	return readRecords(ctx, dir, spansDir, since, decode, yield)
}

// ReadLines calls yield with the log lines of the store in dir, as ReadSpans does
// with spans: those of each push, also lines that were pushed twice.
func ReadLines(ctx context.Context, dir string, since time.Time, yield func([]Line) error) error {
	return readRecords(ctx, dir, linesDir, since, decodeLines, yield)
}

// readRecords calls yield with each record of one kind of telemetry, decoded.
func readRecords[T any](ctx context.Context, dir, kind string, since time.Time,
	decode func(journal.Record) (T, error), yield func(T) error) error {
	if err := refuseOld(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(dir, kind)) // in order of their names
	if err != nil {
		return fmt.Errorf("reading what %s keeps: %w", dir, err)
	}
	var paths []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), deleted) {
			continue
		}
		created, err := time.Parse(partitionName, e.Name())
		if err != nil {
			return &NameError{filepath.Join(dir, kind, e.Name())}
		}
		if created.Before(since.Add(-MaxEarly)) {
			paths = nil // nothing was added to them since this one was begun
		}
		paths = append(paths, filepath.Join(dir, kind, e.Name(), "journal"))
	}
	for _, path := range paths {
		err := journal.Read(path, func(record journal.Record) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			content, err := decode(record)
			if err != nil {
				return &journal.DamagedError{Path: path, At: record.At, Err: err}
			}
			return yield(content)
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // the partition was deleted
			return err
		}
	}
	return nil
}
