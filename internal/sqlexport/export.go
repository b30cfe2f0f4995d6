package sqlexport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dicelab/internal/query"
)

// Options are what Export reads and where it writes.
type Options struct {
	Tempo *query.Tempo
	Loki  *query.Loki // nil for no log lines
	// From and To bound what is read: traces of which a part is in that time, with
	// all of their spans, and the log lines of it. To is excluded, but for the
	// second that Tempo rounds to.
	From, To time.Time
	Path     string // of the file, which must not exist yet
	// Progress is called after every page. Nil means nothing.
	Progress func(Counts)
	// Warn is called with what the servers could not give. Nil means nothing.
	Warn func(text string)
}

// Counts are the numbers of rows written.
type Counts struct{ Traces, Spans, Lines int64 }

// String returns the numbers in words.
func (c Counts) String() string {
	return fmt.Sprintf("%d spans in %d traces, %d log lines", c.Spans, c.Traces, c.Lines)
}

// Export reads all traces and log lines of a time and writes them into a new
// SQLite file, whole or not at all.
func Export(ctx context.Context, o Options) (counts Counts, err error) {
	if o.Progress == nil {
		o.Progress = func(Counts) {}
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	f, err := Create(ctx, o.Path)
	if err != nil {
		return Counts{}, err
	}
	defer func() { err = errors.Join(err, f.Discard()) }()
	e := &export{o, f, Counts{}}
	if o.Loki != nil { // a Loki that does not answer is better known before an hour of traces
		if _, err := o.Loki.Labels(ctx, o.To.Add(-time.Second), o.To); err != nil {
			return Counts{}, err
		}
	}
	if err := e.traces(ctx); err != nil {
		return Counts{}, err
	}
	if o.Loki != nil {
		if err := e.lines(ctx); err != nil {
			return Counts{}, err
		}
	}
	if err := f.Commit(ctx); err != nil {
		return Counts{}, err
	}
	return e.counts, nil
}

// export is one run of Export.
type export struct {
	Options
	file   *File
	counts Counts
}

func (e *export) progress() { e.Progress(e.counts) }

// maxWindow is the longest time that one query covers. Servers refuse long ones:
// Tempo above 168 hours, Loki above 30 days, unless they are configured otherwise.
const maxWindow = 24 * time.Hour

// windows calls read with stretches of time that together are [from, to), the
// oldest first. read returns how full the answer was, from 0 to 1. If it was full,
// read is called again with the first half of the stretch, unless that would be
// shorter than least: last reports that it cannot be halved.
func windows(from, to time.Time, least time.Duration, read func(from, to time.Time, last bool) (fill float64, err error)) error {
	width := min(to.Sub(from), maxWindow)
	for from.Before(to) {
		end := from.Add(width)
		if end.After(to) {
			end = to
		}
		last := width <= least
		fill, err := read(from, end, last)
		if err != nil {
			return err
		}
		if fill >= full && !last {
			width = max(width/2, least)
			continue
		}
		from = end
		width = min(max(time.Duration(float64(width)*min(2, wanted/max(fill, 0.1))), least), maxWindow)
	}
	return nil
}

const (
	// full is the fill of an answer that may not have everything.
	full = 1.0
	// wanted is the fill for which the next stretch is chosen. A full answer is asked
	// for in vain, and many small ones cost more than a few large ones: a server looks
	// at more than the stretch, as at traces that began before it.
	wanted = 0.8
)

// lost returns an error for what cannot be read completely.
func lost(what, server string, at time.Time) error {
	return fmt.Errorf("%s at %s from %s are more than one answer of the server has", what, at.UTC().Format(time.RFC3339Nano), server)
}
