// Package terminal writes text for people to a terminal, where text may come from
// telemetry, files and servers.
//
// A terminal obeys control characters: an escape sequence in the name of a service
// would clear the screen, set its title or answer for the keyboard, and a bidi
// override would show one address and copy another. So all that this program prints
// goes through Output, which makes such characters visible. What the program itself
// sends to a terminal, colours among it, is written past Output with Raw.
//
// The visible form is a backslash, a u and four hexadecimal digits, as in JSON. In
// a JSON document control characters stand in strings only, so a document that was
// written through Output is valid and means the same.
package terminal

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Clean makes the control characters of a text visible, but for tabs and newlines.
// Bytes that are no UTF-8 become U+FFFD.
func Clean(text string) string {
	if i := firstBad(text); i < len(text) {
		return string(appendClean([]byte(text[:i]), text[i:]))
	}
	return text
}

// Line is Clean for a value that stands within a line: its newlines become spaces,
// so that a value cannot pass for a line of the program's own.
func Line(value string) string {
	return Clean(strings.ReplaceAll(strings.ReplaceAll(value, "\r\n", " "), "\n", " "))
}

// Sprintf is fmt.Sprintf over arguments that are cleaned, as values within a line.
// Those of type Painted are the program's own and stay as they are, as does format.
func Sprintf(format string, args ...any) string {
	clean := make([]any, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			clean[i] = Line(arg)
		case error:
			clean[i] = Line(arg.Error())
		default:
			clean[i] = arg
		}
	}
	return fmt.Sprintf(format, clean...)
}

// firstBad returns the index of the first byte that Clean may have to change, or
// the length of text. Most text is ASCII without any.
func firstBad[T string | []byte](text T) int {
	for i := range len(text) {
		if c := text[i]; c >= 0x7f || c < ' ' && c != '\n' && c != '\t' {
			return i
		}
	}
	return len(text)
}

func appendClean(to []byte, text string) []byte {
	for _, r := range text { // a byte that is no UTF-8 is U+FFFD
		if control(r) {
			to = fmt.Appendf(to, `\u%04x`, r)
		} else {
			to = utf8.AppendRune(to, r)
		}
	}
	return to
}

// control reports whether a terminal acts on r instead of showing it: the controls
// of ECMA-48 and the bidirectional controls of Unicode (UAX #9). All of them have
// four hexadecimal digits.
func control(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r < ' ', r >= 0x7f && r <= 0x9f:
		return true
	case r == 0x061c, r >= 0x200e && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return false
}
