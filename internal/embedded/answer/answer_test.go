package answer_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dicelab/internal/embedded/answer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipes is a listener of connections without a buffer: a write waits for its reader.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	close(p.closed)
	return nil
}

func (p pipes) Addr() net.Addr { return &net.UnixAddr{} }

// serve serves a handler on pipes until the test ends, and returns a function that
// sends a request on a connection of its own and reads the head of the answer.
func serve(t *testing.T, h http.Handler) func(path string) *http.Response {
	t.Helper()
	l := pipes{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return func(path string) *http.Response {
		t.Helper()
		client, conn := net.Pipe()
		l.conns <- conn
		t.Cleanup(func() { _ = client.Close() })
		if _, err := fmt.Fprintf(client, "GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReaderSize(client, 16), nil)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
}

// sized answers with the number of bytes in its path. One runs at a time.
func sized(t *testing.T) http.Handler {
	place := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		place <- struct{}{}
		defer func() { <-place }()
		n, err := strconv.Atoi(strings.Trim(r.URL.Path, "/"))
		if err != nil {
			t.Error(err)
		}
		for range n / 1000 {
			_, _ = io.WriteString(w, strings.Repeat("x", 1000))
		}
	})
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, _ *http.Request, err error) {
	status := http.StatusUnprocessableEntity
	if errors.Is(err, answer.ErrBusy) {
		status = http.StatusServiceUnavailable
	}
	http.Error(w, err.Error(), status)
}

// read reads the rest of an answer.
func read(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("reading: %v", err)
	}
	return string(b)
}

// A client that does not read does not block the responses of others.
func TestPlaceIsFreeBeforeTheAnswerIsRead(t *testing.T) {
	ask := serve(t, answer.NewPool(answer.Options{}).Handler(sized(t), refuse))
	slow := ask("1000000")
	if got := read(t, ask("1000000")); got != strings.Repeat("x", 1_000_000) {
		t.Errorf("%d bytes, want 1000000", len(got))
	}
	if got := read(t, slow); slow.ContentLength != 1_000_000 || got != strings.Repeat("x", 1_000_000) {
		t.Errorf("%d bytes, announced as %d, want 1000000", len(got), slow.ContentLength)
	}
}

// When others need the bytes, a client that has been reading for longer than the
// pool's patience is cut off.
func TestSlowClientIsCutOff(t *testing.T) {
	ask := serve(t, answer.NewPool(answer.Options{Bytes: 1 << 20, Most: 1 << 20, Patience: -1}).Handler(sized(t), refuse))
	slow := ask("1000000")
	if got := read(t, ask("1000000")); got != strings.Repeat("x", 1_000_000) {
		t.Errorf("%d bytes, want 1000000", len(got))
	}
	if _, err := io.Copy(io.Discard, slow.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the slow client reads to the end: %v", err)
	}
}

// A response waits for bytes while another is being read, within the patience for its
// client.
func TestAnswerWaitsForAReader(t *testing.T) {
	ask := serve(t, answer.NewPool(answer.Options{Bytes: 1 << 20, Most: 1 << 20, Patience: time.Hour}).Handler(sized(t), refuse))
	first := ask("1000000")
	second := make(chan string)
	go func() {
		res := ask("1000000")
		b, err := io.ReadAll(res.Body)
		second <- fmt.Sprint(res.StatusCode, len(b), err)
	}()
	if got := read(t, first); got != strings.Repeat("x", 1_000_000) {
		t.Errorf("the first: %d bytes, want 1000000", len(got))
	}
	if got := <-second; got != "200 1000000 <nil>" {
		t.Errorf("the second: %s, want 1000000 bytes", got)
	}
}

// A response that finds no bytes is refused if none is being read: those that have the
// bytes may be waiting, too.
func TestAnswersThatAreMadeDoNotWait(t *testing.T) {
	pool := answer.NewPool(answer.Options{Bytes: 1 << 20, Most: 1 << 20})
	half := make([]byte, 600_000)
	w := httptest.NewRecorder()
	pool.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(half)
		other := httptest.NewRecorder()
		pool.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(half) }), refuse).ServeHTTP(other, r)
		if other.Code != http.StatusServiceUnavailable || other.Body.String() != "too many answers are under way at once: ask again later\n" {
			t.Errorf("status %d %.200s, want 503", other.Code, other.Body)
		}
	}), refuse).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if w.Code != http.StatusOK || w.Body.Len() != len(half) {
		t.Errorf("status %d, %d bytes", w.Code, w.Body.Len())
	}
}

// However a response ends, its bytes are released: each of these leaves room for the next.
func TestAnswers(t *testing.T) {
	pool := answer.NewPool(answer.Options{Bytes: 1 << 20, Most: 1 << 20})
	large := bytes.Repeat([]byte("x"), 1<<20)
	tests := []struct {
		name   string
		next   http.HandlerFunc
		status int
		header http.Header
		body   string
	}{
		{name: "nothing", next: func(http.ResponseWriter, *http.Request) {}, status: 200, header: http.Header{"Content-Length": {"0"}, "X-Given": {"a"}}},
		{name: "no content", next: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, status: 204, header: http.Header{"X-Given": {"a"}}},
		{name: "the first status, and headers", next: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Given", "b")
			w.WriteHeader(404)
			w.WriteHeader(200)
			_, _ = io.WriteString(w, "none")
		}, status: 404, header: http.Header{"Content-Length": {"4"}, "X-Given": {"b"}}, body: "none"},
		{name: "largest", next: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) }, status: 200,
			header: http.Header{"Content-Length": {"1048576"}, "X-Given": {"a"}}, body: string(large)},
		{name: "too large", next: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			for range 2 {
				if n, err := w.Write(large); n != len(large) || err != nil {
					t.Errorf("writing: %d, %v", n, err)
				}
			}
			<-r.Context().Done()
		}, status: 422, header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"}, "X-Given": {"a"}},
			body: "the answer has more than 1048576 bytes: ask for less at a time\n"},
		{name: "an error in place of what was written", next: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Given", "b")
			_, _ = w.Write(large)
			answer.Reset(w)
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "broken")
		}, status: 500, header: http.Header{"Content-Length": {"6"}, "X-Given": {"a"}}, body: "broken"},
		{name: "largest, again", next: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) }, status: 200,
			header: http.Header{"Content-Length": {"1048576"}, "X-Given": {"a"}}, body: string(large)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			w.Header().Set("X-Given", "a")
			pool.Handler(tt.next, refuse).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
			if got := fmt.Sprint(w.Code, w.Header()); got != fmt.Sprint(tt.status, tt.header) || w.Body.String() != tt.body {
				t.Errorf("%s and %d bytes, want %d %v and %d bytes", got, w.Body.Len(), tt.status, tt.header, len(tt.body))
			}
		})
	}
	func() {
		defer func() { _ = recover() }()
		pool.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(large)
			panic("broken")
		}), refuse).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	}()
	w := httptest.NewRecorder()
	pool.Handler(tests[3].next, refuse).ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/", nil))
	if w.Body.Len() != len(large) {
		t.Errorf("after a panic: status %d, %d bytes", w.Code, w.Body.Len())
	}
}
