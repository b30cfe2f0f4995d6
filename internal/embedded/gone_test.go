package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dicelab/internal/contract"
	"dicelab/internal/embedded"
	"dicelab/internal/embedded/metrics"
	"dicelab/internal/embedded/store"
)

// whole is a stack with all of its APIs.
type whole struct {
	addresses
	t          *testing.T
	dir        string
	stack      *embedded.Stack
	prometheus string

	mu      sync.Mutex
	printed []string
}

// startWhole starts a stack that scrapes one target.
func startWhole(t *testing.T) *whole {
	t.Helper()
	w := &whole{t: t, dir: filepath.Join(t.TempDir(), "data")}
	target := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "a 1\n") }))
	t.Cleanup(target.Close)
	w.stack = embedded.New(embedded.Options{
		Dir: w.dir, Store: store.Options{FlushEvery: time.Hour}, Targets: []metrics.Target{{Job: "j", Address: target.Listener.Addr().String()}},
		Print: func(line string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.printed = append(w.printed, strings.ReplaceAll(line, w.dir, "DIR"))
		},
	})
	if err := errors.Join(w.stack.OpenStore(t.Context()), w.stack.OpenMetrics(t.Context())); err != nil {
		t.Fatal(err)
	}
	var stop func() error
	var err error
	if w.addresses, stop, err = listen(context.WithoutCancel(t.Context()), w.stack, http.NotFoundHandler()); err != nil {
		t.Fatal(err)
	}
	prometheus := httptest.NewServer(w.stack.Prometheus())
	w.prometheus = prometheus.URL
	t.Cleanup(func() {
		prometheus.Close()
		err := stop()
		for _, end := range []func(context.Context) error{w.stack.LastScrape, w.stack.CloseMetrics, w.stack.CloseStore} {
			if e := end(context.Background()); e != nil {
				t.Logf("closing: %v", e) // its files may be gone
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
	return w
}

// ready waits until the three /ready answer with a status and a text.
func (w *whole) ready(status int, text string) {
	w.t.Helper()
	for _, url := range []string{w.Tempo + "/ready", w.Loki + "/ready", w.prometheus + "/-/ready"} {
		for {
			got := get(w.t, url)
			if got.status == status && strings.Contains(strings.ReplaceAll(got.body, w.dir, "DIR"), text) {
				break
			}
			if w.t.Context().Err() != nil {
				w.t.Fatalf("%s: status %d, %s; want %d, %s", url, got.status, got.body, status, text)
			}
			time.Sleep(10 * time.Millisecond) // for a look at the directory
		}
	}
}

// samples returns the number of samples that are stored of the target.
func (w *whole) samples() string {
	w.t.Helper()
	got := get(w.t, w.prometheus+"/api/v1/query?"+url.Values{"query": {"count_over_time(a[1h])"}}.Encode())
	_, value, found := strings.Cut(got.body, `"value":[`)
	if !found {
		w.t.Fatalf("no sample of the target: %s", got.body)
	}
	_, value, _ = strings.Cut(value, `,"`)
	value, _, _ = strings.Cut(value, `"`)
	return value
}

// send sends a span over HTTP and over gRPC and a line, and returns the statuses.
func (w *whole) send(n int) (http, push int, grpc codes.Code, text string) {
	w.t.Helper()
	client := newClient(w.t)
	now := time.Now()
	exported, err := w.export(w.t.Context(), client, exportOf(idOf(0, 1, n), now))
	if err != nil {
		w.t.Fatal(err)
	}
	pushed, err := w.push(w.t.Context(), client, "s", "line", now)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = dial(w.t, w.GRPC).Export(w.t.Context(), exportOf(idOf(0, 2, n), now))
	return exported.status, pushed.status, status.Code(err), strings.Join([]string{exported.body, pushed.body, status.Convert(err).Message()}, "\n")
}

func (w *whole) expect(n, http, push int, grpc codes.Code, text string) {
	w.t.Helper()
	gotHTTP, gotPush, gotGRPC, gotText := w.send(n)
	gotText = strings.ReplaceAll(gotText, w.dir, "DIR")
	if gotHTTP != http || gotPush != push || gotGRPC != grpc || text != "" && strings.Count(gotText, text) != 3 {
		w.t.Errorf("statuses %d, %d, %v, want %d, %d, %v, three times %q:\n%s", gotHTTP, gotPush, gotGRPC, http, push, grpc, text, gotText)
	}
}

// What cannot be stored is not acknowledged: if the data directory is gone, or
// another is in its place, senders are asked to try again, /ready reports it, and the
// terminal gets it once. When the directory is put back, storing goes on.
func TestDirectoryGone(t *testing.T) {
	w := startWhole(t)
	w.ready(http.StatusOK, "")
	w.expect(1, http.StatusOK, http.StatusNoContent, codes.OK, "")
	// A query has the engine look at its directories, which it does again after a while only:
	// it would end the lab if they were gone at that moment.
	if got := get(t, fmt.Sprintf("%s/api/traces/%x", w.Tempo, idOf(0, 1, 1))); got.status != http.StatusOK {
		t.Fatalf("the first span: status %d", got.status)
	}
	if got := get(t, w.Loki+"/loki/api/v1/query_range?query="+url.QueryEscape(`{service_name=~".+"}`)); got.status != http.StatusOK {
		t.Fatalf("the first line: status %d", got.status)
	}

	aside := w.dir + "-aside"
	if err := os.Rename(w.dir, aside); err != nil {
		t.Fatal(err)
	}
	const gone, replaced = "data directory DIR is gone: put it back where it was", "data directory DIR was replaced by another, and this lab still has the old one open"
	w.ready(http.StatusServiceUnavailable, gone)
	w.expect(2, http.StatusServiceUnavailable, http.StatusServiceUnavailable, codes.Unavailable, gone)
	before := w.samples()
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.ready(http.StatusServiceUnavailable, replaced)
	w.expect(3, http.StatusServiceUnavailable, http.StatusServiceUnavailable, codes.Unavailable, replaced)
	if after := w.samples(); after != before {
		t.Errorf("%s samples, %s a while ago, want no more", after, before)
	}
	if err := errors.Join(os.Remove(w.dir), os.Rename(aside, w.dir)); err != nil {
		t.Fatal(err)
	}
	w.ready(http.StatusOK, "")
	w.expect(4, http.StatusOK, http.StatusNoContent, codes.OK, "")
	for w.samples() == before { // until it scrapes again
		time.Sleep(10 * time.Millisecond)
	}
	for n, want := range map[int]int{1: http.StatusOK, 2: http.StatusNotFound, 3: http.StatusNotFound, 4: http.StatusOK} {
		if got := get(t, fmt.Sprintf("%s/api/traces/%x", w.Tempo, idOf(0, 1, n))); got.status != want {
			t.Errorf("span %d: status %d, want %d", n, got.status, want)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.printed = slices.DeleteFunc(w.printed, func(line string) bool { return strings.HasPrefix(line, "First ") })
	if len(w.printed) < 2 || !strings.HasPrefix(w.printed[0], "Nothing is stored any more: "+gone) || !strings.HasPrefix(w.printed[1], "Nothing is stored any more: "+replaced) {
		t.Errorf("printed %q", w.printed)
	}
}

// If the directory stays away until the engine has to write, the lab ends with one line, and
// has everything when it is started again.
func TestDirectoryGoneForLong(t *testing.T) {
	dir, acks := filledStack(t)
	aside := dir + "-aside"
	c := startChild(t, dir)
	more := acknowledged{round: 1}
	if !more.send(t.Context(), c.addresses, newClient(t), time.Now()) {
		t.Fatal("not stored")
	}
	if err := os.Rename(dir, aside); err != nil {
		t.Fatal(err)
	}
	stderr, status := c.wait()
	want := regexp.MustCompile(`^the store of traces and log lines cannot go on: \S+ cannot be read any more \(.*no such file or directory\)\n$`)
	if status != 1 || !want.MatchString(stderr) {
		t.Errorf("ended with status %d and %q", status, stderr)
	}
	if err := os.Rename(aside, dir); err != nil {
		t.Fatal(err)
	}
	c = startChild(t, dir)
	c.expect(append(acks, more))
	c.stop()
}

// The directories of the store, and that of the metrics, are watched too.
func TestFileGone(t *testing.T) {
	for _, name := range []string{"spans", "lines", "prometheus"} {
		t.Run(name, func(t *testing.T) {
			w := startWhole(t)
			kept, aside := filepath.Join(w.dir, name), filepath.Join(w.dir, "aside")
			if err := os.Rename(kept, aside); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { // before the stack closes: the engine may look at its directory then
				if err := os.Rename(aside, kept); err != nil {
					t.Error(err)
				}
			})
			w.ready(http.StatusServiceUnavailable, name+" in data directory DIR is gone")
			w.expect(1, http.StatusServiceUnavailable, http.StatusServiceUnavailable, codes.Unavailable, name+" in data directory DIR is gone")
		})
	}
}

// A flood of streams leaves those that exist, and the lab's own lines, alone.
func TestFloodOfStreams(t *testing.T) {
	w := startWhole(t)
	client := newClient(t)
	flood := func(from, to int) answer {
		var b strings.Builder
		for n := from; n < to; n++ {
			fmt.Fprintf(&b, `,{"stream":{"n":"%d"},"values":[["%d","x"]]}`, n, time.Now().UnixNano())
		}
		got, err := post(t.Context(), client, w.Loki+"/loki/api/v1/push", "application/json", []byte(`{"streams":[`+b.String()[1:]+`]}`))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for n := 0; n < 4000; n += 1000 {
		if got := flood(n, n+1000); got.status != http.StatusNoContent {
			t.Fatalf("status %d: %s", got.status, got.body)
		}
	}
	const most = "send what differs from line to line as structured metadata, not as labels"
	if got, want := flood(4000, 5000), "100 of 1000 lines were refused and the others are stored: there are 4900 streams of log lines, and at most 4900 are kept; "+most; got.status != http.StatusTooManyRequests || got.body != want {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	if got := flood(0, 1000); got.status != http.StatusNoContent {
		t.Errorf("streams that exist: status %d: %s", got.status, got.body)
	}
	var lines strings.Builder
	for _, level := range []string{contract.LevelInfo, contract.LevelWarning, contract.LevelError} {
		fmt.Fprintf(&lines, `{"level":%q,"message":"own"}`+"\n", level)
	}
	for _, service := range contract.Services() {
		if err := w.stack.ReadLog(service, strings.NewReader(lines.String())); err != nil {
			t.Fatal(err)
		}
	}
	want := 3 * len(contract.Services())
	query := url.Values{"query": {`{job=~".+"} |= "own"`}}.Encode()
	for {
		got := get(t, w.Loki+"/loki/api/v1/query_range?"+query)
		if strings.Count(got.body, `\"own\"`) == want {
			break
		}
		if got.status != http.StatusOK || t.Context().Err() != nil {
			t.Fatalf("status %d, want %d lines: %.500s", got.status, want, got.body)
		}
		time.Sleep(10 * time.Millisecond) // the collector stores in batches
	}
}
