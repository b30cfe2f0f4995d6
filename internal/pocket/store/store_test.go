package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	"dicelab/internal/contract"
	"dicelab/internal/pocket/store"
)

// appendDir names the directory in which a copy of this test appends until it
// is killed.
const appendDir = "DICELAB_TEST_APPEND_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(appendDir); dir != "" {
		fmt.Println(appendForever(dir))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func appendForever(dir string) error {
	s, err := store.Open(context.Background(), dir, store.Options{})
	for i := 0; err == nil; i++ {
		if err = s.AppendLines(context.Background(), []store.Line{line(time.Duration(i), contract.ServiceRoller, contract.LevelInfo, fmt.Sprint(i), "", "")}); err == nil {
			_, err = fmt.Println(i) // acknowledged
		}
	}
	return err
}

// What was acknowledged before the process was killed is there afterwards.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), appendDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := -1
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		var i int
		if _, err := fmt.Sscan(scanner.Text(), &i); err != nil {
			t.Fatalf("the child failed: %s", scanner.Text())
		}
		acknowledged = i
		if i == 200 {
			if _, err := store.Open(t.Context(), dir, store.Options{}); !isInUse(err, dir, cmd.Process.Pid) {
				t.Errorf("opening what the child has open: %v", err)
			}
			if err := cmd.Process.Kill(); err != nil { // SIGKILL; what is in the pipe is still read
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || acknowledged < 200 {
		t.Fatalf("the child ended with %v after %d lines", err, acknowledged)
	}
	s := open(t, dir, store.Options{})
	n := 0
	if err := s.Lines(t.Context(), store.LineQuery{Forward: true}, func(l store.Line) bool {
		if l.Text != fmt.Sprint(n) {
			t.Errorf("line %d is %s", n, l.Text)
		}
		n++
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if n <= acknowledged {
		t.Errorf("%d lines are there, %d were acknowledged", n, acknowledged+1)
	}
}

func isInUse(err error, dir string, pid int) bool {
	var inUse *store.InUseError
	return errors.As(err, &inUse) && inUse.Dir == dir && inUse.PID == fmt.Sprint(pid)
}

func TestOpenErrors(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, dir string)
		opts    store.Options
		dir     string // below the test's directory
		want    string
	}{
		{name: "directory below a file", dir: "file/data", want: "choose one that this user can write to",
			prepare: func(t *testing.T, dir string) {
				if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "newer schema", want: "store.db has schema version 99, this dicelab knows versions up to 3: use the newer dicelab that wrote it, or move the file away to start empty",
			prepare: func(t *testing.T, dir string) { execSQL(t, dir, "PRAGMA user_version = 99") }},
		{name: "older schema", want: "store.db has schema version 1, this dicelab reads versions from 2 on: move the file away to start empty, or use the older dicelab that wrote it",
			prepare: func(t *testing.T, dir string) { execSQL(t, dir, "PRAGMA user_version = 1") }},
		{name: "not a database", want: "file is not a database",
			prepare: func(t *testing.T, dir string) {
				if err := os.WriteFile(filepath.Join(dir, store.FileName), []byte(strings.Repeat("nonsense", 1000)), 0o600); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "negative bound", opts: store.Options{TraceAge: -1}, want: "bounds must not be negative"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.prepare != nil {
				tt.prepare(t, dir)
			}
			_, err := store.Open(t.Context(), filepath.Join(dir, tt.dir), tt.opts)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestNewerSchemaError(t *testing.T) {
	dir := t.TempDir()
	execSQL(t, dir, "PRAGMA user_version = 4")
	_, err := store.Open(t.Context(), dir, store.Options{})
	var newer *store.NewerSchemaError
	if !errors.As(err, &newer) {
		t.Fatalf("error %v", err)
	}
	if diff := cmp.Diff(&store.NewerSchemaError{Path: filepath.Join(dir, store.FileName), Version: 4, Supported: 3}, newer); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

func execSQL(t *testing.T, dir, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, store.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
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

// Appends from many goroutines, also while the store closes: what was
// acknowledged is there.
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
	if err := s.Lines(t.Context(), store.LineQuery{}, func(l store.Line) bool {
		delete(acknowledged, l.Text)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if len(acknowledged) > 0 {
		t.Errorf("missing: %v", acknowledged)
	}
}

func TestSweepByAge(t *testing.T) {
	now := epoch
	s := open(t, t.TempDir(), store.Options{TraceAge: time.Hour, LogAge: 2 * time.Hour, Now: func() time.Time { return now }})
	old := &tracepb.Span{TraceId: unhex(t, traceA), SpanId: unhex(t, spanA), StartTimeUnixNano: uint64(epoch.UnixNano())}
	failed := &tracepb.Span{TraceId: unhex(t, traceA), SpanId: unhex(t, spanB), StartTimeUnixNano: uint64(epoch.UnixNano()), Status: &tracepb.Status{Code: 2}}
	young := &tracepb.Span{TraceId: unhex(t, traceB), SpanId: unhex(t, spanA), StartTimeUnixNano: uint64(epoch.Add(time.Minute).UnixNano())}
	if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", young, old, failed)}); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendLines(t.Context(), []store.Line{line(time.Minute, "s", "l", "young", "", ""), line(0, "s", "l", "old", "", "")}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		age                  time.Duration
		oldSpans, youngSpans int
		lines                []string
	}{
		{time.Hour, 2, 1, []string{"young", "old"}},
		{time.Hour + 1, 0, 1, []string{"young", "old"}},
		{2*time.Hour + 1, 0, 0, []string{"young"}},
		{3 * time.Hour, 0, 0, nil},
	} {
		now = epoch.Add(tt.age)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]int{traceA: tt.oldSpans, traceB: tt.youngSpans} {
			if got, err := s.Trace(t.Context(), traceID(t, id)); err != nil || len(got.Spans) != want {
				t.Errorf("after %v: trace %s has %d spans, want %d, error %v", tt.age, id, len(got.Spans), want, err)
			}
		}
		if diff := cmp.Diff(tt.lines, texts(t, s)); diff != "" {
			t.Errorf("after %v: lines (-want +got):\n%s", tt.age, diff)
		}
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

// The oldest go, and no more than must.
func TestSweepBySize(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{MaxBytes: 2 << 20})
	padding := strings.Repeat("x", 500)
	var lines []store.Line
	for i := range 10_000 {
		lines = append(lines, line(time.Duration(i), contract.ServiceRoller, contract.LevelInfo, fmt.Sprint(i, padding), "", ""))
	}
	if err := s.AppendLines(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := texts(t, s)
	if len(got) < 2000 || len(got) > 4000 {
		t.Fatalf("%d lines of 500 bytes are left in 2 MiB", len(got))
	}
	for i, text := range got {
		if want := lines[len(lines)-1-i].Text; text != want {
			t.Fatalf("line %d is %.10s, want %.10s: not the newest are left", i, text, want)
		}
	}
}

// A search that would have to look at too much stops and says so.
func TestSearchPartial(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{SweepEvery: time.Hour}) // its spans are older than any bound
	var spans []*tracepb.Span
	for i := range 4100 {
		id := []byte(fmt.Sprintf("%016d", i+1))
		spans = append(spans, &tracepb.Span{TraceId: id, SpanId: id[:8], Name: "n", StartTimeUnixNano: uint64(i + 1), EndTimeUnixNano: uint64(2*i + 2),
			Attributes: []*commonpb.KeyValue{integer("i", int64(i))}})
	}
	if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{from("s", "", spans...)}); err != nil {
		t.Fatal(err)
	}
	// i finds the trace of one span, which no index knows of.
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
		inspected int
		partial   bool
	}{
		{name: "too old to be seen", match: i(0), limit: 1, inspected: 4000, partial: true},
		{name: "new enough", match: i(4000), limit: 1, found: 1, inspected: 100},
		{name: "new enough, but there may be more", match: i(4000), limit: 2, found: 1, inspected: 4000, partial: true},
		{name: "duration makes it selective", match: i(9), limit: 20, found: 1, inspected: 1,
			where: []store.Condition{{Column: store.ColumnDuration, Op: store.GreaterEqual, Number: 10}, {Column: store.ColumnDuration, Op: store.LessEqual, Number: 10}}},
		{name: "word that nothing has", match: i(0), limit: 1, where: []store.Condition{{Column: store.ColumnName, Op: store.Equal, Text: "m"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Search(t.Context(), store.SearchQuery{Limit: tt.limit, Where: tt.where, Match: tt.match})
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Traces) != tt.found || got.Inspected != tt.inspected || got.Partial != tt.partial {
				t.Errorf("found %d, inspected %d, partial %v; want %d, %d, %v", len(got.Traces), got.Inspected, got.Partial, tt.found, tt.inspected, tt.partial)
			}
		})
	}
}
