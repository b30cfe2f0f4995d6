package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dicelab/internal/lab/child"
)

// The test binary is also the service that the tests run as a child.
func TestMain(m *testing.M) {
	if os.Getenv(envRole) != "" {
		os.Exit(serve())
	}
	goleak.VerifyTestMain(m)
}

const (
	envRole  = "DICELAB_TEST_ROLE"
	patience = 30 * time.Second
)

// serve runs a service that writes a line when it starts and one when it ends.
func serve() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, gate := child.Watch(ctx, os.Getenv, os.Stdin)
	l, err := child.Listen(ctx, os.Getenv, "127.0.0.1:0")
	if err != nil {
		return 1
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "rolls_total 7") })
	server := &http.Server{Handler: gate.Wrap(mux), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	fmt.Println(os.Getenv("OTEL_SERVICE_NAME") + " started")
	fmt.Fprintln(os.Stderr, "listening")
	<-ctx.Done()
	_ = server.Shutdown(context.Background())
	<-served
	fmt.Println(os.Getenv("OTEL_SERVICE_NAME") + " ended")
	return 0
}

// journal notes what happened, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines...)
}

// output collects output and lets a test wait for a text in it.
type output struct {
	mu     sync.Mutex
	buf    bytes.Buffer
	change chan struct{}
}

func newOutput() *output { return &output{change: make(chan struct{}, 1)} }

func (s *output) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.change <- struct{}{}:
	default:
	}
	return s.buf.Write(b)
}

func (s *output) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func (s *output) until(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(patience)
	for !strings.Contains(s.String(), text) {
		select {
		case <-s.change:
		case <-deadline:
			t.Fatalf("waiting for %q in the output: not within %v\n%s", text, patience, s)
		}
	}
}
