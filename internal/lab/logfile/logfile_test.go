package logfile_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/lab/logfile"
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

func TestFiles(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before map[string]string // files that are there
		writes []string
		want   map[string]string
	}{
		{name: "nothing", want: map[string]string{"000001.log": ""}},
		{name: "one file", writes: []string{"a\n", "b\n"}, want: map[string]string{"000001.log": "a\nb\n"}},
		{name: "another file when one is full", writes: []string{"123456\n", "abc\n"},
			want: map[string]string{"000001.log": "123456\n", "000002.log": "abc\n"}},
		{name: "no line in two files", writes: []string{"123456", "7\nabc\n"},
			want: map[string]string{"000001.log": "1234567\n", "000002.log": "abc\n"}},
		{name: "a line that is longer than a file", writes: []string{"123", "456", "789", "0", "\nabc\n"},
			want: map[string]string{"000001.log": "1234567890\n", "000002.log": "abc\n"}},
		{name: "a first write that is longer than a file", writes: []string{"123456789\n", "abc\n"},
			want: map[string]string{"000001.log": "123456789\n", "000002.log": "abc\n"}},
		{name: "the oldest goes", writes: []string{"1111111\n", "2222222\n", "3333333\n"},
			want: map[string]string{"000002.log": "2222222\n", "000003.log": "3333333\n"}},
		{name: "the last line gets its end", writes: []string{"a"}, want: map[string]string{"000001.log": "a\n"}},
		{name: "the newest file goes on", before: map[string]string{"000009.log": "old\n", "000010.log": "new\n"}, writes: []string{"a\n"},
			want: map[string]string{"000009.log": "old\n", "000010.log": "new\na\n"}},
		{name: "a torn line is ended", before: map[string]string{"000003.log": "tor"}, writes: []string{"a\n"},
			want: map[string]string{"000003.log": "tor\na\n"}},
		{name: "other files are left alone", before: map[string]string{"notes.txt": "x", "x.log": "y"}, writes: []string{"1111111\n", "2222222\n", "3333333\n"},
			want: map[string]string{"notes.txt": "x", "x.log": "y", "000002.log": "2222222\n", "000003.log": "3333333\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.before {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s, err := logfile.Open(dir, logfile.Options{Bytes: 8, Files: 2})
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range tt.writes {
				if n, err := s.Write([]byte(w)); n != len(w) || err != nil {
					t.Errorf("Write(%q) = %d, %v", w, n, err)
				}
			}
			if err := errors.Join(s.Close(), s.Close()); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(tt.want, read(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if _, err := s.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
				t.Errorf("Write after Close: %v", err)
			}
		})
	}
}

// However the text is split into writes, the files together hold what was written, and every file
// but the last ends with a line.
func FuzzFiles(f *testing.F) {
	f.Add([]byte("one line\nanother\n"), uint8(3))
	f.Add([]byte("\n\n\n"), uint8(1))
	f.Add(bytes.Repeat([]byte("x"), 100), uint8(7))
	f.Fuzz(func(t *testing.T, text []byte, piece uint8) {
		dir := t.TempDir()
		s, err := logfile.Open(dir, logfile.Options{Bytes: 16, Files: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for rest := text; len(rest) > 0; {
			n := min(int(piece)+1, len(rest))
			if _, err := s.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for i, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if i < len(entries)-1 && !bytes.HasSuffix(b, []byte("\n")) {
				t.Errorf("%s does not end with a line: %q", e.Name(), b)
			}
			all.Write(b)
		}
		want := string(text)
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if all.String() != want {
			t.Errorf("files hold %q, written was %q", all.String(), want)
		}
	})
}
