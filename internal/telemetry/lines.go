package telemetry

import (
	"errors"
	"io"
	"sync"
	"time"
)

// A line waits at most until flushBytes have gathered or flushDelay has passed:
// one write for many lines under load, half of what a pipe holds, and no line
// that a reader waits for.
const (
	flushBytes = 32 << 10
	flushDelay = 5 * time.Millisecond
)

var errClosed = errors.New("log output is closed")

// lineWriter gathers whole lines and writes them together. Lines are taken while
// others are being written; whoever fills the buffer once more waits for that
// write, so that a slow reader bounds what is held, not what is lost.
type lineWriter struct {
	writing sync.Mutex // held for a write, so that lines keep their order; taken before mu
	out     io.Writer
	spare   []byte // the buffer that is not gathering

	mu     sync.Mutex
	buf    []byte // gathers
	timer  *time.Timer
	armed  bool
	closed bool
	err    error // the first write that failed; said by the next call
}

func newLineWriter(out io.Writer) *lineWriter {
	w := &lineWriter{out: out, buf: make([]byte, 0, 2*flushBytes), spare: make([]byte, 0, 2*flushBytes)}
	w.timer = time.AfterFunc(time.Hour, w.onTimer)
	w.timer.Stop()
	return w
}

// Write takes one whole line.
func (w *lineWriter) Write(line []byte) (int, error) {
	full, err := w.gather(line)
	if full {
		err = w.Flush()
	}
	return len(line), err
}

// gather tells whether the line has filled the buffer.
func (w *lineWriter) gather(line []byte) (full bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false, errClosed
	}
	w.buf = append(w.buf, line...)
	if full = len(w.buf) >= flushBytes; !full && !w.armed {
		w.armed = true
		w.timer.Reset(flushDelay)
	}
	return full, w.err
}

// Flush writes what has gathered.
func (w *lineWriter) Flush() error {
	w.writing.Lock()
	defer w.writing.Unlock()
	lines, err := w.take()
	if len(lines) == 0 {
		return err
	}
	_, failed := w.out.Write(lines)
	w.spare = lines[:0]
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = failed
	}
	return w.err
}

// take hands out the lines that have gathered; the next go to the other buffer.
func (w *lineWriter) take() (lines []byte, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.buf) > 0 {
		lines = w.buf
		w.buf, w.spare = w.spare, nil
	}
	return lines, w.err
}

// Close flushes; later writes fail.
func (w *lineWriter) Close() error {
	w.timer.Stop()
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	return w.Flush()
}

func (w *lineWriter) onTimer() {
	w.mu.Lock()
	w.armed = false
	w.mu.Unlock()
	_ = w.Flush() // the next call says what failed
}
