package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/journal"
	"dicelab/internal/embedded/store"
)

// Only one store at a time can have a data directory open.
func TestInUse(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), dir, store.Options{})
	var inUse *store.InUseError
	if !errors.As(err, &inUse) || inUse.Dir != dir || inUse.PID != fmt.Sprint(os.Getpid()) || store.Damaged(err) {
		t.Errorf("opening what is open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, store.Options{})
}

// partition returns the directory of the only partition of a kind.
func partition(t *testing.T, dir, kind string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, kind, "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("partitions %v, %v, want one", found, err)
	}
	return found[0]
}

// flip changes a byte of a file. A negative offset counts from its end.
func flip(t *testing.T, path string, at int) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if at < 0 {
		at += len(content)
	}
	content[at] ^= 0xff
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A file that cannot be opened is an error that names it, and is left unchanged.
func TestOpenErrors(t *testing.T) {
	as := func(target any) func(error) bool { return func(err error) bool { return errors.As(err, target) } }
	tests := []struct {
		name    string
		prepare func(t *testing.T, dir string)
		opts    store.Options
		dir     string // below the test's directory
		want    string
		is      func(error) bool
		damaged bool
	}{
		{name: "directory below a file", dir: "file/data", want: "choose one that this user can write to",
			prepare: func(t *testing.T, dir string) {
				if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "negative bound", opts: store.Options{TraceAge: -1}, want: "bounds must not be negative"},
		{name: "file of an older version", want: "store.db holds the traces and log lines of an older dicelab", is: as(new(*store.OldFormatError)), damaged: true,
			prepare: func(t *testing.T, dir string) {
				if err := os.WriteFile(filepath.Join(dir, "store.db"), []byte("SQLite format 3\x00"), 0o600); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "beginning of a journal", want: "journal is damaged at byte 0", is: as(new(*journal.DamagedError)), damaged: true,
			prepare: func(t *testing.T, dir string) { flip(t, filepath.Join(partition(t, dir, "spans"), "journal"), 3) }},
		{name: "header in a journal", want: "journal is damaged at byte 18", is: as(new(*journal.DamagedError)), damaged: true,
			prepare: func(t *testing.T, dir string) { flip(t, filepath.Join(partition(t, dir, "lines"), "journal"), 18) }},
		{name: "middle of a journal, which making the index anew reads", opts: store.Options{Rebuild: true}, want: "journal is damaged at byte 18: its checksum does not match",
			is: as(new(*journal.DamagedError)), damaged: true,
			prepare: func(t *testing.T, dir string) { flip(t, filepath.Join(partition(t, dir, "lines"), "journal"), 40) }},
		{name: "directory that is no partition", want: "spans/mine is not the name of a partition", is: as(new(*store.NameError)), damaged: true,
			prepare: func(t *testing.T, dir string) {
				if err := os.Mkdir(filepath.Join(dir, "spans", "mine"), 0o700); err != nil {
					t.Fatal(err)
				}
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := store.Open(t.Context(), dir, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range 2 {
				append1(t, s, line(0, "s", "l", fmt.Sprint(i), "", ""))
				span := &tracepb.Span{TraceId: unhex(t, traceA), SpanId: fmt.Appendf(nil, "%08d", i)}
				if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", span)}); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if tt.prepare != nil {
				tt.prepare(t, dir)
			}
			_, err = store.Open(t.Context(), filepath.Join(dir, tt.dir), tt.opts)
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !tt.is(err) || store.Damaged(err) != tt.damaged {
				t.Errorf("error %v, damaged %v, want one with %q, %v", err, store.Damaged(err), tt.want, tt.damaged)
			}
		})
	}
}

// An append that was not written to its end, and so not acknowledged, is left out, and
// earlier ones are there.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		append1(t, s, line(time.Duration(i), "s", "l", fmt.Sprint(i), "", ""))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(partition(t, dir, "lines"), "journal")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A fourth one, in part: another process has written it, and the index has not
	// got it.
	if err := os.WriteFile(path, append(content, content[18:18+30]...), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, store.Options{})
	append1(t, s, line(3, "s", "l", "3", "", ""))
	if diff := cmp.Diff([]string{"3", "2", "1", "0"}, texts(t, s)); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// Rows that only the journal has are added to the index, each once.
func TestIndexLost(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	append1(t, s, padded(1000)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(partition(t, dir, "lines"), "index")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := store.Open(t.Context(), dir, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(texts(t, s)); n != 1000 {
			t.Errorf("%d lines, want 1000", n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// If the process ended while a partition was being deleted, the rest is deleted.
func TestDeletedInPart(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	append1(t, s, padded(10)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(dir, "lines", "2026-01-01T00-00-00.000000000Z.deleted", "index", "partitions")
	if err := os.MkdirAll(part, 0o700); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, store.Options{})
	if n := len(texts(t, s)); n != 10 {
		t.Errorf("%d lines, want 10", n)
	}
	partition(t, dir, "lines")
}

func TestClosed(t *testing.T) {
	s, err := store.Open(t.Context(), t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Health(t.Context()); err != nil {
		t.Errorf("healthy store: %v", err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AppendLines(t.Context(), []store.Line{line(0, "s", "l", "x", "", "")}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("append: %v", err)
	}
	if err := s.Health(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("health: %v", err)
	}
}

// Acknowledged appends from many goroutines are there, also those made while the store
// closes.
func TestConcurrentAppends(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	acknowledged := make(map[string]bool)
	some := make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				text := fmt.Sprintf("%d/%d", g, i)
				err := s.AppendLines(t.Context(), []store.Line{line(0, contract.ServiceRoller, contract.LevelInfo, text, "", "")})
				if errors.Is(err, store.ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged[text] = true
				if len(acknowledged) >= 300 {
					once.Do(func() { close(some) })
				}
				mu.Unlock()
			}
		})
	}
	<-some
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	s = open(t, dir, store.Options{})
	for _, text := range texts(t, s) {
		if !acknowledged[text] {
			t.Errorf("line %s was not acknowledged, or is there twice", text)
		}
		delete(acknowledged, text)
	}
	if len(acknowledged) > 0 {
		t.Errorf("missing: %v", acknowledged)
	}
}

// A search that would have to read too much stops and reports it.
func TestSearchPartial(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	var spans []*tracepb.Span
	for i := range 4100 {
		id := []byte(fmt.Sprintf("%016d", i+1))
		start := uint64(epoch.UnixNano()) + uint64(i+1)
		spans = append(spans, &tracepb.Span{TraceId: id, SpanId: id[:8], Name: "n", StartTimeUnixNano: start, EndTimeUnixNano: start + uint64(i+1),
			Attributes: []*commonpb.KeyValue{integer("i", int64(i))}})
	}
	if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", spans...)}); err != nil {
		t.Fatal(err)
	}
	i := func(i int64) func(store.Trace) []int {
		return func(t store.Trace) []int {
			if t.Spans[0].GetAttributes()[0].GetValue().GetIntValue() == i {
				return []int{0}
			}
			return nil
		}
	}
	tests := []struct {
		name      string
		where     []store.Condition
		match     func(store.Trace) []int
		limit     int
		found     int
		inspected int // at most
		partial   bool
	}{
		{name: "too old to be seen", match: i(0), limit: 1, inspected: 4031, partial: true},
		{name: "new enough", match: i(4000), limit: 1, found: 1, inspected: 128},
		{name: "new enough, but there may be more", match: i(4000), limit: 2, found: 1, inspected: 4031, partial: true},
		{name: "duration makes it selective", match: i(9), limit: 20, found: 1, inspected: 1, where: []store.Condition{intrinsic(store.Duration, store.Equal, int64(10))}},
		{name: "an attribute too", match: i(9), limit: 20, found: 1, inspected: 1, where: []store.Condition{{Scope: store.ScopeSpan, Name: "i", Op: store.Equal, Value: int64(9)}}},
		{name: "name that nothing has", match: i(0), limit: 1, where: []store.Condition{intrinsic(store.Name, store.Equal, "m")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Search(t.Context(), store.SearchQuery{Limit: tt.limit, Where: tt.where, Match: tt.match})
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Traces) != tt.found || got.Inspected > tt.inspected || got.Partial != tt.partial {
				t.Errorf("found %d, inspected %d, partial %v; want %d, at most %d, %v", len(got.Traces), got.Inspected, got.Partial, tt.found, tt.inspected, tt.partial)
			}
		})
	}
}

func intrinsic(name string, op store.Op, value any) store.Condition {
	return store.Condition{Scope: store.ScopeIntrinsic, Name: name, Op: op, Value: value}
}

// A span may claim any time. It is found by its ID, and by the time of its arrival if its
// own time is out of bounds.
func TestSpansOfAnyTime(t *testing.T) {
	dir := t.TempDir()
	now := uint64(epoch.UnixNano())
	starts := []uint64{0, 1, now - uint64(47*time.Hour), now - uint64(49*time.Hour), now, now + uint64(time.Minute), now + uint64(2*time.Hour), math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64}
	own := map[uint64]bool{now - uint64(47*time.Hour): true, now: true, now + uint64(time.Minute): true}
	s, err := store.Open(t.Context(), dir, store.Options{Now: func() time.Time { return epoch }})
	if err != nil {
		t.Fatal(err)
	}
	for i, start := range starts {
		span := &tracepb.Span{TraceId: fmt.Appendf(nil, "%016d", i), SpanId: []byte("12345678"), Name: "n", StartTimeUnixNano: start, EndTimeUnixNano: start}
		if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", span)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for i, start := range starts {
			id := store.TraceID(fmt.Appendf(nil, "%016d", i))
			got, err := s.Trace(t.Context(), id)
			if err != nil || len(got.Spans) != 1 || got.Spans[0].GetStartTimeUnixNano() != start {
				t.Errorf("start %d: %v, %v", start, got.Spans, err)
			}
			at := epoch
			if own[start] {
				at = time.Unix(0, int64(start))
			}
			found, err := s.Search(t.Context(), store.SearchQuery{From: at, To: at.Add(1), Limit: 100, Match: func(trace store.Trace) []int {
				if trace.ID == id {
					return []int{0}
				}
				return nil
			}})
			if err != nil || len(found.Traces) != 1 {
				t.Errorf("start %d: %d traces of %v, %v", start, len(found.Traces), at, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir, store.Options{})
	}
}

// Without room appends are refused before the engine notices, and nothing of them is stored.
// Reading goes on, and so do appends when there is room again.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	var free atomic.Uint64
	free.Store(1 << 30)
	opts := store.Options{Room: func(string) (store.Room, error) { return store.Room{Free: free.Load(), Size: 1 << 40}, nil }}
	s, err := store.Open(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	append1(t, s, padded(100)...)
	free.Store(64 << 20)
	err = s.AppendLines(t.Context(), []store.Line{line(time.Hour, "s", "l", "refused", "", "")})
	if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "storing telemetry: the disk is full") || !strings.Contains(err.Error(), "make room in the data directory") {
		t.Errorf("error %v", err)
	}
	span := &tracepb.Span{TraceId: unhex(t, traceA), SpanId: unhex(t, spanA)}
	if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", span)}); !errors.Is(err, store.ErrFull) {
		t.Errorf("error %v", err)
	}
	if got := texts(t, s); len(got) != 100 {
		t.Errorf("%d lines can be read, want 100", len(got))
	}
	if err := s.Health(t.Context()); err != nil {
		t.Errorf("a full store can be read: %v", err)
	}
	free.Store(1 << 30)
	append1(t, s, line(2*time.Hour, "s", "l", "after", "", ""))
	for range 2 {
		if got := texts(t, s); len(got) != 101 || got[0] != "after" {
			t.Errorf("%d lines, want 101", len(got))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir, opts)
	}
	// A small file system is used but for a quarter.
	small := open(t, t.TempDir(), store.Options{Room: func(string) (store.Room, error) { return store.Room{Free: free.Load(), Size: 16 << 20}, nil }})
	free.Store(5 << 20)
	append1(t, small, padded(1)...)
	free.Store(4 << 20)
	if err := small.AppendLines(t.Context(), padded(1)); !errors.Is(err, store.ErrFull) {
		t.Errorf("error %v", err)
	}
}

// padded returns n lines of 500 bytes that hardly compress, the first at the epoch.
func padded(n int) []store.Line {
	lines := make([]store.Line, n)
	for i := range lines {
		lines[i] = line(time.Duration(i), contract.ServiceRoller, contract.LevelInfo, fmt.Sprint(i, " ", noise(i, 500)), "", "")
	}
	return lines
}

func append1(t *testing.T, s *store.Store, lines ...store.Line) {
	t.Helper()
	if err := s.AppendLines(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
}

func texts(t *testing.T, s *store.Store) (list []string) {
	t.Helper()
	if err := s.Lines(t.Context(), store.LineQuery{}, func(l store.Line) bool {
		list = append(list, l.Text)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

// noise returns n bytes of hexadecimal digits that depend on seed.
func noise(seed, n int) string {
	var b bytes.Buffer
	for x := uint64(seed)*0x9e3779b97f4a7c15 + 1; b.Len() < n; {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		fmt.Fprintf(&b, "%016x", x)
	}
	return b.String()[:n]
}
