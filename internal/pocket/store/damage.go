package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"dicelab/internal/pocket/journal"
)

// The directories of a store in its data directory.
const (
	spansDir = "spans"
	linesDir = "lines"
)

// Files are the names that a store has in its data directory, beside its lock.
func Files() []string { return []string{spansDir, linesDir, oldFile} }

// Dirs are the directories that a store has while it is open.
func Dirs() []string { return []string{spansDir, linesDir} }

// oldFile is what versions before 0.2 kept traces and log lines in.
const oldFile = "store.db"

// OldFormatError reports a data directory that an older version has written.
type OldFormatError struct{ Path string }

// Error says how the file is read, and how the directory is used again.
func (e *OldFormatError) Error() string {
	return fmt.Sprintf("%s holds the traces and log lines of an older dicelab, which this one does not read: "+
		"its content can be saved with: sqlite3 -json %[1]s 'SELECT * FROM spans' > spans.json (and: FROM logs); then move it away, or let --recover do that", e.Path)
}

// refuseOld refuses a directory that an older version has written.
func refuseOld(dir string) error {
	path := filepath.Join(dir, oldFile)
	if _, err := os.Lstat(path); err == nil {
		return &OldFormatError{path}
	}
	return nil
}

// IndexError reports a partition whose index cannot be opened, or that is none.
type IndexError struct {
	Dir string // of the partition
	Err error
}

// Error names the partition.
func (e *IndexError) Error() string { return fmt.Sprintf("opening %s: %v", e.Dir, e.Err) }

// Unwrap returns the cause.
func (e *IndexError) Unwrap() error { return e.Err }

// Damaged reports whether an error of [Open] comes from what the files hold, so
// that a store can be opened when they are moved away. It is false where the
// system, another process or ctx is the reason.
func Damaged(err error) bool {
	var old *OldFormatError
	var index *IndexError
	var record *journal.DamagedError
	return errors.As(err, &old) || errors.As(err, &index) || errors.As(err, &record)
}
