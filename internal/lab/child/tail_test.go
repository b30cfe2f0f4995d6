package child_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/lab/child"
)

func TestTail(t *testing.T) {
	long := strings.Repeat("x", child.TailLineBytes)
	for _, tt := range []struct {
		name   string
		writes []string
		lines  []string
	}{
		{name: "nothing"},
		{name: "lines", writes: []string{"a\nb\n"}, lines: []string{"a", "b"}},
		{name: "line in pieces", writes: []string{"a", "b", "c\nd"}, lines: []string{"abc", "d"}},
		{name: "empty line", writes: []string{"\n\n"}, lines: []string{"", ""}},
		{name: "carriage return", writes: []string{"a\r\n"}, lines: []string{"a"}},
		{name: "just as long as may be", writes: []string{long + "\n"}, lines: []string{long}},
		{name: "longer is cut", writes: []string{long + "y\n"}, lines: []string{long, "y"}},
		{name: "only the last are kept", writes: []string{strings.Repeat("a\n", 5) + strings.Repeat("b\n", child.TailLines)},
			lines: strings.Split(strings.Repeat("b", child.TailLines), "")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tail := child.NewTail("roller", io.Discard)
			for _, w := range tt.writes {
				if n, err := tail.Write([]byte(w)); n != len(w) || err != nil {
					t.Errorf("Write = %d, %v", n, err)
				}
			}
			if err := tail.Close(); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(tt.lines, tail.Lines()); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("terminal gone") }

func TestTailKeepsLinesThatCannotBePassedOn(t *testing.T) {
	tail := child.NewTail("roller", brokenWriter{})
	if n, err := tail.Write([]byte("a\nb\n")); n != 4 || err != nil {
		t.Errorf("Write = %d, %v: the child would block", n, err)
	}
	if got, want := fmt.Sprint(tail.Close()), "passing stderr on: terminal gone"; got != want {
		t.Errorf("Close = %q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{"a", "b"}, tail.Lines()); diff != "" {
		t.Error(diff)
	}
}

// However the text is cut into writes, the lines are the same, and together
// they are the text.
func FuzzTail(f *testing.F) {
	f.Add("a\nbc\n\nd", 1)
	f.Add("\r\n\r\r\n", 2)
	f.Add(strings.Repeat("x", child.TailLineBytes+3)+"\ny", 1000)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		var whole, pieces bytes.Buffer
		a, b := child.NewTail("n", &whole), child.NewTail("n", &pieces)
		if _, err := a.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		for rest := text; rest != ""; {
			n := min(max(cut, 1), len(rest))
			if _, err := b.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Fatal(err)
		}
		if whole.String() != pieces.String() {
			t.Errorf("in one: %q\nin pieces: %q", whole.String(), pieces.String())
		}
		if len(text) < child.TailLineBytes && !strings.Contains(text, "\r") {
			want := ""
			for line := range strings.Lines(text) {
				want += "n: " + strings.TrimSuffix(line, "\n") + "\n"
			}
			if whole.String() != want {
				t.Errorf("passed on %q, want %q", whole.String(), want)
			}
		}
	})
}
