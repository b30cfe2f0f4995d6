package disk_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/embedded/disk"
)

// watched is a watch of a directory with one file, on a clock that a test moves.
type watched struct {
	*disk.Watch
	t     *testing.T
	dir   string
	now   time.Time
	lines []string // that were printed
}

func watch(t *testing.T) *watched {
	t.Helper()
	w := &watched{t: t, dir: filepath.Join(t.TempDir(), "data"), now: time.Unix(0, 0)}
	if err := errors.Join(os.Mkdir(w.dir, 0o700), os.WriteFile(filepath.Join(w.dir, "file"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	var err error
	w.Watch, err = disk.New(disk.Options{Dir: w.dir, Print: func(line string) { w.lines = append(w.lines, line) }, Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Keep("file"); err != nil {
		t.Fatal(err)
	}
	return w
}

// after checks once a second for a time.
func (w *watched) after(d time.Duration) error {
	for end := w.now.Add(d); ; w.now = w.now.Add(time.Second) {
		if err := w.Look(); !w.now.Before(end) {
			return err
		}
	}
}

func (w *watched) reason(err error) disk.Reason {
	w.t.Helper()
	var e *disk.Error
	if !errors.As(err, &e) {
		w.t.Fatalf("%v, want a reason", err)
	}
	return e.Reason
}

func (w *watched) printed(want ...string) {
	w.t.Helper()
	got := make([]string, len(w.lines))
	for i, line := range w.lines {
		got[i] = strings.ReplaceAll(line, w.dir, "DIR")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("printed (-want +got):\n%s", diff)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// A directory that is gone, or was replaced, is noticed. When the same one is put back,
// storing goes on.
func TestDirectory(t *testing.T) {
	w := watch(t)
	must(t, w.after(time.Second), w.Err(), w.Admit())
	must(t, os.Rename(w.dir, w.dir+"2"))
	if got := w.reason(w.after(time.Second)); got != disk.Gone {
		t.Errorf("moved away: %v", got)
	}
	if err := w.Admit(); w.reason(err) != disk.Gone {
		t.Error(err)
	}
	must(t, os.Mkdir(w.dir, 0o700))
	if got := w.reason(w.after(time.Second)); got != disk.Replaced {
		t.Errorf("another: %v", got)
	}
	must(t, os.Remove(w.dir), os.Rename(w.dir+"2", w.dir))
	must(t, w.after(10*time.Second), w.Err())
	w.printed(
		"Nothing is stored any more: data directory DIR is gone: put it back where it was, and storing goes on by itself, or start this lab again if it has ended by then; a start without it makes a new one.",
		"Nothing is stored any more: data directory DIR was replaced by another, and this lab still has the old one open: put that back, or stop this lab and start it again, which opens the new one.",
		"Storing goes on, after 2s (1 exports, pushes or scrapes refused).",
	)
}

// What was written into a directory that is gone does not count as written, even if
// the directory has not been examined since.
func TestWroteIntoNothing(t *testing.T) {
	w := watch(t)
	must(t, w.Admit(), os.RemoveAll(w.dir))
	if err := w.Wrote(nil, false); w.reason(err) != disk.Gone {
		t.Error(err)
	}
}

// The same is true for the files in it.
func TestFile(t *testing.T) {
	w := watch(t)
	file := filepath.Join(w.dir, "file")
	must(t, os.Rename(file, file+"2"))
	if err := w.Look(); w.reason(err) != disk.Gone || !strings.HasPrefix(err.Error(), "file in data directory ") {
		t.Error(err)
	}
	must(t, os.Symlink(file+"2", file))
	if err := w.Look(); w.reason(err) != disk.Replaced {
		t.Error(err)
	}
	must(t, os.Rename(file+"2", file), w.Look())
	if err := w.Keep("another"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("keeping what is not there: %v", err)
	}
}

// Errors of a check that writes, and of writers, have the reason of the system's error.
func TestReasons(t *testing.T) {
	w := watch(t)
	must(t, os.Mkdir(filepath.Join(w.dir, ".probe"), 0o700)) // in the place of the file that is written
	if err := w.Look(); w.reason(err) != disk.Unwritable || !strings.Contains(err.Error(), "cannot be written: open "+w.dir+"/.probe: is a directory: mend that") {
		t.Error(err)
	}
	must(t, os.Remove(filepath.Join(w.dir, ".probe")), w.Look())
	odd := errors.New("odd")
	for _, tt := range []struct {
		err  error
		full bool
		want disk.Reason
	}{
		{syscall.ENOSPC, false, disk.Full},
		{syscall.EDQUOT, false, disk.Full},
		{syscall.EFBIG, false, disk.Full},
		{&os.PathError{Op: "write", Path: "x", Err: syscall.EROFS}, false, disk.ReadOnly},
		{odd, false, disk.Unwritable},
		{odd, true, disk.Full},
	} {
		err := w.Wrote(tt.err, tt.full)
		if got := w.reason(err); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%v: reason %v, %v", tt.err, got, err)
		}
		if err := w.Err(); w.reason(err) != tt.want {
			t.Errorf("%v: not well for %v", tt.err, err)
		}
		must(t, w.Admit(), w.Wrote(nil, false), w.Err()) // it may be tried, and works
	}
}

// A failed write counts until another succeeds, or until there was no attempt for a
// while.
func TestFailedWriteIsForgotten(t *testing.T) {
	w := watch(t)
	if err := w.Wrote(syscall.ENOSPC, false); err == nil {
		t.Fatal("no error")
	}
	must(t, w.after(9*time.Second))
	if w.Err() == nil {
		t.Error("forgotten after 9 s")
	}
	must(t, w.after(5*time.Second), w.Err())
	w.printed(
		"Nothing is stored any more: the disk is full, or a quota is used up: make room in the data directory, and writing goes on by itself.",
		"Storing goes on, after 10s (1 exports, pushes or scrapes refused).",
	)
}

// A failure that lasts is printed once a minute, one that is over at once is not, and the
// log is silent meanwhile.
func TestOneLine(t *testing.T) {
	w := watch(t)
	var out bytes.Buffer
	log := slog.New(w.Handler(slog.NewTextHandler(&out, nil))).With("a", 1).WithGroup("g")
	log.Warn("before")
	must(t, os.Rename(w.dir, w.dir+"2"))
	w.now = w.now.Add(time.Second)
	for range 7 {
		log.Error("scrape failed")
	}
	log.Info("routine")
	for range 100 {
		_ = w.Admit()
	}
	if w.after(150*time.Second) == nil {
		t.Fatal("no error")
	}
	must(t, os.Rename(w.dir+"2", w.dir))
	for range 5 {
		must(t, w.Look())
		_ = w.Wrote(syscall.ENOSPC, false)
		must(t, w.Wrote(nil, false))
	}
	must(t, w.after(20*time.Second))
	log.Warn("after")
	const gone = "data directory DIR is gone: put it back where it was, and storing goes on by itself, or start this lab again if it has ended by then; a start without it makes a new one"
	const full = "the disk is full, or a quota is used up: make room in the data directory, and writing goes on by itself"
	w.printed(
		"Nothing is stored any more: "+gone+".",
		"Still nothing is stored, for 1m0s (100 exports, pushes or scrapes refused, 7 messages left out): "+gone+".",
		"Still nothing is stored, for 2m0s (100 exports, pushes or scrapes refused, 7 messages left out): "+gone+".",
		"Nothing is stored any more: "+full+".",
		"Storing goes on, after 2m30s (105 exports, pushes or scrapes refused, 7 messages left out).",
	)
	var logged []string
	for line := range strings.Lines(out.String()) {
		_, rest, _ := strings.Cut(line, " ")
		logged = append(logged, rest)
	}
	if diff := cmp.Diff([]string{"level=WARN msg=before a=1\n", "level=INFO msg=routine a=1\n", "level=WARN msg=after a=1\n"}, logged); diff != "" {
		t.Errorf("logged (-want +got):\n%s", diff)
	}
}

// Run checks by itself.
func TestRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	must(t, os.Mkdir(dir, 0o700))
	synctest.Test(t, func(t *testing.T) {
		w, err := disk.New(disk.Options{Dir: dir})
		must(t, err)
		go w.Run(t.Context())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		must(t, w.Err(), os.Remove(dir))
		time.Sleep(disk.Every)
		synctest.Wait()
		if w.Err() == nil {
			t.Error("not noticed")
		}
	})
	if _, err := disk.New(disk.Options{Dir: dir}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}
