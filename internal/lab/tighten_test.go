package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dicelab/internal/lab"
)

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil { // what creates it heeds the umask
		t.Fatal(err)
	}
}

func modeOf(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// What an older version has left readable is made private; a directory that holds
// other things, too, keeps its rights, and so do these.
func TestOpenDirTightens(t *testing.T) {
	for name, tt := range map[string]struct {
		others string // another file
		want   os.FileMode
	}{"its own": {"", 0o700}, "shared": {"notes.txt", 0o755}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range []string{"store.db", "store.db-wal", "lock", "prometheus/wal"} {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, nil, 0o644); err != nil {
					t.Fatal(err)
				}
				chmod(t, path, 0o644)
			}
			chmod(t, filepath.Join(dir, "prometheus"), 0o755)
			if tt.others != "" {
				if err := os.WriteFile(filepath.Join(dir, tt.others), nil, 0o644); err != nil {
					t.Fatal(err)
				}
				chmod(t, filepath.Join(dir, tt.others), 0o644)
			}
			chmod(t, dir, 0o755)
			d, err := lab.OpenDir(dir, "--data")
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if got := modeOf(t, dir); got != tt.want {
				t.Errorf("the directory has mode %o, want %o", got, tt.want)
			}
			for name, want := range map[string]os.FileMode{"store.db": 0o600, "store.db-wal": 0o600, "lock": 0o600, "prometheus": 0o700} {
				if got := modeOf(t, filepath.Join(dir, name)); got != want {
					t.Errorf("%s has mode %o, want %o", name, got, want)
				}
			}
			if tt.others != "" {
				if got := modeOf(t, filepath.Join(dir, tt.others)); got != 0o644 {
					t.Errorf("%s has mode %o, want 644", tt.others, got)
				}
			}
		})
	}
}

// Nothing is written through a link, or into a pipe, that was put in a
// data directory.
func TestOpenDirFollowsNoLinks(t *testing.T) {
	for _, name := range []string{"lock", "store.lock", "store.db", "store.db-wal", "store.db-shm", "store.db-journal", "prometheus", "native", ".probe"} {
		dir, target := t.TempDir(), filepath.Join(t.TempDir(), "target")
		if err := os.WriteFile(target, []byte("precious"), 0o644); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		_, err := lab.OpenDir(dir, "--data")
		if want := path + " is neither a file nor a directory but a symbolic link, which is not followed: remove it; choose another with --data"; err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", name, err, want)
		}
		if text, err := os.ReadFile(target); err != nil || string(text) != "precious" {
			t.Errorf("%s: the target is %q, %v", name, text, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := lab.OpenDir(dir, "--data"); err == nil || !strings.Contains(err.Error(), "a named pipe") {
			t.Errorf("%s as a pipe: %v", name, err)
		}
	}
	// The directory itself is the user's choice.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	d, err := lab.OpenDir(link, "--data")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
