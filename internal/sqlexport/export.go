package sqlexport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dicelab/internal/query"
)

// Options selects what Export reads and where it writes.
type Options struct {
	Tempo *query.Tempo
	Loki  *query.Loki // nil for no log lines
	// Journals are read instead of Tempo and Loki if they are set.
	Journals *Journals
	// From and To bound the telemetry: traces with a part in that time range, with all of their
	// spans, and the log lines of it. To is excluded, but Tempo rounds it up to a second; journals
	// are read to their ends.
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
	traces, lines := (&reader{export: e}).read, e.readLines
	switch {
	case o.Journals != nil:
		traces, lines = e.journalTraces, e.journalLines
	case o.Loki == nil:
		lines = func(context.Context, func([]query.LogLine) error) error { return nil }
	default: // a Loki that does not answer is better known before an hour of traces
		if _, err := o.Loki.Labels(ctx, o.To.Add(-time.Second), o.To); err != nil {
			return Counts{}, err
		}
	}
	if err := pipe(ctx, traces, e.writeTraces); err != nil {
		return Counts{}, err
	}
	if err := pipe(ctx, lines, e.writeLines); err != nil {
		return Counts{}, err
	}
	if err := f.Commit(ctx); err != nil {
		return Counts{}, err
	}
	return Counts{e.counts.Traces, f.spans, f.lines}, nil
}

// export is one run of Export.
type export struct {
	Options
	file   *File
	counts Counts
}

// lost returns an error for what cannot be read completely.
func lost(what, server string, at time.Time) error {
	return fmt.Errorf("%s at %s from %s are more than one answer of the server has", what, at.UTC().Format(time.RFC3339Nano), server)
}
