package web_test

import (
	std "cmp"
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

// arrived returns a request as a server gives it to a handler: with the address that
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

func TestGuardRefusesForeignNames(t *testing.T) {
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
		{name: "allowed, with a final dot", host: "lab.test.:8101", over: "127.0.0.1", status: 200},
		{name: "localhost with a final dot", host: "localhost.", over: "127.0.0.1", status: 200},
		{name: "IPv6 of no interface", host: "[::]:8101", over: "::1", status: 421},
		{name: "rebound name in a container", host: "evil.test:8102", over: "172.17.0.2", status: 421},
		{name: "rebound name over IPv6 elsewhere", host: "evil.test", over: "2001:db8::1", status: 421},
		{name: "published port", host: "localhost:8102", over: "172.17.0.2", status: 200},
		{name: "published port, by address", host: "127.0.0.1:8102", over: "172.17.0.2", status: 200},
		{name: "published port, by IPv6", host: "[::1]:8102", over: "172.17.0.2", status: 200},
		{name: "probe by address", host: "172.17.0.2:8501", over: "172.17.0.2", status: 200},
		{name: "address of a network", host: "192.0.2.7:8102", over: "192.0.2.7", status: 200},
		{name: "IPv6 of a network", host: "[2001:db8::1]:8102", over: "2001:db8::1", status: 200},
		{name: "allowed name of a network", host: "lab.test:8102", over: "192.0.2.7", status: 200},
		{name: "any address through a published port", host: "0.0.0.0:8102", over: "172.17.0.2", status: 421},
		{name: "any IPv6 address through a published port", host: "[::]:8102", over: "172.17.0.2", status: 421},
		{name: "mapped any address", host: "[::ffff:0.0.0.0]:8102", over: "172.17.0.2", status: 421},
		{name: "number that is no address", host: "2130706433", over: "172.17.0.2", status: 421},
		{name: "no name elsewhere", host: "", over: "172.17.0.2", status: 421},
		{name: "no address known", host: "evil.test", status: 421},
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
	for _, tt := range []struct{ over, host, detail string }{
		{"127.0.0.1", "lab.test", `This machine does not serve the host \"lab.test\". Use http://localhost:8101, or allow the name with --allow-host lab.test.`},
		{"172.17.0.2", "lab.test", `This machine does not serve the host \"lab.test\". Use its IP address, or allow the name with --allow-host lab.test.`},
		{"172.17.0.2", "$(rm)", `This machine does not serve the host \"$(rm)\". Use its IP address, or allow the name with --allow-host NAME.`},
	} {
		out := httptest.NewRecorder()
		web.Guard(http.HandlerFunc(ok)).ServeHTTP(out, arrived(http.MethodGet, "/", tt.host, tt.over))
		want := `{"title":"Misdirected Request","status":421,"detail":"` + tt.detail + `","parameter":"Host","value":"` + tt.host + `"}` + "\n"
		if diff := cmp.Diff(want, out.Body.String()); diff != "" {
			t.Errorf("problem (-want +got):\n%s", diff)
		}
	}
}

func TestCheckHost(t *testing.T) {
	for name, good := range map[string]bool{
		"lab.example": true, "dice-roller": true, "a_b.C9": true, "": false, "http://lab": false, "lab:8101": false, "*.example": false,
		"lab example": false, "läb": false, strings.Repeat("a", 254): false,
	} {
		if err := web.CheckHost(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestGuardOnARealListener uses the local address that the server finds for a request; the table
// above sets it by hand.
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

// What a browser says of a request: the headers of W3C's Fetch Metadata, without
// the prefix Sec-Fetch, and Origin.
type fetch struct{ site, mode, dest, origin, purpose string }

// The answers to requests of pages elsewhere: to a page or a query, and to what
// NoLinks stands in front of.
func TestGuardRefusesOtherSites(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", ok)
	mux.Handle("/effect", web.NoLinks(http.HandlerFunc(ok)))
	server := httptest.NewServer(web.Guard(mux))
	defer server.Close()
	own := server.URL
	const evil = "https://evil.test"
	const form, background, link = "A page of another site sent this", "A page of another site requested this", "This link stands on a page of another site"
	for _, tt := range []struct {
		name, method string
		fetch
		page, effect string // how the refusal begins; "" for a 200
	}{
		{name: "no browser"},
		{name: "no browser, POST", method: "POST"},
		{name: "typed", fetch: fetch{site: "none", mode: "navigate", dest: "document"}},
		{name: "typed, POST", method: "POST", fetch: fetch{site: "none", mode: "navigate", dest: "document"}},
		{name: "own link", fetch: fetch{site: "same-origin", mode: "navigate", dest: "document"}},
		{name: "own script", fetch: fetch{site: "same-origin", mode: "cors", dest: "empty"}},
		{name: "own form", method: "POST", fetch: fetch{site: "same-origin", mode: "navigate", dest: "document", origin: own}},
		{name: "own form, older browser", method: "POST", fetch: fetch{origin: own}},
		{name: "own script, older browser", fetch: fetch{origin: own}},

		{name: "link", fetch: fetch{site: "cross-site", mode: "navigate", dest: "document"}, effect: link},
		{name: "link of another port", fetch: fetch{site: "same-site", mode: "navigate", dest: "document"}, effect: link},
		{name: "img", fetch: fetch{site: "cross-site", mode: "no-cors", dest: "image"}, page: background},
		{name: "img of another port", fetch: fetch{site: "same-site", mode: "no-cors", dest: "image"}, page: background},
		{name: "script", fetch: fetch{site: "cross-site", mode: "no-cors", dest: "script"}, page: background},
		{name: "style", fetch: fetch{site: "cross-site", mode: "no-cors", dest: "style"}, page: background},
		{name: "fetch", fetch: fetch{site: "cross-site", mode: "cors", dest: "empty", origin: evil}, page: background},
		{name: "fetch no-cors", fetch: fetch{site: "cross-site", mode: "no-cors", dest: "empty"}, page: background},
		{name: "fetch, older browser", fetch: fetch{origin: evil}, page: background},
		{name: "fetch of a sandbox, older browser", fetch: fetch{origin: "null"}, page: background},
		{name: "fetch HEAD", method: "HEAD", fetch: fetch{site: "cross-site", mode: "cors", dest: "empty", origin: evil}, page: background},
		{name: "HEAD that calls itself a link", method: "HEAD", fetch: fetch{site: "cross-site", mode: "navigate", dest: "document"}, page: background},
		{name: "preflight", method: "OPTIONS", fetch: fetch{site: "cross-site", mode: "cors", dest: "empty", origin: evil}, page: form},
		{name: "WebSocket", fetch: fetch{site: "cross-site", mode: "websocket", dest: "websocket", origin: evil}, page: background},
		{name: "WebSocket, older browser", fetch: fetch{origin: evil}, page: background},
		{name: "frame", fetch: fetch{site: "cross-site", mode: "navigate", dest: "iframe"}, page: background},
		{name: "frame of another port", fetch: fetch{site: "same-site", mode: "navigate", dest: "iframe"}, page: background},
		{name: "object", fetch: fetch{site: "cross-site", mode: "navigate", dest: "object"}, page: background},
		{name: "embed", fetch: fetch{site: "cross-site", mode: "no-cors", dest: "embed"}, page: background},
		{name: "prefetch", fetch: fetch{site: "cross-site", mode: "no-cors", dest: "empty", purpose: "prefetch"}, page: background},
		{name: "prefetch of a page", fetch: fetch{site: "cross-site", mode: "navigate", dest: "document", purpose: "prefetch"}, page: background},
		{name: "prerendered page", fetch: fetch{site: "cross-site", mode: "navigate", dest: "document", purpose: "prefetch;prerender"}, page: background},
		{name: "word of a later standard", fetch: fetch{site: "near-site", mode: "no-cors", dest: "image"}, page: background},
		{name: "form", method: "POST", fetch: fetch{site: "cross-site", mode: "navigate", dest: "document", origin: evil}, page: form},
		{name: "form of another port", method: "POST", fetch: fetch{site: "same-site", mode: "navigate", dest: "document", origin: "http://localhost:3000"}, page: form},
		{name: "form of another port, older browser", method: "POST", fetch: fetch{origin: "http://localhost:3000"}, page: form},
		{name: "form of a sandbox, older browser", method: "POST", fetch: fetch{origin: "null"}, page: form},
		{name: "PUT", method: "PUT", fetch: fetch{site: "cross-site"}, page: form},
		{name: "DELETE", method: "DELETE", fetch: fetch{site: "cross-site"}, page: form},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for path, want := range map[string]string{"/": tt.page, "/effect": std.Or(tt.page, tt.effect)} {
				req, err := http.NewRequestWithContext(t.Context(), tt.method, server.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				for name, value := range map[string]string{"Sec-Fetch-Site": tt.site, "Sec-Fetch-Mode": tt.mode, "Sec-Fetch-Dest": tt.dest, "Origin": tt.origin, "Sec-Purpose": tt.purpose} {
					if value != "" {
						req.Header.Set(name, value)
					}
				}
				resp, err := server.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if err = errors.Join(err, resp.Body.Close()); err != nil {
					t.Fatal(err)
				}
				status := http.StatusOK
				if want != "" {
					status, want = http.StatusForbidden, `{"title":"Forbidden","status":403,"detail":"`+want
				}
				if resp.StatusCode != status || tt.method != "HEAD" && !strings.HasPrefix(string(body), want) {
					t.Errorf("%s: answer %d %s, want %d %s", path, resp.StatusCode, body, status, want)
				}
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
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "http://localhost/roll", strings.NewReader(strings.Repeat("x", tt.size))))
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
