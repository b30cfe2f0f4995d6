package store

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrFull means that the file system is full. Stored data can still be read, and appends
// work again as soon as there is room.
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
