package telemetrytest

import (
	"bytes"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"dicelab/internal/contract"
)

// Log receives log lines as the output of a service, keeps them and returns them
// parsed. It is safe for concurrent use.
type Log struct {
	t testing.TB

	mu      sync.Mutex
	text    []byte
	changed chan struct{} // closed, and replaced, at each write
}

// NewLog makes an empty log for one test.
func NewLog(t testing.TB) *Log { return &Log{t: t, changed: make(chan struct{})} }

// Write takes whole lines.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	close(l.changed)
	l.changed = make(chan struct{})
	return len(p), nil
}

// Text returns the text written so far.
func (l *Log) Text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// Lines returns the lines so far. One that is not a JSON object fails the test.
func (l *Log) Lines() []map[string]any {
	l.t.Helper()
	var lines []map[string]any
	for line := range bytes.Lines([]byte(l.Text())) {
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil {
			l.t.Errorf("log line %q: %v", line, err)
			continue
		}
		lines = append(lines, fields)
	}
	return lines
}

// Wait waits for a line with that message and returns the first.
func (l *Log) Wait(message string) map[string]any {
	l.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		for _, line := range l.Lines() {
			if line[contract.FieldMessage] == message {
				return line
			}
		}
		select {
		case <-changed:
		case <-deadline.C:
			l.t.Fatalf("no line %q came; the log:\n%s", message, l.Text())
		}
	}
}
