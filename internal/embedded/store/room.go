package store

import (
	"fmt"
	"syscall"
)

// The room that the file system must have for appends: the engine ends the process if it
// cannot write rows that it has in memory, or the result of a merge.
const (
	minFree         = 64 << 20 // bytes
	minFreeFraction = 4        // of a file system that has less than four times that: a quarter
)

// Room is the size of a file system, in bytes.
type Room struct{ Free, Size uint64 }

// roomOf returns the room of the file system that dir is in, as its user has it.
func roomOf(dir string) (Room, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return Room{}, fmt.Errorf("measuring the free space of %s: %w", dir, err)
	}
	block := uint64(s.Bsize)
	return Room{uint64(s.Bavail) * block, s.Blocks * block}, nil
}

// room fails with [ErrFull] if there is no room for that number of further bytes.
func (s *Store) room(bytes int) error {
	room, err := s.opts.Room(s.dir)
	if err != nil {
		return err
	}
	need := min(minFree, room.Size/minFreeFraction) + uint64(bytes)
	if room.Free < need {
		return fmt.Errorf("%w (%d bytes are free, and %d must be)", ErrFull, room.Free, need)
	}
	return nil
}
