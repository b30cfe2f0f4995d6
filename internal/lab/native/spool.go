package native

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"

	"dicelab/internal/lab/logfile"
)

// Spool writes what the services print to files that Alloy follows:
// DIR/SERVICE/NUMBER.log. The lines stand there as they were printed. Files and
// their sizes are bounded: a Loki that is away for long costs the oldest lines,
// not the disk.
type Spool struct {
	dir     string
	options logfile.Options
	lines   atomic.Int64
}

// NewSpool makes a spool in dir, which is created when the first line comes. Of
// each service logfile.Service is kept.
func NewSpool(dir string) *Spool { return &Spool{dir: dir, options: logfile.Service()} }

// Limit bounds what is kept of a service: files of about size bytes. It is
// called before Read.
func (s *Spool) Limit(size int64, files int) { s.options.Bytes, s.options.Files = size, files }

// Read writes the output of one run of a service. It returns when r ends. One
// run at a time of a service is read, as child does.
func (s *Spool) Read(service string, r io.Reader) error {
	options := s.options
	options.Lines = &s.lines
	files, err := logfile.Open(filepath.Join(s.dir, service), options)
	if err != nil {
		return fmt.Errorf("opening the log files of %s: %w", service, err)
	}
	_, err = io.Copy(files, r)
	if err = errors.Join(err, files.Close()); err != nil {
		return fmt.Errorf("writing the log files of %s: %w", service, err)
	}
	return nil
}

// Lines returns the number of lines written since the spool was made.
func (s *Spool) Lines() int64 { return s.lines.Load() }

// Dir returns the directory of the files.
func (s *Spool) Dir() string { return s.dir }
