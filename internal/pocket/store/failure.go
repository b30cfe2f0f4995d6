package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// The engine logs why it cannot go on, and panics, often in a goroutine of its own,
// which ends the process. Its log is one of the process, and the last moment to say
// what happened in a line, and to note which index has to be made anew.

// rebuildMark is the name of a file in a partition whose index is made anew, from
// the journal, when the partition is opened.
const rebuildMark = "rebuild"

// FailedError says that the engine cannot go on. The process must end.
type FailedError struct {
	Text string // what the engine said
	Full bool   // the disk is full, or a limit of the system is reached: the files are in order
}

// Error says what happened.
func (e *FailedError) Error() string {
	return "the store of traces and log lines cannot go on: " + e.Text
}

// Hint says what to do.
func (e *FailedError) Hint() string {
	const kept = "; nothing that was acknowledged is lost"
	if e.Full {
		return "make room, then start again" + kept
	}
	return "start again: the index that is damaged is made anew from the journal beside it" + kept
}

// Unwrap returns [ErrFull] where that is why.
func (e *FailedError) Unwrap() error {
	if e.Full {
		return ErrFull
	}
	return nil
}

// transient are the reasons of the system for which no file is damaged.
var transient = []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM}

// openIndexes are the partitions of the process that are open, and what is called
// when the engine cannot go on.
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

// failed marks the index that a message of the engine names, or all where it names
// none, and calls what ends the process.
func (o *openIndexes) failed(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := &FailedError{Text: strings.TrimPrefix(text, "FATAL: ")}
	for _, reason := range transient {
		err.Full = err.Full || strings.Contains(text, reason.Error())
	}
	named := map[string]func(error){}
	for dir, fail := range o.fail {
		if strings.Contains(text, dir+string(filepath.Separator)) {
			named[dir] = fail
		}
	}
	if len(named) == 0 {
		named = o.fail
	}
	var end func(error)
	marks := []error{err}
	for dir, fail := range named {
		end = fail
		if !err.Full {
			marks = append(marks, mark(dir))
		}
	}
	if end != nil {
		end(errors.Join(marks...))
	}
}

// mark notes that the index of the partition in dir is to be made anew.
func mark(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, rebuildMark), nil, 0o600); err != nil {
		return fmt.Errorf("noting that an index is damaged (delete %s by hand): %w", filepath.Join(dir, "index"), err)
	}
	return nil
}

// exit is what ends the process where [Options] say nothing else.
func exit(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
