package telemetry

import (
	"errors"
	"io"
	"sync"
	"time"
)

// A line waits at most until flushBytes have gathered or flushDelay has passed:
// one write for many lines under load, and no line that a reader waits for.
const (
	flushBytes = 4 << 10
	flushDelay = 5 * time.Millisecond
)

var errClosed = errors.New("log output is closed")

// lineWriter gathers whole lines and writes them together.
type lineWriter struct {
	mu     sync.Mutex
	out    io.Writer
	buf    []byte
	timer  *time.Timer
	armed  bool
	closed bool
	err    error // the first write that failed; said by the next call
}

func newLineWriter(out io.Writer) *lineWriter {
	w := &lineWriter{out: out, buf: make([]byte, 0, 2*flushBytes)}
	w.timer = time.AfterFunc(time.Hour, w.onTimer)
	w.timer.Stop()
	return w
}

// Write takes one whole line.
func (w *lineWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, errClosed
	}
	w.buf = append(w.buf, line...)
	if len(w.buf) >= flushBytes {
		w.flush()
	} else if !w.armed {
		w.armed = true
		w.timer.Reset(flushDelay)
	}
	return len(line), w.err
}

// Flush writes what has gathered.
func (w *lineWriter) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
	return w.err
}

// Close flushes; later writes fail.
func (w *lineWriter) Close() error {
	w.timer.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.flush()
	return w.err
}

func (w *lineWriter) onTimer() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	w.flush()
}

func (w *lineWriter) flush() {
	if len(w.buf) == 0 {
		return
	}
	if _, err := w.out.Write(w.buf); err != nil && w.err == nil {
		w.err = err
	}
	w.buf = w.buf[:0]
}
