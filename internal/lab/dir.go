package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lockName is the file in the data directory that the lab using it holds locked.
const lockName = "lock"

// Dir is a data directory that this process has to itself.
type Dir struct {
	path string
	lock *os.File
}

// OpenDir creates the directory if need be, checks that it can be written, makes the lab's files in
// it readable by its owner alone (telemetry may be private; see tighten), and locks it. Symbolic
// links in it are refused. The kernel ends the lock (flock) with this process, in whatever way that
// ends. Errors name flag as the way to choose another directory. All errors are *UsageError.
func OpenDir(path, flag string) (_ *Dir, err error) {
	defer func() {
		if err != nil {
			err = &UsageError{Err: fmt.Errorf("%w; choose another with %s", err, flag)}
		}
	}()
	if path == "" {
		return nil, errors.New("the data directory has no name")
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("data directory %s cannot be found: %w", path, err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data directory %s cannot be created: %w", path, err)
	}
	if err := tighten(path); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory %s cannot be written: %w", path, err)
	}
	if err := take(lock, path); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &Dir{path: path, lock: lock}, nil
}

// take locks the file and writes the process ID into it, so that the error of another lab can name
// the process.
func take(lock *os.File, path string) error {
	err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("data directory %s is in use by another lab%s: stop that one", path, holder(lock))
	}
	if err != nil {
		return fmt.Errorf("data directory %s cannot be locked: %w", path, err)
	}
	if err := lock.Truncate(0); err != nil {
		return fmt.Errorf("data directory %s cannot be written: %w", path, err)
	}
	if _, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("data directory %s cannot be written: %w", path, err)
	}
	return nil
}

// holder returns " (pid n)", or "" if the file has no process ID.
func holder(lock *os.File) string {
	text, err := io.ReadAll(io.LimitReader(lock, 32))
	if err != nil {
		return ""
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		return fmt.Sprintf(" (pid %d)", pid)
	}
	return ""
}

// Path returns the absolute path of the directory.
func (d *Dir) Path() string { return d.path }

// Join returns the path of a file in the directory.
func (d *Dir) Join(name string) string { return filepath.Join(d.path, name) }

// Close releases the directory. The lock file stays: removing it would take it
// from under a lab that is just opening it.
func (d *Dir) Close() error {
	if err := d.lock.Close(); err != nil {
		return fmt.Errorf("giving up data directory %s: %w", d.path, err)
	}
	return nil
}
