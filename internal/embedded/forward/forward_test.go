package forward_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"dicelab/internal/embedded/forward"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a forwarder to a backend until stop is called.
func start(t *testing.T, backend http.HandlerFunc, o forward.Options) (f *forward.Forwarder, stop func()) {
	t.Helper()
	server := httptest.NewServer(backend)
	t.Cleanup(server.Close)
	u, err := url.Parse(strings.Replace(server.URL, "http://", "http://user:secret@", 1) + "/base")
	if err != nil {
		t.Fatal(err)
	}
	o.URL = u
	f = forward.New(o)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		f.Run(ctx, context.WithoutCancel(ctx))
	}()
	stop = func() { cancel(); <-ran }
	t.Cleanup(stop)
	return f, stop
}

// counted checks a counter by its line in the exposition.
func counted(t *testing.T, registry *prometheus.Registry, name, want string) {
	t.Helper()
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), name); err != nil {
		t.Error(err)
	}
}

const sentHead = "# HELP dicelab_forwarded_exports_total OTLP exports of which a copy was sent to the backend of --forward.\n# TYPE dicelab_forwarded_exports_total counter\n"

// A copy arrives as it came, compressed, at the path of its signal below that of the URL,
// with the user of the URL. What waits at the end is sent.
func TestForward(t *testing.T) {
	got := make(chan string, 10)
	registry := prometheus.NewRegistry()
	f, stop := start(t, func(_ http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(z)
		if err != nil {
			t.Error(err)
		}
		got <- fmt.Sprintf("%s %s %s %s:%s %s", r.URL.Path, r.Header.Get("Content-Type"), body, user, password, r.Header.Get("dicelab-forwarded"))
	}, forward.Options{Registry: registry})
	f.Forward("/v1/logs", "application/json", []byte("{}"))
	if want := "/base/v1/logs application/json {} user:secret 1"; <-got != want {
		t.Errorf("want %q", want)
	}
	f.Forward("/v1/traces", "application/x-protobuf", []byte("last"))
	stop()
	if want := "/base/v1/traces application/x-protobuf last user:secret 1"; <-got != want {
		t.Errorf("want %q", want)
	}
	counted(t, registry, "dicelab_forwarded_exports_total", sentHead+"dicelab_forwarded_exports_total 2\n")
}

// A backend that cannot take a copy gets it again; one that refuses it does not, and the
// line about it has no password.
func TestRetryAndRefusal(t *testing.T) {
	var mu sync.Mutex
	tries := map[string]int{}
	lines := make(chan string, 10)
	done := make(chan struct{}, 1)
	registry := prometheus.NewRegistry()
	f, stop := start(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch tries[r.URL.Path]++; {
		case r.URL.Path == "/base/v1/logs":
			http.Error(w, "no such tenant", http.StatusForbidden)
		case tries[r.URL.Path] < 3:
			http.Error(w, "later", http.StatusServiceUnavailable)
		default:
			done <- struct{}{}
		}
	}, forward.Options{Registry: registry, Print: func(line string) { lines <- line }, Pause: func(context.Context, time.Duration) error { return nil }})
	f.Forward("/v1/logs", "application/json", []byte("a"))
	line := <-lines
	f.Forward("/v1/traces", "application/json", []byte("b"))
	<-done
	stop()
	if strings.Contains(line, "secret") || !strings.Contains(line, "1 exports, which are stored here (it answered 403 Forbidden to /v1/logs:") {
		t.Errorf("printed %q", line)
	}
	if tries["/base/v1/logs"] != 1 || tries["/base/v1/traces"] != 3 {
		t.Errorf("tries: %v", tries)
	}
	counted(t, registry, "dicelab_forwarded_exports_total", sentHead+"dicelab_forwarded_exports_total 1\n")
}

// A backend that does not answer blocks nothing: copies wait up to the bound, and those
// beyond it are counted and reported.
func TestSlowBackend(t *testing.T) {
	release := make(chan struct{})
	var lines []string
	registry := prometheus.NewRegistry()
	f, stop := start(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the client may be gone
		<-release
	}, forward.Options{Registry: registry, Print: func(line string) { lines = append(lines, line) }})
	body := make([]byte, 1<<20)
	for range 50 { // 4 are under way and 32 wait
		f.Forward("/v1/logs", "application/json", body)
	}
	if len(lines) != 1 || !strings.Contains(lines[0], "33554432 bytes wait already") {
		t.Errorf("printed %q", lines)
	}
	close(release)
	stop()
	sent := total(t, registry, "dicelab_forwarded_exports_total")
	lost := total(t, registry, "dicelab_forward_dropped_exports_total")
	if sent+lost != 50 || sent < 32 || lost < 14 {
		t.Errorf("%v sent and %v dropped, want 50 together, of which at least 32 sent", sent, lost)
	}
}

// total returns the sum of a counter's series.
func total(t *testing.T, registry *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
