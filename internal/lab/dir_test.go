package lab_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dicelab/internal/lab"
)

func TestOpenDir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d, err := lab.OpenDir(path, "--data")
	if err != nil {
		t.Fatal(err)
	}
	if d.Path() != path || d.Join("x") != filepath.Join(path, "x") {
		t.Errorf("Path = %q, Join = %q", d.Path(), d.Join("x"))
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("mode %o, want 700", got)
	}
	_, err = lab.OpenDir(path, "--data")
	want := fmt.Sprintf("data directory %s is in use by another lab (pid %d): stop that one; choose another with --data", path, os.Getpid())
	if got := fmt.Sprint(err); got != want {
		t.Errorf("a second lab: %q\nwant %q", got, want)
	}
	if code := lab.ExitCode(err); code != lab.ExitUsage {
		t.Errorf("exit code %d", code)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	d, err = lab.OpenDir(path, "--data")
	if err != nil {
		t.Fatalf("after the first lab has ended: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenDirRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	unwritable := filepath.Join(t.TempDir(), "dir")
	if err := os.MkdirAll(filepath.Join(unwritable, "lock"), 0o700); err != nil { // holds also for root
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, path, want string }{
		{"no name", "", "the data directory has no name"},
		{"a file", file, "data directory " + file + " cannot be created: "},
		{"below a file", filepath.Join(file, "x"), "data directory " + filepath.Join(file, "x") + " cannot be created: "},
		{"not writable", unwritable, "data directory " + unwritable + " cannot be written: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := lab.OpenDir(tt.path, "--data")
			got := fmt.Sprint(err)
			if !strings.HasPrefix(got, tt.want) || !strings.HasSuffix(got, "; choose another with --data") {
				t.Errorf("OpenDir = %q, want %q…", got, tt.want)
			}
			if code := lab.ExitCode(err); code != lab.ExitUsage {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func TestExitCode(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"ok", nil, 0},
		{"failed", errBroken, 1},
		{"usage", &lab.UsageError{Err: errBroken}, 2},
		{"usage, wrapped", fmt.Errorf("starting: %w", &lab.UsageError{Err: errBroken}), 2},
	} {
		if got := lab.ExitCode(tt.err); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
