// Package disk watches the data directory, so that nothing is acknowledged that
// cannot be stored, and people read why in one place and once.
//
// A database writes into the files that it has open. If their directory is
// deleted or another is put in its place, writing goes on without an error, and
// everything is lost when the process ends. A full and a read-only disk are
// errors of every writer, each in words of its own. A [Watch] finds out which of
// these it is; it knows nothing of the databases.
//
// Rules:
//
//   - What is wrong is noticed within [Every], and [Watch.Err] returns it until it
//     is over. Whoever takes something in asks before ([Watch.Admit]) and reports
//     after ([Watch.Wrote]), when a directory that is gone is noticed at once.
//   - The terminal gets a line when it begins, one a minute while it lasts, and one
//     when it is over. What the stack logs meanwhile is counted, not printed.
//   - Where the disk is writable again, storing goes on by itself. A directory or
//     file that is another than before is not: its writers have the old one open.
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

// Every is the time between two looks at the directory.
const Every = time.Second

const (
	// repeatEvery is the time between two lines on what lasts.
	repeatEvery = time.Minute
	// forgetAfter is the time after which a failed write counts no longer if
	// nobody has tried again and the directory can be written.
	forgetAfter = 10 * time.Second
	// settled is the time for which writing must work before it is printed that it
	// does: on a disk that is nearly full some of it does and some does not.
	settled = 3 * time.Second
	// silenceFor is the time for which a look is good enough for the log.
	silenceFor = 100 * time.Millisecond
	// probeName is a file that is written at each look, and removed.
	probeName = ".probe"
	// probeBytes is its size. What has less room soon has none.
	probeBytes = 256 << 10
)

// Error says why nothing can be stored, and what to do.
type Error struct {
	Reason Reason
	Path   string // the directory, or the file in it, that is wrong
	Err    error  // the cause; nil if there is no more to say
}

// Reason is the kind of an [Error].
type Reason int

// The reasons why nothing can be stored.
const (
	Unwritable Reason = iota // any other than those that follow
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

	looking sync.Mutex // one look at a time

	mu     sync.Mutex // guards what follows
	files  map[string]os.FileInfo
	found  *Error // by the last look
	failed *Error // by the last write, if the look found nothing

	lookedAt time.Time
	failedAt time.Time
	told     *Error // what was printed last, until its end was
	since    time.Time
	printed  time.Time
	works    time.Time // since when nothing is wrong, while its end is not printed
	refused  int       // intakes since then
	silenced int       // records of the log since then
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

// Keep notes files of the directory that must stay the ones that they are now. It
// fails if one is not there.
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

// Run looks at the directory every [Every] until ctx ends.
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

// Err returns nil, or an [*Error] with why nothing is stored.
func (w *Watch) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return orNil(w.current())
}

// Admit is Err for who is about to write something: it counts what is refused,
// and lets writing be tried where only that shows whether it works again.
func (w *Watch) Admit() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.found != nil {
		w.refused++
	}
	return orNil(w.found)
}

// Wrote notes how a write went. It returns err, or why it failed where that can
// be seen in the directory. full reports whether err means that there is no room,
// for writers whose errors do not wrap the system's.
func (w *Watch) Wrote(err error, full bool) error {
	if err == nil {
		if w.moved() != nil { // since the last look: what was written is in no directory
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

// Silence reports whether a record of the log is to be left out, because what is
// wrong with the directory was printed and explains it.
func (w *Watch) Silence() bool {
	w.mu.Lock()
	late := w.o.Now().Sub(w.lookedAt) >= silenceFor
	w.mu.Unlock()
	if late {
		_ = w.Look() // which prints it
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told == nil { // also what is logged late, of a time that is just over
		return false
	}
	w.silenced++
	return true
}

// Look looks at the directory now, and returns nil, or an [*Error] with what it
// has found.
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

// moved returns which of the directory and its files is not the one that it was.
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

// same compares a file with what it was.
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

// current is what is wrong; mu is held.
func (w *Watch) current() *Error {
	if w.found != nil {
		return w.found
	}
	return w.failed
}

// report returns the line to print, or ""; mu is held.
func (w *Watch) report() string {
	now, is := w.o.Now(), w.current()
	if is == nil && w.told == nil {
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
		w.told, w.works = nil, time.Time{}
		return line
	}
	w.works = time.Time{}
	switch {
	case w.told == nil:
		w.since, w.refused, w.silenced = now, 0, 0
		fallthrough
	case w.told.Reason != is.Reason || w.told.Path != is.Path:
		w.told, w.printed = is, now
		return "Nothing is stored any more: " + is.Error() + "."
	case now.Sub(w.printed) >= repeatEvery:
		w.printed = now
		return fmt.Sprintf("Still nothing is stored, for %s%s: %s.", w.lasted(now), w.counts(), is)
	}
	return ""
}

func (w *Watch) lasted(until time.Time) time.Duration { return until.Sub(w.since).Round(time.Second) }

// counts says what has come meanwhile.
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

// orNil is an error that is nil where e is.
func orNil(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}
