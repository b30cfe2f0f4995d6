package collect_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/collect"
	"dicelab/internal/embedded/embeddedtest"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, embeddedtest.EngineGoroutines()...) }

// memory is a store in memory.
type memory struct {
	append func(ctx context.Context, lines []store.Line) error // nil takes all

	mu      sync.Mutex
	lines   []store.Line
	batches []int
}

func (m *memory) AppendLines(ctx context.Context, lines []store.Line) error {
	if m.append != nil {
		if err := m.append(ctx, lines); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, lines...)
	m.batches = append(m.batches, len(lines))
	return nil
}

func (m *memory) texts() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var texts []string
	for _, l := range m.lines {
		texts = append(texts, l.Text)
	}
	return texts
}

// readTime returns the time at which a test reads its lines.
func readTime() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func rollerStream(level string) map[string]string {
	s := map[string]string{"container_name": "dice-roller-stage2", "service_name": "dice-roller", "job": "dice-roller"}
	if level != "" {
		s["level"] = level
	}
	return s
}

func TestLines(t *testing.T) {
	const roll = `{"timestamp":"2026-01-02T03:04:05.000006Z","level":"INFO","message":"Roll completed","logger":"dice-roller",` +
		`"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","roll_value":4}`
	written := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	none := map[string]string{}
	for _, test := range []struct {
		name, output string
		want         []store.Line
	}{
		{"a roll", roll + "\n", []store.Line{{Time: written, Stream: rollerStream("INFO"), Text: roll,
			Metadata: map[string]string{"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}}}},
		{"without trace", `{"timestamp":"2026-01-02T03:04:05.000006Z","level":"ERROR","trace_id":""}` + "\n",
			[]store.Line{{Time: written, Stream: rollerStream("ERROR"), Metadata: none, Text: `{"timestamp":"2026-01-02T03:04:05.000006Z","level":"ERROR","trace_id":""}`}}},
		{"another offset", `{"timestamp":"2026-01-02T05:04:05.000006+02:00","level":"WARNING"}` + "\n",
			[]store.Line{{Time: written, Stream: rollerStream("WARNING"), Metadata: none, Text: `{"timestamp":"2026-01-02T05:04:05.000006+02:00","level":"WARNING"}`}}},
		{"a panic", "panic: boom\n\ngoroutine 1 [running]:\n", []store.Line{
			{Time: readTime(), Stream: rollerStream(""), Metadata: none, Text: "panic: boom"},
			{Time: readTime(), Stream: rollerStream(""), Metadata: none, Text: ""},
			{Time: readTime(), Stream: rollerStream(""), Metadata: none, Text: "goroutine 1 [running]:"}}},
		{"no line feed at the end", "killed", []store.Line{{Time: readTime(), Stream: rollerStream(""), Metadata: none, Text: "killed"}}},
		{"nothing", "", nil},
		{"unchanged to the byte", " {\"a\" : 1}\t\r\n\xff\x00\n", []store.Line{
			{Time: readTime(), Stream: rollerStream(""), Metadata: none, Text: " {\"a\" : 1}\t\r"},
			{Time: readTime(), Stream: rollerStream(""), Metadata: none, Text: "\xff\x00"}}},
		{"a level that is not ours", `{"level":"DEBUG"}`, []store.Line{{Time: readTime(), Stream: rollerStream(""), Metadata: none, Text: `{"level":"DEBUG"}`}}},
		{"fields of other types", `{"level":5,"timestamp":true,"trace_id":{"a":1},"span_id":null}`,
			[]store.Line{{Time: readTime(), Stream: rollerStream(""), Metadata: none, Text: `{"level":5,"timestamp":true,"trace_id":{"a":1},"span_id":null}`}}},
		{"times that cannot be", `{"timestamp":"0001-01-01T00:00:00Z"}` + "\n" + `{"timestamp":"9999-01-01T00:00:00Z"}` + "\n" + `{"timestamp":"yesterday"}`, []store.Line{
			{Time: readTime(), Stream: rollerStream(""), Metadata: none, Text: `{"timestamp":"0001-01-01T00:00:00Z"}`},
			{Time: readTime(), Stream: rollerStream(""), Metadata: none, Text: `{"timestamp":"9999-01-01T00:00:00Z"}`},
			{Time: readTime(), Stream: rollerStream(""), Metadata: none, Text: `{"timestamp":"yesterday"}`}}},
		{"JSON that is broken", `{"level":"INFO","trace_id":"abc`, []store.Line{{Time: readTime(), Stream: rollerStream(""), Metadata: none, Text: `{"level":"INFO","trace_id":"abc`}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var m memory
			collectAll(t, &m, collect.Options{}, test.output)
			if diff := cmp.Diff(test.want, m.lines); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// collectAll reads output to its end and closes the collector.
func collectAll(t *testing.T, m *memory, opts collect.Options, output string) {
	t.Helper()
	opts.Now = readTime
	c := collect.New(m, opts)
	ran := make(chan error, 1)
	go func() { ran <- c.Run(t.Context()) }()
	if err := c.Read(contract.ServiceRoller, strings.NewReader(output)); err != nil {
		t.Errorf("Read: %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-ran; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestLongLinesAreCut(t *testing.T) {
	head := `{"timestamp":"2026-01-02T03:04:05Z","level":"ERROR","trace_id":"abc","error":"`
	fill := strings.Repeat("x", collect.MaxLineBytes-len(head)-1)
	whole := head + fill + "é" // the character that is cut in two at the bound goes
	for _, test := range []struct {
		name, line, text, cut string
	}{
		{"longest", head + fill + `"`, head + fill + `"`, ""},
		{"too long", whole + `."}`, head + fill, "5"},
		{"much too long", head + fill + "y" + strings.Repeat("z", 1<<20), head + fill + "y", "1048576"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var m memory
			collectAll(t, &m, collect.Options{}, test.line+"\nnext\n")
			if len(m.lines) != 2 {
				t.Fatalf("%d lines, want 2", len(m.lines))
			}
			if got := m.lines[0]; got.Text != test.text {
				t.Errorf("text of %d bytes, want %d", len(got.Text), len(test.text))
			}
			if got := m.lines[0].Metadata[collect.MetadataCut]; got != test.cut {
				t.Errorf("%s = %q, want %q", collect.MetadataCut, got, test.cut)
			}
			if test.cut != "" {
				if got := m.lines[0]; got.Metadata["trace_id"] != "abc" || got.Stream["level"] != "ERROR" || got.Time.Year() != 2026 {
					t.Errorf("what the line starts with was lost: %v %v %v", got.Time, got.Stream, got.Metadata)
				}
			}
			if got := m.lines[1].Text; got != "next" {
				t.Errorf("the line after it is %q", got)
			}
		})
	}
}

func TestReadingDoesNotWaitForTheStore(t *testing.T) {
	for _, test := range []struct {
		name   string
		opts   collect.Options
		line   string
		stored int // of 100
	}{
		{"bounded in lines", collect.Options{QueueLines: 10}, "x", 10},
		{"bounded in bytes", collect.Options{QueueBytes: collect.MaxLineBytes}, strings.Repeat("x", collect.MaxLineBytes/4), 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			dropped := collect.NewDropped()
			test.opts.Dropped = dropped
			var m memory
			c := collect.New(&m, test.opts) // Run has not begun: the store takes nothing
			if err := c.Read(contract.ServiceFrontend, strings.NewReader(strings.Repeat(test.line+"\n", 100))); err != nil {
				t.Fatal(err)
			}
			ran := make(chan error, 1)
			go func() { ran <- c.Run(t.Context()) }()
			if err := errors.Join(c.Close(t.Context()), <-ran); err != nil {
				t.Fatal(err)
			}
			if len(m.lines) != test.stored {
				t.Errorf("%d lines stored, want %d", len(m.lines), test.stored)
			}
			wantCounter(t, dropped, map[string]int{`{reason="queue_full",service="streamlit-frontend"}`: 100 - test.stored})
		})
	}
}

// wantCounter compares the series of the counter.
func wantCounter(t *testing.T, dropped *prometheus.CounterVec, want map[string]int) {
	t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "# HELP %[1]s Log lines that were read from a service and not stored.\n# TYPE %[1]s counter\n", collect.MetricLinesDropped)
	for series, n := range want {
		fmt.Fprintf(&text, "%s%s %d\n", collect.MetricLinesDropped, series, n)
	}
	if len(want) == 0 {
		text.Reset()
	}
	if err := testutil.CollectAndCompare(dropped, strings.NewReader(text.String())); err != nil {
		t.Error(err)
	}
}

func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m memory
		c := collect.New(&m, collect.Options{})
		ran := make(chan error, 1)
		go func() { ran <- c.Run(t.Context()) }()
		out, in := io.Pipe()
		read := make(chan error, 1)
		go func() { read <- c.Read(contract.ServiceRoller, out) }()

		write(t, in, "a\n")
		write(t, in, "b\n")
		time.Sleep(5*time.Millisecond - time.Nanosecond)
		synctest.Wait()
		if got := m.texts(); got != nil {
			t.Errorf("stored before 5 ms: %q", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a", "b"}, m.texts()); diff != "" {
			t.Errorf("after 5 ms (-want +got)\n%s", diff)
		}

		write(t, in, strings.Repeat("c\n", 1500)) // one batch at once, the rest after 5 ms
		synctest.Wait()
		if diff := cmp.Diff([]int{2, 1024}, m.batches); diff != "" {
			t.Errorf("batches (-want +got)\n%s", diff)
		}
		in.Close()
		if err := errors.Join(<-read, c.Close(t.Context()), <-ran); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]int{2, 1024, 476}, m.batches); diff != "" {
			t.Errorf("batches (-want +got)\n%s", diff)
		}
	})
}

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

func TestStoreThatRefuses(t *testing.T) {
	full := errors.New("disk full")
	for _, test := range []struct {
		name    string
		refuse  int // how often the store refuses
		want    []string
		dropped map[string]int
		logged  string
	}{
		{"it gives in", 3, []string{"first", "second"}, nil, ""},
		{"it does not", 4, []string{"second"}, map[string]int{`{reason="store_failed",service="dice-roller"}`: 1},
			`level=ERROR msg="Log lines are dropped: the store refuses them" error="disk full"` + "\n" +
				`level=WARN msg="The store takes log lines again" lines_dropped=1` + "\n"},
		{"it refuses for long", 8, nil, map[string]int{`{reason="store_failed",service="dice-roller"}`: 2},
			`level=ERROR msg="Log lines are dropped: the store refuses them" error="disk full"` + "\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				m := memory{append: func(context.Context, []store.Line) error {
					if tries++; tries <= test.refuse {
						return full
					}
					return nil
				}}
				var log bytes.Buffer
				dropped := collect.NewDropped()
				c := collect.New(&m, collect.Options{Dropped: dropped, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
					ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
						if a.Key == slog.TimeKey {
							return slog.Attr{}
						}
						return a
					}}))})
				ran := make(chan error, 1)
				go func() { ran <- c.Run(t.Context()) }()
				out, in := io.Pipe()
				read := make(chan error, 1)
				go func() { read <- c.Read(contract.ServiceRoller, out) }()
				write(t, in, "first\n")
				time.Sleep(time.Second)
				write(t, in, "second\n")
				in.Close()
				if err := errors.Join(<-read, c.Close(t.Context()), <-ran); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(test.want, m.texts()); diff != "" {
					t.Errorf("stored (-want +got)\n%s", diff)
				}
				wantCounter(t, dropped, test.dropped)
				if diff := cmp.Diff(test.logged, log.String()); diff != "" {
					t.Errorf("logged (-want +got)\n%s", diff)
				}
			})
		})
	}
}

// If the store refuses some lines of a batch for good, the refused lines are counted
// and nothing is tried again.
func TestStoreThatRefusesSome(t *testing.T) {
	m := memory{}
	var tries int
	m.append = func(_ context.Context, lines []store.Line) error {
		tries++
		m.mu.Lock()
		defer m.mu.Unlock()
		m.lines = append(m.lines, lines[1:]...)
		return &streams.RefusedError{Refused: []int{0}, Lines: len(lines)}
	}
	dropped := collect.NewDropped()
	c := collect.New(&m, collect.Options{Dropped: dropped})
	if err := c.Read(contract.ServiceRoller, strings.NewReader("first\nsecond\nthird\n")); err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- c.Run(t.Context()) }()
	if err := errors.Join(c.Close(t.Context()), <-ran); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"second", "third"}, m.texts()); diff != "" || tries != 1 {
		t.Errorf("stored in %d tries (-want +got)\n%s", tries, diff)
	}
	wantCounter(t, dropped, map[string]int{`{reason="store_failed",service="dice-roller"}`: 1})
}

func TestCloseWaitsForTheEndOfTheOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m memory
		c := collect.New(&m, collect.Options{})
		ran := make(chan error, 1)
		go func() { ran <- c.Run(t.Context()) }()
		out, in := io.Pipe()
		read := make(chan error, 1)
		go func() { read <- c.Read(contract.ServiceRoller, out) }()
		closed := make(chan error, 1)
		write(t, in, "before\n")
		go func() { closed <- c.Close(t.Context()) }()
		synctest.Wait()
		if err := c.Read(contract.ServiceRoller, strings.NewReader("late\n")); !errors.Is(err, collect.ErrClosed) {
			t.Errorf("Read after Close: error %v, want ErrClosed", err)
		}
		time.Sleep(time.Minute)
		write(t, in, "after\nlast")
		select {
		case err := <-closed:
			t.Errorf("Close returned %v before the output had ended", err)
		default:
		}
		in.Close()
		if err := errors.Join(<-read, <-closed, <-ran, c.Close(t.Context())); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"before", "after", "last"}, m.texts()); diff != "" {
			t.Errorf("stored (-want +got)\n%s", diff)
		}
	})
}

func TestStoppedBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memory{append: func(ctx context.Context, _ []store.Line) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		dropped := collect.NewDropped()
		c := collect.New(&m, collect.Options{Dropped: dropped})
		ctx, stop := context.WithCancelCause(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- c.Run(ctx) }()
		out, in := io.Pipe()
		read := make(chan error, 1)
		go func() { read <- c.Read(contract.ServiceRoller, out) }()
		write(t, in, "in hand\n")
		time.Sleep(time.Second)
		write(t, in, "in the queue\n")
		synctest.Wait()

		patience, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		const wantClose = "closing the log collector: 1 services have not closed their output and 1 lines wait for the store: context deadline exceeded"
		if err := c.Close(patience); err == nil || err.Error() != wantClose {
			t.Errorf("Close: error %v, want %s", err, wantClose)
		}
		stop(errors.New("second signal"))
		const wantRun = "stopping the log collector: 2 lines that were read were not stored: second signal"
		if err := <-ran; err == nil || err.Error() != wantRun {
			t.Errorf("Run: error %v, want %s", err, wantRun)
		}
		write(t, in, "too late\n")
		in.Close()
		if err := <-read; err != nil {
			t.Error(err)
		}
		wantCounter(t, dropped, map[string]int{`{reason="shutdown",service="dice-roller"}`: 3})
	})
}

func TestReadError(t *testing.T) {
	var m memory
	c := collect.New(&m, collect.Options{})
	broken := errors.New("input/output error")
	err := c.Read(contract.ServiceRoller, io.MultiReader(strings.NewReader("whole\npart"), failing{broken}))
	if want := "reading the output of dice-roller: input/output error"; !errors.Is(err, broken) || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	ran := make(chan error, 1)
	go func() { ran <- c.Run(t.Context()) }()
	if err := errors.Join(c.Close(t.Context()), <-ran); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"whole", "part"}, m.texts()); diff != "" {
		t.Errorf("stored (-want +got)\n%s", diff)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// FuzzRead checks that every byte of the output except line feeds is returned, and that
// every line gets a time that can be stored.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"", "\n", "a\nb", "a\n\n", `{"timestamp":"2026-01-02T03:04:05Z","level":"INFO"}` + "\n", `{"timestamp":"\ud800"}`, "{\"level\":\"\\u0000\"}\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, output string) {
		if strings.Contains(output, strings.Repeat("x", collect.MaxLineBytes)) {
			return
		}
		var m memory
		collectAll(t, &m, collect.Options{QueueLines: 1 << 20}, output)
		var got strings.Builder
		for _, l := range m.lines {
			got.WriteString(l.Text + "\n")
			if y := l.Time.Year(); y < 1970 || y > 2262 {
				t.Errorf("time %v", l.Time)
			}
		}
		want := output
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if got.String() != want {
			t.Errorf("got %q, want %q", got.String(), want)
		}
	})
}
