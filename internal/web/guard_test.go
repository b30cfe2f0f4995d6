package web_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/web"
)

// arrived is a request as a server gives it to a handler: with the address that
// it came in over.
func arrived(method, target, host, over string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Host = host
	if over == "" {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP(over), Port: 8101}))
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }

func TestGuardRefusesForeignNamesOnLoopback(t *testing.T) {
	tests := []struct {
		name, host, over string
		status           int
	}{
		{name: "localhost", host: "localhost:8101", over: "127.0.0.1", status: 200},
		{name: "localhost without a port", host: "localhost", over: "127.0.0.1", status: 200},
		{name: "in capitals", host: "LocalHost:8101", over: "127.0.0.1", status: 200},
		{name: "IPv4", host: "127.0.0.1:8101", over: "127.0.0.1", status: 200},
		{name: "another loopback address", host: "127.8.8.8:8101", over: "127.0.0.1", status: 200},
		{name: "IPv6", host: "[::1]:8101", over: "::1", status: 200},
		{name: "IPv6 without a port", host: "[::1]", over: "::1", status: 200},
		{name: "allowed", host: "lab.test:8101", over: "127.0.0.1", status: 200},
		{name: "allowed, other case", host: "LAB.TEST", over: "127.0.0.1", status: 200},
		{name: "allowed in capitals", host: "other.test", over: "127.0.0.1", status: 200},
		{name: "rebound name", host: "evil.test:8101", over: "127.0.0.1", status: 421},
		{name: "rebound name over IPv6", host: "evil.test", over: "::1", status: 421},
		{name: "rebound name over mapped IPv4", host: "evil.test", over: "::ffff:127.0.0.1", status: 421},
		{name: "name that begins as an allowed one", host: "lab.test.evil.test", over: "127.0.0.1", status: 421},
		{name: "name that ends as localhost", host: "evil-localhost", over: "127.0.0.1", status: 421},
		{name: "public address", host: "203.0.113.7", over: "127.0.0.1", status: 421},
		{name: "any address", host: "0.0.0.0:8101", over: "127.0.0.1", status: 421},
		{name: "no name", host: "", over: "127.0.0.1", status: 421},
		{name: "other interface", host: "evil.test", over: "172.17.0.2", status: 200},
		{name: "no address known", host: "evil.test", status: 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := httptest.NewRecorder()
			web.Guard(http.HandlerFunc(ok), "lab.test", "Other.Test").ServeHTTP(out, arrived(http.MethodGet, "/", tt.host, tt.over))
			if out.Code != tt.status {
				t.Errorf("status %d, want %d: %s", out.Code, tt.status, out.Body)
			}
			if out.Header().Get("Content-Security-Policy") != web.DataPolicy {
				t.Error("no Content-Security-Policy")
			}
		})
	}
}

func TestGuardSaysHowToAllowAName(t *testing.T) {
	out := httptest.NewRecorder()
	web.Guard(http.HandlerFunc(ok)).ServeHTTP(out, arrived(http.MethodGet, "/", "evil.test", "127.0.0.1"))
	want := `{"title":"Misdirected Request","status":421,"detail":"This machine does not serve the host \"evil.test\". ` +
		`Use http://localhost:8101, or allow the name with --allow-host.","parameter":"Host","value":"evil.test"}` + "\n"
	if diff := cmp.Diff(want, out.Body.String()); diff != "" {
		t.Errorf("problem (-want +got):\n%s", diff)
	}
}

// TestGuardOnARealListener: the server tells which address a request came in
// over; the table above only pretends.
func TestGuardOnARealListener(t *testing.T) {
	server := httptest.NewServer(web.Guard(http.HandlerFunc(ok)))
	defer server.Close()
	for host, want := range map[string]int{"localhost": 200, "evil.test": 421} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("host %s: %d, want %d", host, resp.StatusCode, want)
		}
	}
}

func TestGuardRefusesPostsOfOtherSites(t *testing.T) {
	tests := []struct {
		name, method string
		headers      []string
		status       int
	}{
		{name: "own page", method: "POST", headers: []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://localhost:8102"}, status: 200},
		{name: "own page, older browser", method: "POST", headers: []string{"Origin", "http://localhost:8102"}, status: 200},
		{name: "typed by hand", method: "POST", headers: []string{"Sec-Fetch-Site", "none"}, status: 200},
		{name: "no browser", method: "POST", status: 200},
		{name: "another site", method: "POST", headers: []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"}, status: 403},
		{name: "another port", method: "POST", headers: []string{"Sec-Fetch-Site", "same-site", "Origin", "http://localhost:3000"}, status: 403},
		{name: "another port, older browser", method: "POST", headers: []string{"Origin", "http://localhost:3000"}, status: 403},
		{name: "no origin", method: "POST", headers: []string{"Origin", "null"}, status: 403},
		{name: "PUT", method: "PUT", headers: []string{"Sec-Fetch-Site", "cross-site"}, status: 403},
		{name: "DELETE", method: "DELETE", headers: []string{"Sec-Fetch-Site", "cross-site"}, status: 403},
		{name: "link from another site", method: "GET", headers: []string{"Sec-Fetch-Site", "cross-site"}, status: 200},
		{name: "HEAD from another site", method: "HEAD", headers: []string{"Sec-Fetch-Site", "cross-site"}, status: 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := arrived(tt.method, "/roll", "localhost:8102", "127.0.0.1")
			for i := 0; i < len(tt.headers); i += 2 {
				r.Header.Set(tt.headers[i], tt.headers[i+1])
			}
			out := httptest.NewRecorder()
			web.Guard(http.HandlerFunc(ok)).ServeHTTP(out, r)
			if out.Code != tt.status {
				t.Errorf("status %d, want %d", out.Code, tt.status)
			}
			const refusal = `{"title":"Forbidden","status":403,"detail":"This form was sent by a page of another site. Open http://localhost:8102/ and send it from there."}` + "\n"
			if tt.status == 403 && out.Body.String() != refusal {
				t.Errorf("problem %s, want %s", out.Body, refusal)
			}
		})
	}
}

func TestGuardSetsSecurityHeaders(t *testing.T) {
	out := httptest.NewRecorder()
	web.Guard(http.HandlerFunc(ok)).ServeHTTP(out, arrived(http.MethodGet, "/", "localhost", "127.0.0.1"))
	want := http.Header{
		"Content-Security-Policy": {"default-src 'none'; frame-ancestors 'none'"},
		"X-Content-Type-Options":  {"nosniff"},
		"Content-Type":            {"text/plain; charset=utf-8"}, // the recorder's guess
	}
	if diff := cmp.Diff(want, out.Header()); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestPageMayLoadItsOwnFiles(t *testing.T) {
	out := httptest.NewRecorder()
	page := func(w http.ResponseWriter, _ *http.Request) { web.Page(w.Header()) }
	web.Guard(http.HandlerFunc(page)).ServeHTTP(out, arrived(http.MethodGet, "/", "localhost", "127.0.0.1"))
	want := http.Header{
		"Content-Security-Policy": {"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; " +
			"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"},
		"X-Content-Type-Options": {"nosniff"},
		"Referrer-Policy":        {"same-origin"},
		"Content-Type":           {"text/html; charset=utf-8"},
	}
	if diff := cmp.Diff(want, out.Header()); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestGuardFormsBoundsTheBody(t *testing.T) {
	const limit = 64 << 10
	for _, tt := range []struct {
		name    string
		guard   func(http.Handler, ...string) http.Handler
		size    int
		tooMuch bool
	}{
		{name: "forms at the limit", guard: web.GuardForms, size: limit},
		{name: "forms above it", guard: web.GuardForms, size: limit + 1, tooMuch: true},
		{name: "others are bounded by their handlers", guard: web.Guard, size: limit + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var read int
			var readErr error
			handler := tt.guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				read, readErr = len(body), err
			}))
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/roll", strings.NewReader(strings.Repeat("x", tt.size))))
			var tooLarge *http.MaxBytesError
			if errors.As(readErr, &tooLarge) != tt.tooMuch {
				t.Errorf("reading %d bytes: %v", tt.size, readErr)
			}
			if want := min(tt.size, limit); tt.tooMuch && read != want || !tt.tooMuch && read != tt.size {
				t.Errorf("read %d bytes of %d", read, tt.size)
			}
		})
	}
}
