package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/contract"
	"dicelab/internal/pocket/store"
)

// padded are n lines of 500 bytes, the first at the epoch.
func padded(n int) []store.Line {
	lines := make([]store.Line, n)
	for i := range lines {
		lines[i] = line(time.Duration(i), contract.ServiceRoller, contract.LevelInfo, fmt.Sprint(i, strings.Repeat("x", 500)), "", "")
	}
	return lines
}

func append1(t *testing.T, s *store.Store, lines ...store.Line) {
	t.Helper()
	if err := s.AppendLines(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
}

func fileSize(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, store.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// What a sweep frees goes back to the file system, but for a small reserve, and
// appends get their turn meanwhile.
func TestSweepGivesRoomBack(t *testing.T) {
	dir := t.TempDir()
	now := epoch
	s := open(t, dir, store.Options{LogAge: time.Hour, Now: func() time.Time { return now }})
	append1(t, s, padded(10_000)...)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	now = epoch.Add(2 * time.Hour)
	swept := make(chan error, 1)
	go func() { swept <- s.Sweep(t.Context()) }()
	meanwhile := 0
	for done := false; !done; {
		select {
		case err := <-swept:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
			append1(t, s, line(2*time.Hour, "s", "l", fmt.Sprint(meanwhile), "", ""))
			meanwhile++
		}
	}
	if meanwhile < 10 {
		t.Errorf("%d appends were committed during the sweep, want them to take turns with its steps", meanwhile)
	}
	if got := texts(t, s); len(got) != meanwhile {
		t.Errorf("%d lines are left, want %d", len(got), meanwhile)
	}
	if err := s.Sweep(t.Context()); err != nil { // with nobody writing, the file is cut
		t.Fatal(err)
	}
	if size := fileSize(t, dir); size > 3<<20 {
		t.Errorf("the file has %d bytes, want at most 3 MiB", size)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, store.FileName+"-wal")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the WAL is left after closing: %v", err)
	}
}

func count(t *testing.T, dir, table string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, store.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// Words go with the last row that needs them, and those that are still needed
// stay.
func TestSweepPrunesWords(t *testing.T) {
	dir := t.TempDir()
	now := epoch
	s := open(t, dir, store.Options{TraceAge: time.Hour, LogAge: time.Hour, Now: func() time.Time { return now }})
	dictionaries := []string{"span_class", "span_source", "log_stream"}
	// add appends a span and a line for each word, with words of their own.
	add := func(after time.Duration, id byte, words ...string) {
		t.Helper()
		var spans []*tracepb.ResourceSpans
		var lines []store.Line
		for _, word := range words {
			spans = append(spans, from("service "+word, "", &tracepb.Span{
				TraceId: []byte(fmt.Sprintf("%-15.15s%c", word, id)), SpanId: unhex(t, spanA), Name: "name " + word, StartTimeUnixNano: uint64(epoch.Add(after).UnixNano()),
			}))
			lines = append(lines, line(after, "service "+word, "l", word, "", ""))
		}
		if err := s.AppendSpans(t.Context(), spans); err != nil {
			t.Fatal(err)
		}
		append1(t, s, lines...)
	}
	const old = 1200 // more than a page of words
	var words []string
	for i := range old {
		words = append(words, fmt.Sprint(i))
	}
	add(0, 'a', words...)
	add(30*time.Minute, 'a', "kept")
	add(30*time.Minute, 'b', "0") // an old word that is still in use
	for _, table := range dictionaries {
		if n := count(t, dir, table); n != old+1 {
			t.Errorf("%d rows in %s, want %d", n, table, old+1)
		}
	}
	now = epoch.Add(time.Hour + time.Minute)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"span_class", "log_stream"} { // sources have a test of their own
		if n := count(t, dir, table); n != 2 {
			t.Errorf("%d rows in %s after the sweep, want 2", n, table)
		}
	}
	for _, tt := range []struct {
		word string
		id   byte
	}{{"kept", 'a'}, {"0", 'b'}} {
		got, err := s.Trace(t.Context(), store.TraceID([]byte(fmt.Sprintf("%-15.15s%c", tt.word, tt.id))))
		if err != nil || len(got.Spans) != 1 || got.Spans[0].Name != "name "+tt.word || got.Spans[0].Source.Service != "service "+tt.word {
			t.Errorf("trace of %q: %+v, %v", tt.word, got, err)
		}
	}
	if diff := cmp.Diff([]string{"0", "kept"}, texts(t, s)); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	// A word that was pruned comes back.
	add(40*time.Minute, 'c', "1")
	got, err := s.Trace(t.Context(), store.TraceID([]byte(fmt.Sprintf("%-15.15s%c", "1", 'c'))))
	if err != nil || len(got.Spans) != 1 || got.Spans[0].Name != "name 1" || got.Spans[0].Source.Service != "service 1" {
		t.Errorf("trace of a word that came back: %+v, %v", got, err)
	}
}

// Sources are kept for as long as parts that may be of them.
func TestSweepPrunesSources(t *testing.T) {
	dir := t.TempDir()
	now := epoch
	s := open(t, dir, store.Options{TraceAge: time.Hour, Now: func() time.Time { return now }})
	add := func(service string, after time.Duration, parts int) {
		t.Helper()
		for parts > 0 {
			spans := make([]*tracepb.Span, min(parts, 20_000))
			for i := range spans {
				id := fmt.Sprintf("%016d", parts-i)
				spans[i] = &tracepb.Span{TraceId: []byte(id), SpanId: []byte(id[:8]), StartTimeUnixNano: uint64(epoch.Add(after).UnixNano())}
			}
			parts -= len(spans)
			if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from(service, "", spans...)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 100 {
		add(fmt.Sprint(i), 0, 1)
	}
	add("busy", 0, 10_001)
	add("last", 30*time.Minute, 1)
	if n := count(t, dir, "span_source"); n != 102 {
		t.Fatalf("%d sources, want 102", n)
	}
	now = epoch.Add(time.Hour + time.Minute)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, dir, "span_source"); n > 3 {
		t.Errorf("%d sources are left, want at most 3", n)
	}
	got, err := s.Trace(t.Context(), store.TraceID([]byte(fmt.Sprintf("%016d", 1))))
	if err != nil || len(got.Spans) != 1 || got.Spans[0].Source.Service != "last" {
		t.Errorf("the last trace: %+v, %v", got, err)
	}
}

// Streams are bounded; who makes too many is refused alone, and what is swept
// makes room.
func TestTooManyStreams(t *testing.T) {
	now := epoch
	s := open(t, t.TempDir(), store.Options{LogAge: time.Hour, Now: func() time.Time { return now }})
	made := func(from, n int, after time.Duration) (lines []store.Line) {
		for i := range n {
			lines = append(lines, line(after, fmt.Sprint("service ", from+i), "l", "x", "", ""))
		}
		return lines
	}
	append1(t, s, made(0, store.MaxStreams-1, 0)...)
	var refused *store.TooManyStreamsError
	err := s.AppendLines(t.Context(), made(store.MaxStreams-10, 12, 0))
	if want := (&store.TooManyStreamsError{Streams: store.MaxStreams - 1, New: 3}); !errors.As(err, &refused) || *refused != *want {
		t.Errorf("error %v, want %v", err, want)
	}
	// The others of its transaction are stored.
	errs := make(chan error)
	const others = 20
	for i := range others {
		go func() {
			if i%2 == 0 {
				errs <- s.AppendLines(context.WithoutCancel(t.Context()), made(store.MaxStreams, 5, 0))
			} else {
				errs <- s.AppendLines(context.WithoutCancel(t.Context()), made(i, 1, time.Minute))
			}
		}()
	}
	failed := 0
	for range others {
		if err := <-errs; errors.As(err, &refused) {
			failed++
		} else if err != nil {
			t.Error(err)
		}
	}
	if got := len(texts(t, s)); failed != others/2 || got != store.MaxStreams-1+others/2 {
		t.Errorf("%d appends were refused and %d lines are there, want %d and %d", failed, got, others/2, store.MaxStreams-1+others/2)
	}
	now = epoch.Add(time.Hour + time.Second)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	append1(t, s, made(store.MaxStreams, 1000, time.Hour)...)
}

// A trace that is too large comes in part and says so, also in a search; a search
// ends when it has found much.
func TestLargeTraces(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	const each = 1 << 20
	add := func(id string, after time.Duration, n int) {
		t.Helper()
		for i := range n {
			span := &tracepb.Span{TraceId: unhex(t, id), SpanId: []byte(fmt.Sprintf("%08d", i)), Name: "n", StartTimeUnixNano: uint64(epoch.Add(after).UnixNano()) + uint64(i),
				Attributes: []*commonpb.KeyValue{str("a", strings.Repeat("x", each))}}
			if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", span)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	const fit = store.MaxTraceBytes/each - 1 // spans, each with a little more than its attribute
	const oldest = "000000000000000000000000000000ff"
	add(traceB, 3*time.Second, fit+2)
	add(traceA, 2*time.Second, 2) // with this one a search has enough
	add(oldest, time.Second, 1)
	for id, want := range map[string]int{traceA: 2, traceB: fit} {
		got, err := s.Trace(t.Context(), traceID(t, id))
		if err != nil {
			t.Fatal(err)
		}
		if partial := id == traceB; got.Partial != partial || len(got.Spans) != want {
			t.Errorf("trace %s: %d spans, partial %v, want %d, %v", id, len(got.Spans), got.Partial, want, partial)
		}
		if last := got.Spans[len(got.Spans)-1]; string(last.SpanId) != fmt.Sprintf("%08d", want-1) || len(last.Attributes[0].GetValue().GetStringValue()) != each {
			t.Errorf("trace %s: the last span is %s", id, last.SpanId)
		}
	}
	got, err := s.Search(t.Context(), store.SearchQuery{Limit: 10, Match: func(store.Trace) []int { return []int{0} }})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Traces) != 2 || !got.Partial {
		t.Errorf("%d traces, partial %v, want the newest 2 and true", len(got.Traces), got.Partial)
	}
}

// A hundred thousand names of attributes are stored, and listed within bounds.
func TestManyAttributes(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	const keys = 100_000
	var kvs []*commonpb.KeyValue
	for i := range keys {
		kvs = append(kvs, integer(fmt.Sprintf("key%06d", i), int64(i)))
	}
	kvs = append(kvs, str("long", strings.Repeat("x", 1<<20)))
	span := &tracepb.Span{TraceId: unhex(t, traceA), SpanId: unhex(t, spanA), Attributes: kvs}
	if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", span)}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Trace(t.Context(), traceID(t, traceA))
	if err != nil || len(got.Spans) != 1 || len(got.Spans[0].Attributes) != keys+1 {
		t.Fatalf("trace: %d spans, %v", len(got.Spans), err)
	}
	names, err := s.TagNames(t.Context(), store.ScopeSpan, 1000)
	if err != nil || len(names) != 1000 || names[999] != "key000999" {
		t.Errorf("%d names, the last %q, %v, want the first 1000", len(names), names[len(names)-1], err)
	}
	// Values of a mebibyte each fill the answer.
	for i := range 5 {
		span := &tracepb.Span{TraceId: unhex(t, traceB), SpanId: []byte(fmt.Sprintf("%08d", i)), Attributes: []*commonpb.KeyValue{str("long", fmt.Sprint(i)+strings.Repeat("x", 1<<20))}}
		if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", span)}); err != nil {
			t.Fatal(err)
		}
	}
	values, err := s.TagValues(t.Context(), store.ScopeSpan, "long", 1000)
	if err != nil || len(values) != 4 {
		t.Errorf("%d values of a mebibyte, %v, want 4", len(values), err)
	}
}

// On a full disk appends fail and say so, reading goes on, and so do appends when
// there is room again.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, store.Options{})
	append1(t, s, padded(100)...)
	if err := store.LimitPages(t.Context(), s, 64); err != nil {
		t.Fatal(err)
	}
	var acknowledged []string
	var err error
	for i := 0; err == nil; i++ {
		text := fmt.Sprint("more ", i, strings.Repeat("x", 1000))
		if err = s.AppendLines(t.Context(), []store.Line{line(time.Hour+time.Duration(i), "s", "l", text, "", "")}); err == nil {
			acknowledged = append(acknowledged, text)
		}
		if i > 1000 {
			t.Fatal("a file of 64 pages takes a megabyte")
		}
	}
	if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "writing to the store: the disk is full") || !strings.Contains(err.Error(), "make room in the data directory") {
		t.Errorf("error %v", err)
	}
	if got := texts(t, s); len(got) != 100+len(acknowledged) {
		t.Errorf("%d lines can be read, want %d", len(got), 100+len(acknowledged))
	}
	if err := s.Health(t.Context()); err != nil {
		t.Errorf("a full store can be read: %v", err)
	}
	if err := store.LimitPages(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	append1(t, s, line(2*time.Hour, "s", "l", "after", "", ""))
	got := texts(t, s)
	if len(got) != 101+len(acknowledged) || got[0] != "after" {
		t.Fatalf("%d lines, want %d", len(got), 101+len(acknowledged))
	}
	for i, text := range acknowledged {
		if got[len(acknowledged)-i] != text {
			t.Errorf("line %d is missing", i)
		}
	}
}
