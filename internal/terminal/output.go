package terminal

import (
	"io"
	"os"
	"sync"
	"unicode/utf8"
)

// Output is standard output or standard error of the program. It is safe for
// concurrent use; each Write is one of the file.
type Output struct {
	file *os.File
	mu   sync.Mutex
	rest []byte // the beginning of a character, at most three bytes
}

// NewOutput returns an output to file.
func NewOutput(file *os.File) *Output { return &Output{file: file} }

// Write writes p with its control characters made visible, as Clean does. Less than
// a whole character at the end of p waits for the next Write.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.rest) == 0 && firstBad(p) == len(p) {
		return o.file.Write(p)
	}
	text := append(o.rest, p...)
	whole := len(text) - unfinished(text)
	if _, err := o.file.Write(appendClean(nil, string(text[:whole]))); err != nil {
		return 0, err
	}
	o.rest = append([]byte(nil), text[whole:]...)
	return len(p), nil
}

// Flush writes the incomplete character that waits, if there is one, as U+FFFD.
func (o *Output) Flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.rest) == 0 {
		return nil
	}
	_, err := o.file.Write(appendClean(nil, string(o.rest)))
	o.rest = nil
	return err
}

// Raw returns the file, for what the program itself sends to a terminal. Text of
// other origin must be cleaned before it is written to Raw.
func (o *Output) Raw() io.Writer { return o.file }

// File returns the file, to ask what it is, or to hand it to another program.
func (o *Output) File() *os.File { return o.file }

// unfinished returns the length of the character that begins at the end of text
// and goes on after it: 0 to 3 bytes.
func unfinished(text []byte) int {
	for n := 1; n <= min(utf8.UTFMax-1, len(text)); n++ {
		if tail := text[len(text)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
