package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"dicelab/internal/terminal"
)

// Terminal shows one line of progress below the log lines that are written
// through it. It is safe for concurrent use.
type Terminal struct {
	mu   sync.Mutex
	out  io.Writer
	line string
}

// NewTerminal returns a terminal that writes to out bytes as they come.
func NewTerminal(out io.Writer) *Terminal { return &Terminal{out: out} }

// erase goes to the start of the line and empties it (ECMA-48: CR, EL).
const erase = "\r\x1b[K"

// Write writes whole lines above the progress, with their control characters made
// visible.
func (t *Terminal) Write(lines []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := terminal.Clean(string(lines))
	if t.line != "" {
		text = erase + text + t.line
	}
	if _, err := io.WriteString(t.out, text); err != nil {
		return 0, err
	}
	return len(lines), nil
}

func (t *Terminal) set(line string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line = line
	_, err := io.WriteString(t.out, erase+line)
	return err
}

// showEvery is the pause between two lines of progress.
const showEvery = 500 * time.Millisecond

// Show keeps the line of progress current until ctx ends, and takes it away.
func (t *Terminal) Show(ctx context.Context, progress func() Progress) (err error) {
	tick := time.NewTicker(showEvery)
	defer tick.Stop()
	defer func() { err = errors.Join(err, t.set("")) }()
	var before Progress
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := progress()
		if err := t.set(now.since(before)); err != nil {
			return fmt.Errorf("showing progress: %w", err)
		}
		before = now
	}
}

// During runs f, and shows progress until it returns. A nil terminal shows nothing.
func (t *Terminal) During(ctx context.Context, progress func() Progress, f func() error) error {
	if t == nil {
		return f()
	}
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	shown := make(chan error, 1)
	go func() { shown <- t.Show(ctx, progress) }()
	err := f()
	end()
	return errors.Join(err, <-shown)
}

// since returns the line of progress; the rate is that since before.
func (p Progress) since(before Progress) string {
	var rate, failed float64
	if d := (p.Elapsed - before.Elapsed).Seconds(); d > 0 {
		rate = float64(p.Rolls-before.Rolls) / d
	}
	if p.Rolls > 0 {
		failed = 100 * float64(p.Failed) / float64(p.Rolls)
	}
	parts := []string{
		p.Elapsed.Round(time.Second).String(), fmt.Sprintf("%.0f rolls/s", rate), fmt.Sprintf("%d under way", p.UnderWay),
		"p95 " + show(Seconds(p.P95)), fmt.Sprintf("errors %.1f %%", failed),
	}
	if p.Left >= 0 {
		parts = append(parts, p.Left.Round(time.Second).String()+" left")
	}
	return strings.Join(parts, "  ")
}
