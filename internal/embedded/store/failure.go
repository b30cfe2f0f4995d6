package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// When the engine cannot go on, it logs the reason and panics, often in a goroutine of its
// own, which ends the process. The log message is the last moment to report the failure in
// one line, and to note which index has to be made anew. There is one log for all indexes
// of the process.

// rebuildMark is the name of a file in a partition whose index is made anew, from
// the journal, when the partition is opened.
const rebuildMark = "rebuild"

// FailedError means that the engine cannot go on. The process must end.
type FailedError struct {
	Text string // the message of the engine
	Hint string // the remedy
	full bool
}

// Error names the failure.
func (e *FailedError) Error() string {
	return "the store of traces and log lines cannot go on: " + e.Text
}

// Unwrap returns [ErrFull] if that is the reason.
func (e *FailedError) Unwrap() error {
	if e.full {
		return ErrFull
	}
	return nil
}

// newFailed explains a message of the engine, and reports whether the index in dir is
// damaged. It is not if the system is the reason.
func newFailed(text, dir string) (_ *FailedError, damaged bool) {
	because := func(reasons ...error) bool {
		return slices.ContainsFunc(reasons, func(reason error) bool { return strings.Contains(text, reason.Error()) })
	}
	e := &FailedError{Text: strings.TrimPrefix(text, "FATAL: ")}
	switch _, err := os.Lstat(dir); {
	case err != nil:
		e.Text, e.Hint = fmt.Sprintf("%s cannot be read any more (%v)", dir, err), "put the directory back where it was, then start again"
	case because(syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG):
		e.full, e.Hint = true, "make room, then start again"
	case because(syscall.EROFS, syscall.EACCES, syscall.EPERM):
		e.Hint = "make the data directory writable, then start again"
	case because(syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM):
		e.Hint = "raise that limit, then start again"
	default:
		e.Hint, damaged = "start again: the index that is damaged is made anew from the journal beside it", true
	}
	e.Hint += "; nothing that was acknowledged is lost"
	return e, damaged
}

// openIndexes holds the open partitions of the process, with the functions to call when
// the engine cannot go on.
type openIndexes struct {
	mu   sync.Mutex
	fail map[string]func(error) // by the partition's directory
}

var opened = &openIndexes{fail: map[string]func(error){}}

func (o *openIndexes) add(dir string, fail func(error)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail[dir] = fail
}

func (o *openIndexes) remove(dir string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.fail, dir)
}

// failed marks the index that a message of the engine names, or all if it names none, as
// damaged, and calls the functions that end the process.
func (o *openIndexes) failed(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	named := map[string]func(error){}
	for dir, fail := range o.fail {
		if strings.Contains(text, dir+string(filepath.Separator)) {
			named[dir] = fail
		}
	}
	if len(named) == 0 {
		named = o.fail
	}
	for dir, fail := range named {
		failed, damaged := newFailed(text, dir)
		var err error = failed
		if damaged {
			for dir := range named {
				err = errors.Join(err, mark(dir))
			}
		}
		fail(err)
	}
}

// mark notes that the index of the partition in dir must be made anew.
func mark(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, rebuildMark), nil, 0o600); err != nil {
		return fmt.Errorf("noting that an index is damaged (delete %s by hand): %w", filepath.Join(dir, "index"), err)
	}
	return nil
}
