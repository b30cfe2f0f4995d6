package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"dicelab/internal/embedded/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, path string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func end(t *testing.T, j *journal.Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// records returns all records of a journal.
func records(t *testing.T, j *journal.Journal) (all []journal.Record) {
	t.Helper()
	places, err := j.Places()
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range places {
		r, err := j.Read(at)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// made appends records of several sizes, which hardly compress, and returns them.
func made(t *testing.T, j *journal.Journal) (all []journal.Record) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	for i, size := range []int{0, 1, 100, 70_000, 10} {
		r := journal.Record{Kind: byte(i), Rows: i * 3, Payload: make([]byte, size)}
		if _, err := random.Read(r.Payload); err != nil {
			t.Fatal(err)
		}
		var err error
		if r.At, err = j.Append(r.Kind, r.Rows, r.Payload); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func equal(t *testing.T, want, got []journal.Record) {
	t.Helper()
	empty := cmp.Transformer("bytes", func(b []byte) string { return string(b) })
	if diff := cmp.Diff(want, got, empty); diff != "" {
		t.Errorf("records (-want +got):\n%.2000s", diff)
	}
}

// Appended records can be read, at once and when the file is opened again.
func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	want := made(t, j)
	equal(t, want, records(t, j))
	size, rows := j.Size()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if size != info.Size() || rows != 30 || info.Mode().Perm() != 0o600 {
		t.Errorf("%d bytes, %d rows and mode %v; the file has %d bytes, want 30 rows and -rw-------", size, rows, info.Mode(), info.Size())
	}
	end(t, j)
	j = open(t, path)
	equal(t, want, records(t, j))
	if s, r := j.Size(); s != size || r != rows {
		t.Errorf("opened again: %d bytes, %d rows, want %d, %d", s, r, size, rows)
	}
	more := made(t, j)
	equal(t, append(want, more...), records(t, j))
	end(t, j)
}

func TestConcurrentAppends(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal"))
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 100 {
				text := fmt.Sprint(g, " ", i)
				at, err := j.Append('x', 1, []byte(text))
				if err != nil {
					t.Error(err)
					return
				}
				if r, err := j.Read(at); err != nil || string(r.Payload) != text {
					t.Errorf("%s: %q, %v", text, r.Payload, err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(records(t, j)); n != 400 {
		t.Errorf("%d records, want 400", n)
	}
	end(t, j)
}

// A file that was cut anywhere has the records that are complete, and accepts further
// ones. A file system may leave zeros in place of an append when the machine crashes.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	j := open(t, whole)
	all := made(t, j)
	end(t, j)
	content, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	cuts := []int{0, 1, 17, len(content) - 1, len(content)}
	for _, r := range all {
		for _, after := range []int{0, 1, 8, 16, 17, 18, 25} {
			cuts = append(cuts, min(int(r.At)+after, len(content)))
		}
	}
	for _, cut := range cuts {
		for _, zeros := range []int{0, 1, 40, 100_000} {
			path := filepath.Join(dir, "torn")
			if err := os.WriteFile(path, append(bytes.Clone(content[:cut]), make([]byte, zeros)...), 0o600); err != nil {
				t.Fatal(err)
			}
			var read []journal.Record
			readErr := journal.Read(path, func(r journal.Record) error {
				read = append(read, r)
				return nil
			})
			j, err := journal.Open(path)
			if (readErr == nil) != (err == nil) {
				t.Errorf("cut at %d, %d zeros: reading: %v, opening: %v", cut, zeros, readErr, err)
			}
			if zeros > 0 && err != nil { // zeros in the place of a part of a record are damage
				var damaged *journal.DamagedError
				if !errors.As(err, &damaged) {
					t.Errorf("cut at %d, %d zeros: %v", cut, zeros, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			var want []journal.Record
			for i, r := range all {
				if i+1 < len(all) && int(all[i+1].At) <= cut || cut == len(content) {
					want = append(want, r)
				}
			}
			if zeros == 0 {
				equal(t, want, records(t, j))
			}
			before := records(t, j)
			equal(t, before, read)
			equal(t, append(before, made(t, j)...), records(t, j))
			end(t, j)
			j = open(t, path)
			if n := len(records(t, j)); n != len(before)+len(all) {
				t.Errorf("cut at %d, %d zeros, opened again: %d records, want %d", cut, zeros, n, len(before)+len(all))
			}
			end(t, j)
		}
	}
}

// Every byte of the file matters. A wrong byte is an error that names the file, when the
// file is opened or the record is read; or it makes the journal leave out the last record,
// and nothing else.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	j := open(t, path)
	for i := range 3 {
		if _, err := j.Append('x', 1, fmt.Append(nil, "record ", i)); err != nil {
			t.Fatal(err)
		}
	}
	all := records(t, j)
	end(t, j)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range content {
		for _, bit := range []byte{1, 0x80} {
			wrong := bytes.Clone(content)
			wrong[i] ^= bit
			if err := os.WriteFile(path, wrong, 0o600); err != nil {
				t.Fatal(err)
			}
			var damaged *journal.DamagedError
			j, err := journal.Open(path)
			if err != nil {
				if !errors.As(err, &damaged) || damaged.Path != path {
					t.Errorf("byte %d: %v", i, err)
				}
				continue
			}
			places, err := j.Places()
			if err != nil {
				t.Fatal(err)
			}
			failed := 0
			for n, at := range places {
				r, err := j.Read(at)
				switch {
				case errors.As(err, &damaged) && damaged.Path == path && damaged.At == at:
					failed++
				case err != nil:
					t.Errorf("byte %d: %v", i, err)
				default:
					equal(t, all[n:n+1], []journal.Record{r})
				}
			}
			if int64(i) < all[2].At && (failed != 1 || len(places) != 3) || int64(i) >= all[2].At && (failed != 0 || len(places) != 2) {
				t.Errorf("byte %d: %d of %d records are damaged", i, failed, len(places))
			}
			end(t, j)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	for _, content := range []string{"x", "dicelab journal 2\n", "SQLite format 3\x00 and more"} {
		path := filepath.Join(dir, "journal")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var damaged *journal.DamagedError
		if _, err := journal.Open(path); !errors.As(err, &damaged) || damaged.At != 0 {
			t.Errorf("%q: %v", content, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%q became %q, %v", content, got, err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("journal", link); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Open(link); err == nil {
		t.Error("a symbolic link was opened")
	}
	j := open(t, filepath.Join(dir, "large"))
	if _, err := j.Append('x', 1, make([]byte, 64<<20+1)); err == nil {
		t.Error("a record above the limit was appended")
	}
	end(t, j)
}

// Whatever a file contains, opening and reading it returns an error or a list of records, to
// which more can be appended.
func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	j, err := journal.Open(path)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"", "a", "a longer text, longer, longer, longer, longer"} {
		if _, err := j.Append('x', 1, []byte(text)); err != nil {
			f.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		f.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Add(content[:len(content)-1])
	f.Add(append(bytes.Clone(content), 0, 0, 0, 0))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		var damaged *journal.DamagedError
		j, err := journal.Open(path)
		if err != nil {
			if !errors.As(err, &damaged) {
				t.Fatal(err)
			}
			return
		}
		places, err := j.Places()
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range places {
			if _, err := j.Read(at); err != nil && !errors.As(err, &damaged) {
				t.Fatal(err)
			}
		}
		at, err := j.Append('y', 2, []byte("more"))
		if err != nil {
			t.Fatal(err)
		}
		end(t, j)
		j = open(t, path)
		if r, err := j.Read(at); err != nil || string(r.Payload) != "more" {
			t.Fatalf("%q, %v", r.Payload, err)
		}
		end(t, j)
	})
}
