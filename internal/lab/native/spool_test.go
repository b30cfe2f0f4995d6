package native_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/lab/native"
)

// read returns the files of a directory by name.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

func TestSpool(t *testing.T) {
	dir := t.TempDir()
	s := native.NewSpool(dir)
	for _, run := range []string{`{"message":"one"}` + "\ntorn", `{"message":"two"}` + "\n"} {
		if err := s.Read("dice-roller", strings.NewReader(run)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"000001.log": `{"message":"one"}` + "\ntorn\n" + `{"message":"two"}` + "\n"}
	if diff := cmp.Diff(want, read(t, filepath.Join(dir, "dice-roller"))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestSpoolThatCannotWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := native.NewSpool(file).Read("dice-roller", strings.NewReader("a\n"))
	want := "opening the log files of dice-roller: mkdir " + file + ": not a directory"
	if err == nil || err.Error() != want {
		t.Errorf("Read = %v, want %q", err, want)
	}
}
