package child

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

const (
	// TailLines is the number of lines that a Tail keeps.
	TailLines = 20
	// TailLineBytes is the length at which a line is cut into two, so that
	// output without line ends stays bounded.
	TailLineBytes = 16 << 10
)

// Tail is a writer that passes text on line by line, each headed by a name, and
// keeps the last TailLines lines. Close passes on a last line without line end.
type Tail struct {
	prefix string
	next   io.Writer

	mu    sync.Mutex
	line  []byte
	lines []string
	err   error // the first failure of next
}

// NewTail returns a tail that writes "name: line\n" to next, one Write a line.
func NewTail(name string, next io.Writer) *Tail {
	return &Tail{prefix: name + ": ", next: next}
}

// Write always takes the whole of b: a reader that stopped would block the
// process that writes. A failure of the next writer is returned by Close.
func (t *Tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(b)
	for len(b) > 0 {
		room := TailLineBytes - len(t.line)
		end := bytes.IndexByte(b[:min(len(b), room+1)], '\n')
		switch {
		case end >= 0:
			t.line = append(t.line, b[:end]...)
			b = b[end+1:]
			t.flush()
		case len(b) > room:
			t.line = append(t.line, b[:room]...)
			b = b[room:]
			t.flush()
		default:
			t.line = append(t.line, b...)
			b = nil
		}
	}
	return n, nil
}

// flush passes on the line so far. The caller holds the lock.
func (t *Tail) flush() {
	line := string(bytes.TrimSuffix(t.line, []byte("\r")))
	t.line = t.line[:0]
	if len(t.lines) == TailLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, line)
	if t.err == nil {
		_, t.err = io.WriteString(t.next, t.prefix+line+"\n")
	}
}

// Lines returns the last lines, oldest first.
func (t *Tail) Lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.lines...)
}

// Close passes on what is left and returns the first error of the next writer.
func (t *Tail) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.line) > 0 {
		t.flush()
	}
	if t.err != nil {
		return fmt.Errorf("passing stderr on: %w", t.err)
	}
	return nil
}
