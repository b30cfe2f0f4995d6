package store

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrFull means that the file system takes no more of the file. What is stored
// can still be read, and appends work again as soon as there is room.
var ErrFull = errors.New("the disk is full, or a quota is used up: make room in the data directory, and writing goes on by itself")

// explain adds [ErrFull] to an error of SQLite that comes from it. A file that
// may not grow is an error of writing or of sizing a file, for SQLite: only the
// device that is full has a code of its own.
func explain(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE, sqlite3.SQLITE_IOERR_SHMSIZE:
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// MaxStreams bounds the streams of log lines: each is in memory whenever streams
// are chosen among. It is Loki's own bound (max_global_streams_per_user).
const MaxStreams = 5000

// TooManyStreamsError says that lines were refused since they would make more
// than MaxStreams streams. None of their append is stored.
type TooManyStreamsError struct {
	Streams int // that there are
	New     int // that the append would make
}

// Error says what makes streams, and what to do.
func (e *TooManyStreamsError) Error() string {
	return fmt.Sprintf("there are %d streams of log lines, and these lines would make %d more: at most %d are kept; "+
		"send what differs from line to line as structured metadata, not as labels", e.Streams, e.New, MaxStreams)
}

// refused tells an error of one append alone, which has changed nothing in the
// transaction, from one that ends the transaction.
func refused(err error) bool {
	var streams *TooManyStreamsError
	return errors.As(err, &streams)
}

// Damaged reports whether an error of [Open] comes from what the files hold, so
// that a store can be opened when they are moved away: they are damaged, or of
// another version. It is false where the system, another process or ctx is the
// reason.
func Damaged(err error) bool {
	var inUse *InUseError
	var system syscall.Errno
	if err == nil || errors.As(err, &inUse) || errors.As(err, &system) || errors.Is(err, ErrFull) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return true
	}
	switch e.Code() & 0xff { // without what SQLite adds to a code
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH:
		return true
	}
	return false
}

// Files are the names of the files that a store may have in its directory, beside
// its lock.
func Files() []string {
	return []string{FileName, FileName + "-wal", FileName + "-shm", FileName + "-journal"}
}
