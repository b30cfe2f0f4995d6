package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"dicelab/internal/embedded/journal"
)

// The directories of a store in its data directory.
const (
	spansDir = "spans"
	linesDir = "lines"
)

// Files returns the names of a store's files in its data directory, without its lock.
func Files() []string { return []string{spansDir, linesDir, oldFile} }

// Dirs returns the directories of an open store.
func Dirs() []string { return []string{spansDir, linesDir} }

// oldFile is the file in which versions before 0.2 kept traces and log lines.
const oldFile = "store.db"

// OldFormatError reports a data directory that an older version has written.
type OldFormatError struct{ Path string }

// Error names the way to read the file, and to use the directory again.
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

// NameError reports a directory among the partitions that is none.
type NameError struct{ Dir string }

// Error names the directory.
func (e *NameError) Error() string { return e.Dir + " is not the name of a partition" }

// Damaged reports whether the content of the files is the reason for an error of [Open],
// so that a store can be opened when they are moved away. It is false if the system,
// another process or ctx is the reason.
func Damaged(err error) bool {
	var old *OldFormatError
	var name *NameError
	var record *journal.DamagedError
	return errors.As(err, &old) || errors.As(err, &name) || errors.As(err, &record)
}
