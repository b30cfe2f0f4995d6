package sqlexport

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/query"
)

// Journals read what a store keeps, in the order in which it arrived.
type Journals struct {
	// Spans calls yield with the spans of each export. A span that was sent twice may
	// come twice.
	Spans func(ctx context.Context, yield func([]*tracepb.ResourceSpans) error) error
	// Lines calls yield with the log lines of each push. Their Fields are not set.
	Lines func(ctx context.Context, yield func([]query.LogLine) error) error
}

// journalTraces reads all traces. One that has ended before the time of the export
// is left out when it is written.
func (e *export) journalTraces(ctx context.Context, send func([]Trace) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(e.Path), "."+filepath.Base(e.Path)+".*.spans") // mode 0600
	if err != nil {
		return fmt.Errorf("creating a file beside %s: %w", e.Path, err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	b := &buckets{file: file}
	if err := e.Journals.Spans(ctx, b.add); err != nil {
		return err
	}
	for i := range b.all {
		found, err := b.traces(&b.all[i])
		if err != nil {
			return err
		}
		for some := range slices.Chunk(found, batch) {
			page := make([]Trace, len(some))
			for i, trace := range some {
				page[i].Trace = trace
			}
			if err := send(page); err != nil {
				return err
			}
		}
	}
	return nil
}

// journalLines reads the log lines that are not older than the export.
func (e *export) journalLines(ctx context.Context, send func([]query.LogLine) error) error {
	return e.Journals.Lines(ctx, func(lines []query.LogLine) error {
		return send(slices.DeleteFunc(lines, func(l query.LogLine) bool { return l.Time.Before(e.From) }))
	})
}
