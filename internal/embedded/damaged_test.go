package embedded_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"dicelab/internal/embedded"
)

// A damaged file of an index costs nothing but the time to make the index anew. When the
// file is opened or a query reads it, the process ends with one line that names the remedy,
// and the next start has everything that was acknowledged.
func TestDamagedIndex(t *testing.T) {
	invert := func(b []byte) []byte {
		for i := range b {
			b[i] ^= 0xff
		}
		return b
	}
	half := func(b []byte) []byte { return b[:len(b)/2] }
	empty := func([]byte) []byte { return nil }
	whole, acks := filledStack(t)
	for _, tt := range []struct {
		file   string // below index
		damage func([]byte) []byte
	}{
		{"partitions/*/datadb/parts.json", empty}, {"partitions/*/datadb/*/metadata.json", invert}, {"partitions/*/datadb/*/metaindex.bin", half},
		{"partitions/*/datadb/*/index.bin", invert}, {"partitions/*/datadb/*/column_idxs.bin", half},
		{"partitions/*/datadb/*/values.bin0", empty}, {"partitions/*/datadb/*/columns_header.bin", invert},
		{"partitions/*/indexdb/*/metaindex.bin", invert},
	} {
		t.Run(filepath.Base(tt.file), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			damageFiles(t, filepath.Join(dir, "spans", "*", "index", tt.file), tt.damage)
			c := launch(t, dir)
			if c.serves() { // until it reads what is damaged
				readAll(t, c, acks)
			}
			want := regexp.MustCompile(`^the store of traces and log lines cannot go on: .+\n$`)
			if stderr, status := c.wait(); status != 1 || !want.MatchString(stderr) {
				t.Errorf("ended with status %d and %q, want 1 and one line", status, stderr)
			}
			c = startChild(t, dir)
			c.expect(acks)
			c.stop()
		})
	}
}

// Damage that the engine does not notice is repaired with Options.Recover.
func TestIndexesAreMadeAnew(t *testing.T) {
	dir, acks := filledStack(t)
	damageFiles(t, filepath.Join(dir, "spans", "*", "index", "partitions", "*", "datadb", "*", "bloom.bin*"), func(b []byte) []byte { return make([]byte, len(b)) })
	var printed []string
	stack := embedded.New(embedded.Options{Dir: dir, Recover: true, Print: func(line string) { printed = append(printed, line) }})
	if err := stack.OpenStore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := stack.CloseStore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(printed) != 2 || printed[0] != "Traces and log lines: reading the journals, and making their indexes anew." || printed[1] != "Traces and log lines: nothing to recover." {
		t.Errorf("printed %q", printed)
	}
	c := startChild(t, dir)
	c.expect(acks)
	c.stop()
}

// filledStack returns the directory of a stack that has ended in good order, and the spans
// and lines in it.
func filledStack(t *testing.T) (dir string, acks []acknowledged) {
	t.Helper()
	dir = t.TempDir()
	client, now := newClient(t), time.Now()
	c := startChild(t, dir)
	for n := range 60 {
		a := acknowledged{n: n, line: n%2 == 1}
		if !a.send(t.Context(), c.addresses, client, now) {
			t.Fatalf("%s was not stored", a.text())
		}
		acks = append(acks, a)
	}
	c.stop()
	return dir, acks
}

// damageFiles changes all files that match a pattern.
func damageFiles(t *testing.T, pattern string, damage func([]byte) []byte) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no file %s: %v", pattern, err)
	}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, damage(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// readAll reads the acknowledged spans, and stops early if the process has ended.
func readAll(t *testing.T, c *child, acks []acknowledged) {
	t.Helper()
	client := newClient(t)
	for _, a := range acks {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/api/traces/%x", c.Tempo, idOf(a.round, a.sender, a.n)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := do(client, req); err != nil {
			return
		}
	}
}
