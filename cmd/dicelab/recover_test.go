package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dicelab/internal/contract"
)

// What is damaged is named, with what to type; typed, it works, by --recover and by
// hand, and loses nothing: the damaged files are kept.
func TestRecover(t *testing.T) {
	const rubbish = "This is no database, and longer than the header of one, which has a hundred bytes, and then some."
	for name, tt := range map[string]struct {
		file string // that is damaged; what it belongs to is made by a lab before
		want string // the error
		kept string // pattern of where it is kept
	}{
		"journal":       {"spans/2026-11-01T00-00-00.000000000Z/journal", "journal is damaged at byte 0", "damaged-*/spans/*/journal"},
		"older version": {"store.db", "store.db holds the traces and log lines of an older dicelab", "damaged-*/store.db"},
		"foreign file":  {"spans/notes.txt", "notes.txt is not the name of a partition", "damaged-*/spans/notes.txt"},
		"metrics":       {"prometheus/01ARZ3NDEKTSV4RRFFQ69G5FAV/meta.json", "it is damaged or was written by a newer version", "damaged-*/prometheus/*/meta.json"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "it's data")
			damage := func() {
				t.Helper()
				path := filepath.Join(dir, tt.file)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(rubbish), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			damage()
			refused := exec.CommandContext(t.Context(), "dicelab", labArgs(dir)...)
			refused.Env = append(os.Environ(), envBook+"="+t.TempDir())
			out, err := refused.CombinedOutput()
			if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), tt.want) {
				t.Fatalf("%v, want %q:\n%s", err, tt.want, out)
			}
			hint := regexp.MustCompile(`with: dicelab up (--recover --data .*); by hand: (mkdir .*)\n`).FindStringSubmatch(string(out))
			if hint == nil || !strings.Contains(hint[1], dir[:len(dir)-len("it's data")]) {
				t.Fatalf("no advice:\n%s", out)
			}
			l := startLab(t, dir, nil, "--recover")
			l.roll(t, contract.DieFair)
			if output := l.out.String(); !strings.Contains(output, "Moved ") || !strings.Contains(output, filepath.Join(dir, "damaged-")) {
				t.Errorf("printed:\n%s", output)
			}
			l.stop(t)
			kept, err := filepath.Glob(filepath.Join(dir, tt.kept))
			if err != nil || len(kept) != 1 {
				t.Fatalf("kept %v, %v", kept, err)
			}
			if text, err := os.ReadFile(kept[0]); err != nil || string(text) != rubbish {
				t.Errorf("kept %q, %v", text, err)
			}

			// Nothing is wrong now, which is all that --recover says.
			l = startLab(t, dir, nil, "--recover")
			if output := l.out.String(); strings.Contains(output, "Moved ") || strings.Count(output, "nothing to recover") != 2 {
				t.Errorf("printed:\n%s", output)
			}
			l.stop(t)

			// By hand, as the shell reads it.
			for _, f := range []string{"spans", "lines", "prometheus"} {
				if err := os.RemoveAll(filepath.Join(dir, f)); err != nil {
					t.Fatal(err)
				}
			}
			damage()
			if out, err := exec.CommandContext(t.Context(), "sh", "-c", hint[2]).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", hint[2], err, out)
			}
			startLab(t, dir, nil).stop(t)
		})
	}
}
