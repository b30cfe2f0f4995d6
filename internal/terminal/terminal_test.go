package terminal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"dicelab/internal/terminal"
)

func TestClean(t *testing.T) {
	for _, tt := range []struct{ name, text, clean, line string }{
		{"plain", "a roll of 7", "a roll of 7", "a roll of 7"},
		{"other scripts", "Würfel 骰子 🎲 é", "Würfel 骰子 🎲 é", "Würfel 骰子 🎲 é"},
		{"tabs and newlines", "a\tb\nc", "a\tb\nc", "a\tb c"},
		{"colour", "\x1b[31mred\x1b[0m", `\u001b[31mred\u001b[0m`, `\u001b[31mred\u001b[0m`},
		{"title", "\x1b]0;title\x07", `\u001b]0;title\u0007`, `\u001b]0;title\u0007`},
		{"NUL, backspace, carriage return", "\x00\b\r", `\u0000\u0008\u000d`, `\u0000\u0008\u000d`},
		{"DEL", "\x7f", `\u007f`, `\u007f`},
		{"C1", "\u0080\u009b2J\u009f", `\u0080\u009b2J\u009f`, `\u0080\u009b2J\u009f`},
		{"C1 as a byte", "\x9b2J", "\ufffd2J", "\ufffd2J"},
		{"bidi overrides", "\u202a\u202b\u202c\u202d\u202e", `\u202a\u202b\u202c\u202d\u202e`, `\u202a\u202b\u202c\u202d\u202e`},
		{"bidi isolates and marks", "\u2066\u2067\u2068\u2069\u200e\u200f\u061c", `\u2066\u2067\u2068\u2069\u200e\u200f\u061c`, `\u2066\u2067\u2068\u2069\u200e\u200f\u061c`},
		{"lines of another system", "a\r\nb", `a\u000d` + "\nb", "a b"},
		{"broken UTF-8", "a\xc2", "a\ufffd", "a\ufffd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := terminal.Clean(tt.text); got != tt.clean {
				t.Errorf("Clean: %q, want %q", got, tt.clean)
			}
			if got := terminal.Line(tt.text); got != tt.line {
				t.Errorf("Line: %q, want %q", got, tt.line)
			}
		})
	}
}

func TestSprintf(t *testing.T) {
	got := terminal.Sprintf("%s %v %d %s\n", "a\x1b\nb", errors.New("c\x9b\n"), 7, terminal.Painted("\x1b[1md\x1b[0m"))
	if want := `a\u001b b c` + "\ufffd  7 \x1b[1md\x1b[0m\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPrinter(t *testing.T) {
	for colour, want := range map[bool]string{
		false: "a\\u001b: b c\n",
		true:  "\x1b[1ma\\u001b\x1b[0m: b c\n",
	} {
		var out bytes.Buffer
		p := terminal.NewPrinter(&out, colour)
		p.Line("%s: %s  ", p.Paint(terminal.Bold, "a\x1b"), "b\nc")
		if got := out.String(); got != want || p.Err() != nil {
			t.Errorf("colour %v: %q, %v, want %q", colour, got, p.Err(), want)
		}
	}
}

// output opens a file as the output of a program; read returns what was written.
func output(t *testing.T) (out *terminal.Output, read func() string) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	return terminal.NewOutput(f), func() string {
		text, err := os.ReadFile(f.Name())
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestRaw(t *testing.T) {
	out, read := output(t)
	if _, err := out.Raw().Write([]byte("\r\x1b[K")); err != nil || out.File() == nil {
		t.Fatal(err)
	}
	if got := read(); got != "\r\x1b[K" {
		t.Errorf("written: %q", got)
	}
}

// However a text is cut, nothing that a terminal obeys arrives; what arrives is the
// same as in one piece; and JSON means what it meant.
func FuzzOutput(f *testing.F) {
	for _, text := range []string{"", "plain\n", "\x1b[31m", "\u009b2J", "ü\u202e骰🎲", "\xf0\x9f\x8e", "\xc2\xc2\x9b", "\x9b\x1b\r\n\t\x7f"} {
		f.Add(text, 1)
		f.Add(text, 2)
	}
	f.Fuzz(func(t *testing.T, text string, size int) {
		size = max(1, size%16)
		out, read := output(t)
		for rest := text; rest != ""; {
			piece := rest[:min(size, len(rest))]
			rest = rest[len(piece):]
			if n, err := out.Write([]byte(piece)); n != len(piece) || err != nil {
				t.Fatalf("wrote %d of %d, %v", n, len(piece), err)
			}
		}
		if err := out.Flush(); err != nil {
			t.Fatal(err)
		}
		got := read()
		if got != terminal.Clean(text) {
			t.Errorf("in pieces of %d: %q, in one: %q", size, got, terminal.Clean(text))
		}
		bad := func(r rune) bool {
			return r < ' ' && r != '\t' && r != '\n' || 0x7f <= r && r <= 0x9f || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069
		}
		if !utf8.ValidString(got) || strings.ContainsFunc(got, bad) {
			t.Errorf("the terminal gets %q", got)
		}
		valid := strings.ToValidUTF8(text, "\ufffd")
		doc, err := json.Marshal(valid)
		if err != nil {
			t.Fatal(err)
		}
		var again string
		if err := json.Unmarshal([]byte(terminal.Clean(string(doc))), &again); err != nil || again != valid {
			t.Errorf("the document %s reads %q, %v", doc, again, err)
		}
	})
}
