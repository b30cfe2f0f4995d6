package journal

import (
	"errors"
	"fmt"
	"os"

	"github.com/klauspost/compress/zstd"
)

// Read calls yield with the records that the file at path has now, in order, and
// changes nothing: another process may append meanwhile. A record that is not
// complete at the end is the end; one that is damaged elsewhere is a
// [*DamagedError].
func Read(path string, yield func(Record) error) (err error) {
	j := &Journal{path: path}
	if j.file, err = os.OpenFile(path, os.O_RDONLY|noFollow, 0); err != nil {
		return fmt.Errorf("opening the journal: %w", err)
	}
	defer func() { err = errors.Join(err, j.file.Close()) }()
	if j.open, err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxRecord), zstd.WithDecoderConcurrency(1)); err != nil {
		return fmt.Errorf("opening the journal: %w", err)
	}
	defer j.open.Close()
	if _, err := j.scan(); err != nil {
		return err
	}
	places, err := j.Places()
	if err != nil {
		return err
	}
	for _, at := range places {
		record, err := j.Read(at)
		if err != nil {
			return err
		}
		if err := yield(record); err != nil {
			return err
		}
	}
	return nil
}
