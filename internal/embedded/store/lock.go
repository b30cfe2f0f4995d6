package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// InUseError says that another process has the data directory open.
type InUseError struct {
	Dir string // the data directory
	PID string // the process that holds it, "" if unknown
}

// Error names the process that holds the directory, and the remedy.
func (e *InUseError) Error() string {
	holder := "another process"
	if e.PID != "" {
		holder = "process " + e.PID
	}
	return fmt.Sprintf("data directory %s is in use by %s: stop it, or choose another data directory", e.Dir, holder)
}

// lockDir locks the data directory for this process. The lock ends with the process,
// however that ends. The file stays; without a lock it has no meaning.
func lockDir(dir string) (_ *os.File, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "store.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking data directory %s (is it writable for this user?): %w", dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		pid, rerr := io.ReadAll(io.LimitReader(f, 20))
		return nil, errors.Join(&InUseError{Dir: dir, PID: strings.TrimSpace(string(pid))}, rerr)
	}
	if err != nil {
		return nil, fmt.Errorf("locking data directory %s: %w", dir, err)
	}
	if err = f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		return nil, fmt.Errorf("writing the process ID to the lock of data directory %s: %w", dir, err)
	}
	return f, nil
}
