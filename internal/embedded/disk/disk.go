// Package disk watches the data directory, so that nothing is acknowledged that cannot
// be stored, and the reason is printed in one place and once.
//
// A database writes into the files that it has open. If their directory is
// deleted or another is put in its place, writing goes on without an error, and
// everything is lost when the process ends. A full and a read-only disk are
// errors of every writer, each with its own message. A [Watch] finds out which of these
// it is. It does not depend on the databases.
//
// Rules:
//
//   - A failure is noticed within [Every], and [Watch.Err] returns it until it is
//     over. A receiver calls [Watch.Admit] before it writes and [Watch.Wrote] after;
//     the latter notices at once that the directory is gone.
//   - The terminal gets a line when a failure begins, one a minute while it lasts, and
//     one when it is over. What the stack logs meanwhile is counted, not printed.
//   - When the disk is writable again, storing goes on by itself. When the directory or
//     a file was replaced, it does not: its writers have the old one open.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Every is the time between two checks of the directory.
const Every = time.Second

const (
	// repeatEvery is the time between two lines about a failure that lasts.
	repeatEvery = time.Minute
	// forgetAfter is the time after which a failed write counts no longer if there
	// was no other attempt and the directory is writable.
	forgetAfter = 10 * time.Second
	// settled is the time for which writing must work before it is printed that it
	// does: on a disk that is nearly full some of it does and some does not.
	settled = 3 * time.Second
	// silenceFor is the greatest age of a check that decides what is logged.
	silenceFor = 100 * time.Millisecond
	// probeName is the file that each check writes and removes.
	probeName = ".probe"
	// probeBytes is its size. A disk with less room is about to be full.
	probeBytes = 256 << 10
)

// Error is the reason why nothing can be stored, with its remedy.
type Error struct {
	Reason Reason
	Path   string // the directory, or the file in it, that is wrong
	Err    error  // the cause; nil if there is no more to say
}

// Reason is the kind of an [Error].
type Reason int

// The reasons why nothing can be stored.
const (
	Unwritable Reason = iota // any reason but the following ones
	Gone                     // it was deleted, or moved away
	Replaced                 // another is in its place
	ReadOnly                 // its file system takes no writes
	Full                     // its file system or a quota has no room left
)

// Error returns the reason and the remedy.
func (e *Error) Error() string {
	switch e.Reason {
	case Gone:
		return fmt.Sprintf("%s is gone: put it back where it was, and storing goes on by itself, or start this lab again if it has ended by then; a start without it makes a new one", e.Path)
	case Replaced:
		return fmt.Sprintf("%s was replaced by another, and this lab still has the old one open: put that back, or stop this lab and start it again, which opens the new one", e.Path)
	case ReadOnly:
		return fmt.Sprintf("the file system of %s has become read-only, as after an error of the disk (the kernel's log says why): make it writable, and storing goes on by itself", e.Path)
	case Full:
		return "the disk is full, or a quota is used up: make room in the data directory, and writing goes on by itself"
	}
	return fmt.Sprintf("%s cannot be written: %v: mend that, and storing goes on by itself", e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Options are a Watch's settings.
type Options struct {
	// Dir is the data directory, which exists.
	Dir string
	// Print prints a line for people; nil prints nothing.
	Print func(line string)
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// Watch watches a data directory. Its methods may be called from any goroutine.
type Watch struct {
	o    Options
	self os.FileInfo

	looking sync.Mutex // one check at a time

	mu     sync.Mutex // guards what follows
	files  map[string]os.FileInfo
	found  *Error // by the last check
	failed *Error // by the last write, if the check found nothing

	lookedAt time.Time
	failedAt time.Time
	reported *Error // the failure that was printed last, until its end was printed
	since    time.Time
	printed  time.Time
	works    time.Time // time since which nothing fails, while the end is not printed
	refused  int       // requests to store that were refused since the failure began
	silenced int       // log records that were left out since the failure began
}

// New returns a watch of a directory as it is now. It fails if the directory is
// not there.
func New(o Options) (*Watch, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Print == nil {
		o.Print = func(string) {}
	}
	self, err := os.Stat(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("watching the data directory: %w", err)
	}
	return &Watch{o: o, self: self, files: make(map[string]os.FileInfo)}, nil
}

// Keep notes files of the directory that must not be replaced. It fails if one does not
// exist.
func (w *Watch) Keep(names ...string) error {
	for _, name := range names {
		info, err := os.Lstat(filepath.Join(w.o.Dir, name))
		if err != nil {
			return fmt.Errorf("watching the data directory: %w", err)
		}
		w.mu.Lock()
		w.files[name] = info
		w.mu.Unlock()
	}
	return nil
}

// Run checks the directory every [Every] until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = w.Look() // which prints it
		}
	}
}

// Err returns nil, or the [*Error] for which nothing is stored.
func (w *Watch) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return orNil(w.current())
}

// Admit is Err for a caller that is about to write: it counts what it refuses. If only
// an attempt can show whether writing works again, it lets the caller try.
func (w *Watch) Admit() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.found != nil {
		w.refused++
	}
	return orNil(w.found)
}

// Wrote notes the result of a write. It returns err, or an [*Error] if a check of the
// directory finds the reason for it. full reports whether err means that there is no
// room, for writers whose errors do not wrap the system's.
func (w *Watch) Wrote(err error, full bool) error {
	if err == nil {
		if w.moved() != nil { // since the last check: what was written is in no directory
			if found := w.Look(); found != nil {
				return found
			}
		}
		w.mu.Lock()
		w.failed = nil
		line := w.report()
		w.mu.Unlock()
		w.print(line)
		return nil
	}
	if found := w.Look(); found != nil {
		w.mu.Lock()
		w.refused++
		w.mu.Unlock()
		return found
	}
	reason := reasonOf(err)
	if full {
		reason = Full
	}
	w.mu.Lock()
	w.failed = &Error{Reason: reason, Path: w.name(), Err: err}
	w.failedAt = w.o.Now()
	failed, line := w.failed, w.report()
	w.refused++
	w.mu.Unlock()
	w.print(line)
	return failed
}

// Silence reports whether a record of the log is to be left out, because a failure of
// the directory was printed and explains it.
func (w *Watch) Silence() bool {
	w.mu.Lock()
	late := w.o.Now().Sub(w.lookedAt) >= silenceFor
	w.mu.Unlock()
	if late {
		_ = w.Look() // which prints it
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reported == nil { // a record may be logged just after the end of the failure
		return false
	}
	w.silenced++
	return true
}

// Look checks the directory now, and returns nil or the [*Error] that it has found.
func (w *Watch) Look() error {
	w.looking.Lock()
	defer w.looking.Unlock()
	found := w.look()
	w.mu.Lock()
	w.found, w.lookedAt = found, w.o.Now()
	if found == nil && w.o.Now().Sub(w.failedAt) >= forgetAfter {
		w.failed = nil
	}
	line := w.report()
	w.mu.Unlock()
	w.print(line)
	return orNil(found)
}

func (w *Watch) look() *Error {
	if err := w.moved(); err != nil {
		return err
	}
	if err := probe(filepath.Join(w.o.Dir, probeName)); err != nil {
		return &Error{Reason: reasonOf(err), Path: w.name(), Err: err}
	}
	return nil
}

func (w *Watch) name() string { return "data directory " + w.o.Dir }

// moved returns an error if the directory or one of its files is gone or was replaced.
func (w *Watch) moved() *Error {
	if err := same(w.self, w.name(), func() (os.FileInfo, error) { return os.Stat(w.o.Dir) }); err != nil {
		return err
	}
	w.mu.Lock()
	files := maps.Clone(w.files)
	w.mu.Unlock()
	for file, info := range files {
		if err := same(info, file+" in "+w.name(), func() (os.FileInfo, error) { return os.Lstat(filepath.Join(w.o.Dir, file)) }); err != nil {
			return err
		}
	}
	return nil
}

// same compares a file with the one that was there at the start.
func same(was os.FileInfo, name string, stat func() (os.FileInfo, error)) *Error {
	switch is, err := stat(); {
	case errors.Is(err, fs.ErrNotExist):
		return &Error{Reason: Gone, Path: name}
	case err != nil:
		return &Error{Reason: Unwritable, Path: name, Err: err}
	case !os.SameFile(was, is):
		return &Error{Reason: Replaced, Path: name}
	}
	return nil
}

// probe writes a file and removes it. It stays in the page cache: nothing of it
// reaches the disk.
func probe(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeBytes))
	return errors.Join(err, f.Close(), os.Remove(path))
}

func reasonOf(err error) Reason {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return Full
	case errors.Is(err, syscall.EROFS):
		return ReadOnly
	}
	return Unwritable
}

// current returns the present failure, or nil. The caller holds mu.
func (w *Watch) current() *Error {
	if w.found != nil {
		return w.found
	}
	return w.failed
}

// report returns the line to print, or "". The caller holds mu.
func (w *Watch) report() string {
	now, is := w.o.Now(), w.current()
	if is == nil && w.reported == nil {
		return ""
	}
	if is == nil {
		if w.works.IsZero() {
			w.works = now
		}
		if now.Sub(w.works) < settled {
			return ""
		}
		line := fmt.Sprintf("Storing goes on, after %s%s.", w.lasted(w.works), w.counts())
		w.reported, w.works = nil, time.Time{}
		return line
	}
	w.works = time.Time{}
	switch {
	case w.reported == nil:
		w.since, w.refused, w.silenced = now, 0, 0
		fallthrough
	case w.reported.Reason != is.Reason || w.reported.Path != is.Path:
		w.reported, w.printed = is, now
		return "Nothing is stored any more: " + is.Error() + "."
	case now.Sub(w.printed) >= repeatEvery:
		w.printed = now
		return fmt.Sprintf("Still nothing is stored, for %s%s: %s.", w.lasted(now), w.counts(), is)
	}
	return ""
}

func (w *Watch) lasted(until time.Time) time.Duration { return until.Sub(w.since).Round(time.Second) }

// counts returns the numbers of what was refused and silenced, as text.
func (w *Watch) counts() string {
	var parts []string
	if w.refused > 0 {
		parts = append(parts, fmt.Sprintf("%d exports, pushes or scrapes refused", w.refused))
	}
	if w.silenced > 0 {
		parts = append(parts, fmt.Sprintf("%d messages left out", w.silenced))
	}
	if parts == nil {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func (w *Watch) print(line string) {
	if line != "" {
		w.o.Print(line)
	}
}

// orNil returns e as an error, which is nil if e is.
func orNil(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}
