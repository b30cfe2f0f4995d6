package web_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"dicelab/internal/web"
)

func TestMain(m *testing.M) {
	// net/http lingers half a second on a connection whose request it refused, so
	// that the caller gets to read why.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

func TestAsset(t *testing.T) {
	const css = "body { color: red }"
	asset := web.Asset("text/css; charset=utf-8", []byte(css))
	get := func(method, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/assets/x.css", nil)
		if tag != "" {
			r.Header.Set("If-None-Match", tag)
		}
		out := httptest.NewRecorder()
		asset.ServeHTTP(out, r)
		return out
	}
	first := get("GET", "")
	tag := first.Header().Get("ETag")
	if len(tag) != 18 || tag[0] != '"' {
		t.Fatalf("entity tag %q, want 16 digits in quotes", tag)
	}
	tests := []struct {
		name, method, tag string
		status            int
		body, kind        string
	}{
		{name: "first time", method: "GET", status: 200, body: css, kind: "text/css; charset=utf-8"},
		{name: "HEAD", method: "HEAD", status: 200, kind: "text/css; charset=utf-8"},
		{name: "same", method: "GET", tag: tag, status: 304},
		{name: "weakened by a proxy", method: "GET", tag: "W/" + tag, status: 304},
		{name: "one of several", method: "GET", tag: `"old", ` + tag, status: 304},
		{name: "any", method: "GET", tag: "*", status: 304},
		{name: "older", method: "GET", tag: `"0000000000000000"`, status: 200, body: css, kind: "text/css; charset=utf-8"},
		{name: "without quotes", method: "GET", tag: strings.Trim(tag, `"`), status: 200, body: css, kind: "text/css; charset=utf-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := get(tt.method, tt.tag)
			got := []any{out.Code, out.Body.String(), out.Header().Get("Content-Type"), out.Header().Get("ETag"), out.Header().Get("Cache-Control")}
			if diff := cmp.Diff([]any{tt.status, tt.body, tt.kind, tag, "no-cache"}, got); diff != "" {
				t.Errorf("status, body, type, tag, caching (-want +got):\n%s", diff)
			}
		})
	}
	other := httptest.NewRecorder()
	web.Asset("text/css", []byte("body {}")).ServeHTTP(other, httptest.NewRequest("GET", "/", nil))
	if other.Header().Get("ETag") == tag {
		t.Error("two contents have one entity tag")
	}
}

func TestTheme(t *testing.T) {
	out := httptest.NewRecorder()
	web.Theme().ServeHTTP(out, httptest.NewRequest("GET", "/assets/theme.css", nil))
	if out.Code != 200 || out.Header().Get("Content-Type") != "text/css; charset=utf-8" || out.Body.String() != string(web.ThemeCSS) {
		t.Errorf("answer %d %s, %d bytes", out.Code, out.Header().Get("Content-Type"), out.Body.Len())
	}
	for _, host := range []string{"http:", "https:", "url(", "@import"} {
		if strings.Contains(string(web.ThemeCSS), host) {
			t.Errorf("the style sheet loads something: %s", host)
		}
	}
}

func TestURL(t *testing.T) {
	tests := []struct {
		addr net.Addr
		want string
	}{
		{&net.TCPAddr{IP: net.ParseIP("127.0.0.1"), Port: 8100}, "http://localhost:8100"},
		{&net.TCPAddr{IP: net.ParseIP("::1"), Port: 8100}, "http://[::1]:8100"},
		{&net.TCPAddr{IP: net.ParseIP("127.0.0.2"), Port: 8100}, "http://127.0.0.2:8100"},
		{&net.TCPAddr{IP: net.ParseIP("0.0.0.0"), Port: 80}, "http://localhost:80"},
		{&net.TCPAddr{IP: net.ParseIP("::"), Port: 80}, "http://localhost:80"},
		{&net.TCPAddr{Port: 80}, "http://:80"},
		{&net.TCPAddr{IP: net.ParseIP("192.0.2.7"), Port: 8100}, "http://192.0.2.7:8100"},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8::7"), Port: 8100}, "http://[2001:db8::7]:8100"},
		{&net.UnixAddr{Name: "socket", Net: "unix"}, "http://socket"},
	}
	for _, tt := range tests {
		t.Run(tt.addr.String(), func(t *testing.T) {
			if got := web.URL(tt.addr); got != tt.want {
				t.Errorf("URL %q, want %q", got, tt.want)
			}
		})
	}
}

// serve starts a server and returns it with what Serve will return.
func serve(t *testing.T, handler http.Handler) (*web.Server, <-chan error) {
	t.Helper()
	l, err := web.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := web.NewServer(l, handler)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve() }()
	t.Cleanup(func() { _ = server.Close() })
	return server, ended
}

func get(t *testing.T, url string, headers ...string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func TestServerDrains(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	server, ended := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		_, _ = io.WriteString(w, "4")
	}))
	type answer struct {
		body string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		_, body, err := get(t, server.URL())
		answered <- answer{body, err}
	}()
	<-begun
	drained := make(chan error, 1)
	go func() { drained <- server.Shutdown(context.WithoutCancel(t.Context())) }()
	if err := <-ended; err != nil { // it stops taking connections first
		t.Errorf("Serve says %v, want nil after a shutdown", err)
	}
	if _, _, err := get(t, server.URL()); err == nil {
		t.Error("a new request was taken while draining")
	}
	close(finish)
	if err := <-drained; err != nil {
		t.Errorf("Shutdown says %v", err)
	}
	if a := <-answered; a.body != "4" || a.err != nil {
		t.Errorf("the open request got %q, %v", a.body, a.err)
	}
}

func TestServerCutsOffWhatDoesNotEnd(t *testing.T) {
	begun := make(chan struct{})
	server, ended := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done() // the cut connection ends it
	}))
	answered := make(chan error, 1)
	go func() {
		_, _, err := get(t, server.URL())
		answered <- err
	}()
	<-begun
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := server.Shutdown(ctx)
	if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "draining "+server.URL()+": ") {
		t.Errorf("Shutdown says %v", err)
	}
	if err := <-answered; err == nil {
		t.Error("the open request got an answer")
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve says %v", err)
	}
}

// Work that outlives a request ends when the server drains, and its answer is read to
// its end.
func TestWorkEndsWhenTheServerDrains(t *testing.T) {
	begun := make(chan struct{})
	server, ended := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		ctx, cancel := web.UntilDraining(r.Context())
		defer cancel()
		<-ctx.Done()
		_, _ = io.WriteString(w, "the end")
	}))
	answered := make(chan string, 1)
	go func() {
		_, body, err := get(t, server.URL())
		answered <- fmt.Sprint(body, err)
	}()
	<-begun
	for range 2 {
		if err := server.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Shutdown says %v", err)
		}
	}
	if got := <-answered; got != "the end<nil>" {
		t.Errorf("the open request got %s", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve says %v", err)
	}
	ctx, cancel := web.UntilDraining(t.Context())
	if ctx.Err() != nil {
		t.Error("a context of no server is drained")
	}
	cancel()
}

func TestServeReportsABrokenListener(t *testing.T) {
	l, err := web.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := web.NewServer(l, http.HandlerFunc(ok))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); !errors.Is(err, net.ErrClosed) || !strings.HasPrefix(err.Error(), "serving "+server.URL()+": ") {
		t.Errorf("Serve says %v", err)
	}
}

func TestServerBoundsHeaders(t *testing.T) {
	server, _ := serve(t, http.HandlerFunc(ok))
	resp, _, err := get(t, server.URL(), "X-Padding", strings.Repeat("x", 128<<10))
	if err == nil && resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d, want 431", resp.StatusCode)
	}
	if resp, body, err := get(t, server.URL(), "X-Padding", strings.Repeat("x", 32<<10)); err != nil || resp.StatusCode != 200 || body != "ok" {
		t.Errorf("a header of 32 KiB: %v %v", resp, err)
	}
}

func TestListenSaysWhichAddressIsTaken(t *testing.T) {
	l, err := web.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if _, err := web.Listen(t.Context(), l.Addr().String()); err == nil || !strings.HasPrefix(err.Error(), "listening on "+l.Addr().String()+": ") {
		t.Errorf("Listen says %v", err)
	}
}

// A full listener closes new connections, and accepts others again when one has ended.
func TestLimit(t *testing.T) {
	l, err := web.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := web.NewServer(web.Limit(l, 2), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	// ask sends a request on a connection that stays open, and gives its status: 0
	// if the server hung up.
	ask := func() (net.Conn, int) {
		t.Helper()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // some are closed below
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			return conn, 0
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return conn, 0
		}
		return conn, res.StatusCode
	}
	first, status := ask()
	if status != http.StatusNoContent {
		t.Errorf("the first: status %d", status)
	}
	if _, status := ask(); status != http.StatusNoContent {
		t.Errorf("the second: status %d", status)
	}
	if _, status := ask(); status != 0 {
		t.Errorf("the third: status %d, want the server to hang up", status)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for { // the server sees it when it sees it
		if _, status := ask(); status == http.StatusNoContent {
			return
		}
	}
}
