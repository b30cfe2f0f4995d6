package store

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrFull means that the file system takes no more. What is stored can still be
// read, and appends work again as soon as there is room.
var ErrFull = errors.New("the disk is full, or a quota is used up: make room in the data directory, and writing goes on by itself")

// explain adds [ErrFull] to an error that comes from a full file system.
func explain(err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
	}
	return err
}

// MaxStreams bounds the streams of log lines. It is Loki's own bound
// (max_global_streams_per_user).
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
