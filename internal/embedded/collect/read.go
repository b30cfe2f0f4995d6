package collect

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Read reads the lines that a service writes to r until r ends, and returns nil then. It
// waits for r only, never for the store. A last line without a line feed counts. After
// Close it reads nothing and returns ErrClosed.
func (c *Collector) Read(service string, r io.Reader) error {
	if !c.open() {
		return fmt.Errorf("reading the output of %s: %w", service, ErrClosed)
	}
	defer c.leave()
	lines := lineReader{r: bufio.NewReaderSize(r, 32<<10)}
	streams := newLabelSets(service)
	for {
		text, cut, err := lines.next()
		if err == nil || len(text) > 0 {
			c.enqueue(service, parse(text, cut, streams, c.opts.Now()))
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading the output of %s: %w", service, err)
		}
	}
}

// open registers a Read, unless the collector is closed.
func (c *Collector) open() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.readers++
	return true
}

// leave ends what open began.
func (c *Collector) leave() {
	c.mu.Lock()
	c.readers--
	c.mu.Unlock()
	c.notify()
}

// lineReader splits r into lines and holds no more than MaxLineBytes of one.
type lineReader struct {
	r   *bufio.Reader
	buf []byte
}

// next returns the next line without its line feed, and the number of bytes that are
// missing at its end. The text is valid until the next call. With an error it may return
// a last line.
func (l *lineReader) next() (text []byte, cut int, err error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		if err == nil {
			part = part[:len(part)-1]
		}
		room := min(MaxLineBytes-len(l.buf), len(part))
		l.buf = append(l.buf, part[:room]...)
		cut += len(part) - room
		if !errors.Is(err, bufio.ErrBufferFull) {
			text := l.buf
			if cut > 0 {
				text = wholeRunes(text)
				cut += len(l.buf) - len(text)
			}
			return text, cut, err
		}
	}
}

// wholeRunes returns text without a character that was cut at its end.
func wholeRunes(text []byte) []byte {
	for i := 1; i <= min(utf8.UTFMax, len(text)); i++ {
		if b := text[len(text)-i]; utf8.RuneStart(b) {
			if !utf8.FullRune(text[len(text)-i:]) {
				return text[:len(text)-i]
			}
			break
		}
	}
	return text
}
