package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/embedded/store"
	"dicelab/internal/lab"
	"dicelab/internal/query"
	"dicelab/internal/sqlexport"
)

// hasStore reports whether dir has what the embedded stack keeps.
func hasStore(dir string) bool {
	for _, name := range store.Dirs() {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}

// journals returns the telemetry that the embedded stack keeps in dir, read from its
// journals, whether it runs or not.
func journals(dir string, since time.Time) (*sqlexport.Journals, error) {
	if !hasStore(dir) {
		return nil, lab.Refuse(fmt.Errorf("export: %s is not the data directory of an embedded stack", dir),
			"give the directory that --data of dicelab up has, or say where the servers are with --tempo-url and --loki-url")
	}
	spans := func(ctx context.Context, yield func([]*tracepb.ResourceSpans) error) error {
		return store.ReadSpans(ctx, dir, since, yield)
	}
	lines := func(ctx context.Context, yield func([]query.LogLine) error) error {
		return store.ReadLines(ctx, dir, since, func(kept []store.Line) error {
			page := make([]query.LogLine, len(kept))
			for i, l := range kept {
				page[i] = query.LogLine{Time: l.Time, Labels: l.Stream, Metadata: l.Metadata, Text: l.Text}
			}
			return yield(page)
		})
	}
	return &sqlexport.Journals{Spans: spans, Lines: lines}, nil
}
