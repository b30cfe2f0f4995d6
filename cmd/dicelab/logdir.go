package main

import (
	"fmt"
	"io"
	"path/filepath"

	"dicelab/internal/lab"
	"dicelab/internal/lab/logfile"
)

func defineLogDir(f *flags) *string {
	return f.String("log-dir", "", "`directory` in which log lines are kept, too, for an agent that follows files: DIR/SERVICE/000001.log and so on; "+orNone)
}

// openLog returns where a service's log lines go: to out, and to files in dir if
// that is not empty. It is closed after the last line.
func openLog(out io.Writer, dir, service string) (w io.Writer, closeLog func() error, err error) {
	if dir == "" {
		return out, func() error { return nil }, nil
	}
	files, err := logfile.Open(filepath.Join(dir, service), logfile.Service())
	if err != nil {
		return nil, nil, hint(&lab.UsageError{Err: fmt.Errorf("opening the log files: %w", err)}, "another directory can be given with --log-dir")
	}
	return io.MultiWriter(out, files), files.Close, nil
}
