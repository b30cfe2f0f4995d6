package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/embedded/journal"
	"dicelab/internal/embedded/store"
)

// What an open store has is read without it: spans and lines in the order of their
// arrival, and the start of a record that breaks off is the end.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	for _, name := range []string{"first", "second"} {
		span := &tracepb.Span{TraceId: []byte("trace 0123456789"), SpanId: []byte("span one"), Name: name}
		batches := []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{span}}}}}
		if err := s.AppendSpans(t.Context(), batches); err != nil {
			t.Fatal(err)
		}
		if err := s.AppendLines(t.Context(), []store.Line{{Time: now, Text: name, Stream: map[string]string{"a": "b"}}}); err != nil {
			t.Fatal(err)
		}
	}
	read := func(since time.Time) (names, texts []string, err error) {
		spans := func(batches []*tracepb.ResourceSpans) error {
			names = append(names, batches[0].GetScopeSpans()[0].GetSpans()[0].GetName())
			return nil
		}
		lines := func(lines []store.Line) error {
			texts = append(texts, lines[0].Text+lines[0].Stream["a"])
			return nil
		}
		err = errors.Join(store.ReadSpans(t.Context(), dir, since, spans), store.ReadLines(t.Context(), dir, since, lines))
		return names, texts, err
	}
	if names, texts, err := read(now); err != nil || len(names) != 2 || names[0] != "first" || len(texts) != 2 || texts[1] != "secondb" {
		t.Errorf("read %q, %q, %v", names, texts, err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "spans", "*", "journal"))
	if err != nil || len(paths) != 1 {
		t.Fatal(paths, err)
	}
	whole, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(paths[0], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(whole[18:40]); err != nil { // a header, and a part of its record
		t.Fatal(err)
	}
	if names, _, err := read(now); err != nil || len(names) != 2 {
		t.Errorf("read %q, %v", names, err)
	}
	if after, err := os.Stat(paths[0]); err != nil || after.Size() != int64(len(whole)+22) {
		t.Errorf("the file has changed: %v, %v", after.Size(), err)
	}

	// A partition is left out when another one was begun long before what is wanted, and
	// where its journal is gone.
	later := filepath.Join(dir, "spans", now.Add(48*time.Hour).UTC().Format("2006-01-02T15-04-05.000000000Z"))
	if err := os.Mkdir(later, 0o700); err != nil {
		t.Fatal(err)
	}
	if names, _, err := read(now.Add(48 * time.Hour)); err != nil || len(names) != 2 {
		t.Errorf("read %q, %v", names, err)
	}
	if names, _, err := read(now.Add(50 * time.Hour)); err != nil || len(names) != 0 {
		t.Errorf("read %q, %v", names, err)
	}

	whole[20] ^= 1 // of the first header
	if err := os.WriteFile(filepath.Join(later, "journal"), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err = read(now.Add(50 * time.Hour))
	if damaged, ok := errors.AsType[*journal.DamagedError](err); !ok || damaged.At != 18 || damaged.Path != filepath.Join(later, "journal") {
		t.Errorf("a damaged journal: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.ReadLines(ctx, dir, now, func([]store.Line) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("an export that is stopped: %v", err)
	}
}
