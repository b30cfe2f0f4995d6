package builder

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// progress tells how the build of one server goes, a line at a time.
type progress struct {
	out     io.Writer
	head    string // of each line
	now     func() time.Time
	started time.Time
}

func (p *progress) say(format string, args ...any) error {
	_, err := fmt.Fprintf(p.out, "%s%s\n", p.head, fmt.Sprintf(format, args...))
	if err != nil {
		return fmt.Errorf("telling how the build goes: %w", err)
	}
	return nil
}

// elapsed is the time since the start, in seconds.
func (p *progress) elapsed() time.Duration { return p.now().Sub(p.started).Round(time.Second) }

// tally passes on what the go command writes, and counts what it tells: with -v
// it names each module that it fetches and each package that it compiles. It is
// written to by one goroutine and read by others.
type tally struct {
	to                io.Writer
	line              []byte // the one that is not complete yet
	fetched, compiled atomic.Int64
}

func (t *tally) Write(p []byte) (int, error) {
	t.line = append(t.line, p...)
	for {
		line, rest, ok := bytes.Cut(t.line, []byte("\n"))
		if !ok {
			break
		}
		switch {
		case bytes.HasPrefix(line, []byte("go: downloading ")):
			t.fetched.Add(1)
		case len(line) > 0 && !bytes.ContainsAny(line, ": \t"): // an import path, not a message
			t.compiled.Add(1)
		}
		t.line = rest
	}
	return t.to.Write(p)
}
