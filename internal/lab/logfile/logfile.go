// Package logfile writes an output to numbered files of bounded size, for agents
// that follow files: DIR/000001.log and so on. A new file has a new name, because
// an agent that follows a renamed file can miss its last lines.
package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Options bound what is kept of an output.
type Options struct {
	Bytes int64         // of a file, about: a file ends at the end of a line
	Files int           // the oldest are removed
	Lines *atomic.Int64 // counts the lines that are written; nil for no count
}

// Service bounds the log lines of a service to 8 files of 32 MiB, about a million
// lines: how long the store of log lines may be away.
func Service() Options { return Options{Bytes: 32 << 20, Files: 8} }

// Files is an output in numbered files. It may be used from several goroutines.
type Files struct {
	dir string
	Options

	mu     sync.Mutex
	file   *os.File // nil when closed
	number int
	size   int64
	torn   bool // the file does not end with a line's end
}

const suffix = ".log"

// Open continues the newest file of dir, on a line of its own. The directory is
// created if need be. Files and directory are readable by their group, for an
// agent that runs as another user.
func Open(dir string, o Options) (*Files, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	s := &Files{dir: dir, Options: o}
	numbers, err := s.numbers()
	if err != nil {
		return nil, err
	}
	s.number = 1
	if len(numbers) > 0 {
		s.number = numbers[len(numbers)-1]
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, s.mend()
}

// mend ends a line that a crash has torn.
func (s *Files) mend() error {
	if s.size == 0 {
		return nil
	}
	last := make([]byte, 1)
	if _, err := s.file.ReadAt(last, s.size-1); err != nil {
		return errors.Join(err, s.file.Close())
	}
	if last[0] == '\n' {
		return nil
	}
	return s.append([]byte("\n"))
}

// Write appends b. Another file begins where a line does.
func (s *Files) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return 0, os.ErrClosed
	}
	n := len(b)
	if s.size+int64(n) > s.Bytes && s.size > 0 {
		end := 0 // of what still belongs to the file
		if s.torn {
			end = bytes.IndexByte(b, '\n') + 1
		}
		if !s.torn || end > 0 {
			if err := s.append(b[:end]); err != nil {
				return 0, err
			}
			b = b[end:]
			if err := s.next(); err != nil {
				return 0, err
			}
		}
	}
	if err := s.append(b); err != nil {
		return 0, err
	}
	return n, nil
}

func (s *Files) append(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	n, err := s.file.Write(b)
	s.size += int64(n)
	if s.Lines != nil {
		s.Lines.Add(int64(bytes.Count(b[:n], []byte("\n"))))
	}
	if n > 0 {
		s.torn = b[n-1] != '\n'
	}
	return err
}

// next begins another file and removes the oldest.
func (s *Files) next() error {
	if err := s.file.Close(); err != nil {
		return err
	}
	s.number++
	if err := s.open(); err != nil {
		return err
	}
	numbers, err := s.numbers()
	if err != nil {
		return err
	}
	for len(numbers) > s.Options.Files {
		if err := os.Remove(s.path(numbers[0])); err != nil {
			return err
		}
		numbers = numbers[1:]
	}
	return nil
}

func (s *Files) open() (err error) {
	s.torn = false
	s.file, err = os.OpenFile(s.path(s.number), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	info, err := s.file.Stat()
	if err != nil {
		return errors.Join(err, s.file.Close())
	}
	s.size = info.Size()
	return nil
}

func (s *Files) path(number int) string {
	return filepath.Join(s.dir, fmt.Sprintf("%06d%s", number, suffix))
}

// numbers lists the files, the oldest first.
func (s *Files) numbers() (numbers []int, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if n, err := strconv.Atoi(name); ok && err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// Close ends a torn line and closes the file. It is safe to call again.
func (s *Files) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	var err error
	if s.torn {
		err = s.append([]byte("\n"))
	}
	err = errors.Join(err, s.file.Close())
	s.file = nil
	return err
}
