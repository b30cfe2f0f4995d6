// Package journal keeps records in an append-only file: data that was acknowledged and
// may be in no other file yet, and the originals to which an index refers.
//
// The file begins with a line that names its format, and goes on with records:
//
//	4 bytes  length of the payload as it is in the file, little-endian
//	4 bytes  CRC-32C (Castagnoli) of the payload as it is in the file
//	1 byte   kind, the caller's
//	4 bytes  rows in the record, the caller's count
//	4 bytes  CRC-32C of the 13 bytes before
//	n bytes  the payload, compressed by Zstandard (RFC 8878)
//
// The header has a checksum of its own so that a damaged length is not taken for the end
// of the file, where everything that follows would be cut off.
//
// A record is written by one write, before the append returns: it survives a crash of
// the process. The file is synced every second, so that a crash of the machine loses at
// most a second. An incomplete record at the end of a file was never acknowledged; Open
// cuts it off. A damaged record elsewhere is an error that names its file.
package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	format     = "dicelab journal 1\n"
	headerSize = 17
	headerSum  = 13 // offset of the header's checksum
	// maxRecord bounds a record, in bytes, compressed and not. It is above the
	// largest export that the lab takes.
	maxRecord = 64 << 20
	syncEvery = time.Second
	// window is the size of the compressor's window, in bytes. There are two windows
	// for each processor. The default of 4 MiB makes files no smaller.
	window = 512 << 10
)

// Record is the content of one append.
type Record struct {
	At      int64 // its offset in the file
	Kind    byte
	Rows    int
	Payload []byte
}

// DamagedError reports a file that cannot be read to its end.
type DamagedError struct {
	Path string
	At   int64 // offset of the damaged record
	Err  error
}

// Error names the file and the place.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d: %v", e.Path, e.At, e.Err)
}

// Unwrap returns the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// Journal is an open file. Its methods may be called from any goroutine.
type Journal struct {
	path string
	file *os.File
	pack *zstd.Encoder
	open *zstd.Decoder

	mu    sync.Mutex
	size  int64
	rows  int64
	dirty bool
	err   error // of a write that may have left a part of a record

	stop    chan struct{}
	stopped chan struct{}
}

// Open opens the file at path, or creates it, readable only by its owner.
func Open(path string) (_ *Journal, err error) {
	j := &Journal{path: path, stop: make(chan struct{}), stopped: make(chan struct{})}
	if j.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600); err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.file.Close())
		}
	}()
	if j.pack, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true)); err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	if j.open, err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxRecord), zstd.WithDecoderConcurrency(0)); err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	end, err := j.scan()
	if err != nil {
		return nil, err
	}
	if j.size == 0 { // created, and not begun
		if _, err := j.file.WriteAt([]byte(format), 0); err != nil {
			return nil, fmt.Errorf("beginning the journal: %w", err)
		}
		j.size = int64(len(format))
	}
	if j.size < end {
		if err := j.file.Truncate(j.size); err != nil {
			return nil, fmt.Errorf("cutting off what was not written completely: %w", err)
		}
	}
	go j.syncer()
	return j, nil
}

// scan sets size to the end of the last complete record, 0 if the file is not begun,
// and returns the end of the file.
func (j *Journal) scan() (end int64, err error) {
	if end, err = j.file.Seek(0, io.SeekEnd); err != nil {
		return 0, fmt.Errorf("opening the journal: %w", err)
	}
	begin := make([]byte, min(end, int64(len(format))))
	if _, err := j.file.ReadAt(begin, 0); err != nil {
		return 0, fmt.Errorf("opening the journal: %w", err)
	}
	if !strings.HasPrefix(format, string(begin)) {
		return 0, &DamagedError{j.path, 0, fmt.Errorf("it begins with %q and not with %q", begin, format)}
	}
	if len(begin) < len(format) {
		return end, nil
	}
	at := int64(len(format))
	last := at
	for at < end {
		h, err := j.header(at)
		if errors.Is(err, io.ErrUnexpectedEOF) || err == nil && at+headerSize+int64(h.length) > end {
			break // the last record was not written to its end
		}
		if err != nil {
			if j.zeros(at, end) { // the machine crashed when the file had its length and not yet its bytes
				break
			}
			return 0, &DamagedError{j.path, at, err}
		}
		last = at
		j.rows += int64(h.rows)
		at += headerSize + int64(h.length)
	}
	// The writes of all records but the last one have succeeded; the last one may have
	// been written in part.
	if last < at {
		if _, err := j.Read(last); err != nil {
			h, headerErr := j.header(last)
			if headerErr != nil {
				return 0, &DamagedError{j.path, last, headerErr}
			}
			j.rows -= int64(h.rows)
			at = last
		}
	}
	j.size = at
	return end, nil
}

// zeros reports whether all bytes in [at, end) are zero.
func (j *Journal) zeros(at, end int64) bool {
	b := make([]byte, 64<<10)
	for at < end {
		n, err := j.file.ReadAt(b[:min(int64(len(b)), end-at)], at)
		if err != nil || len(bytes.Trim(b[:n], "\x00")) > 0 {
			return false
		}
		at += int64(n)
	}
	return true
}

type header struct {
	length, sum uint32
	kind        byte
	rows        uint32
}

func (j *Journal) header(at int64) (h header, err error) {
	var b [headerSize]byte
	if _, err := j.file.ReadAt(b[:], at); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return h, err
	}
	if crc32.Checksum(b[:headerSum], castagnoli) != binary.LittleEndian.Uint32(b[headerSum:]) {
		return h, errors.New("the checksum of a record's header does not match")
	}
	h = header{binary.LittleEndian.Uint32(b[0:]), binary.LittleEndian.Uint32(b[4:]), b[8], binary.LittleEndian.Uint32(b[9:])}
	if h.length > maxRecord {
		return h, fmt.Errorf("a record has a length of %d bytes, above the limit of %d", h.length, maxRecord)
	}
	return h, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Append writes a record and returns its offset. It returns when the record is in the
// file.
func (j *Journal) Append(kind byte, rows int, payload []byte) (at int64, err error) {
	if len(payload) > maxRecord {
		return 0, fmt.Errorf("appending to the journal: the record has %d bytes, above the limit of %d", len(payload), maxRecord)
	}
	b := j.pack.EncodeAll(payload, make([]byte, headerSize, headerSize+len(payload)/2))
	binary.LittleEndian.PutUint32(b[0:], uint32(len(b)-headerSize))
	b[8] = kind
	binary.LittleEndian.PutUint32(b[9:], uint32(rows))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[headerSize:], castagnoli))
	binary.LittleEndian.PutUint32(b[headerSum:], crc32.Checksum(b[:headerSum], castagnoli))
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil { // cut off what the failed write may have left
		if err := j.file.Truncate(j.size); err != nil {
			return 0, fmt.Errorf("appending to the journal: %w", err)
		}
		j.err = nil
	}
	if _, err := j.file.WriteAt(b, j.size); err != nil {
		j.err = err
		return 0, fmt.Errorf("appending to the journal: %w", err)
	}
	at = j.size
	j.size += int64(len(b))
	j.rows += int64(rows)
	j.dirty = true
	return at, nil
}

// Read reads the record at an offset that Append has returned.
func (j *Journal) Read(at int64) (Record, error) {
	h, err := j.header(at)
	if err != nil {
		return Record{}, &DamagedError{j.path, at, err}
	}
	b := make([]byte, headerSize+h.length)
	if _, err := j.file.ReadAt(b, at); err != nil {
		return Record{}, &DamagedError{j.path, at, err}
	}
	if crc32.Checksum(b[headerSize:], castagnoli) != h.sum {
		return Record{}, &DamagedError{j.path, at, errors.New("its checksum does not match")}
	}
	payload, err := j.open.DecodeAll(b[headerSize:], nil)
	if err != nil {
		return Record{}, &DamagedError{j.path, at, err}
	}
	return Record{at, h.kind, int(h.rows), payload}, nil
}

// Places returns the offsets of the records, in order.
func (j *Journal) Places() (places []int64, err error) {
	j.mu.Lock()
	size := j.size
	j.mu.Unlock()
	for at := int64(len(format)); at < size; {
		h, err := j.header(at)
		if err != nil {
			return nil, &DamagedError{j.path, at, err}
		}
		places = append(places, at)
		at += headerSize + int64(h.length)
	}
	return places, nil
}

// Size returns the size of the file in bytes, and the number of rows of all records.
func (j *Journal) Size() (bytes, rows int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.size, j.rows
}

// syncer syncs the file every second in which something was appended.
func (j *Journal) syncer() {
	defer close(j.stopped)
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-j.stop:
			return
		case <-tick.C:
			j.mu.Lock()
			dirty := j.dirty
			j.dirty = false
			j.mu.Unlock()
			if dirty {
				if err := j.file.Sync(); err != nil {
					j.mu.Lock()
					j.dirty = true // and again in a second
					j.mu.Unlock()
				}
			}
		}
	}
}

// Close syncs and closes the file.
func (j *Journal) Close() error {
	close(j.stop)
	<-j.stopped
	j.open.Close()
	if err := errors.Join(j.file.Sync(), j.file.Close(), j.pack.Close()); err != nil {
		return fmt.Errorf("closing the journal: %w", err)
	}
	return nil
}
