package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"dicelab/internal/web"
)

func TestGuardCORS(t *testing.T) {
	h := web.GuardCORS(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }),
		[]string{"https://shop.example"}, "--cors-origin", "lab.example")
	open := web.GuardCORS(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }), []string{"*"}, "--cors-origin")
	for _, tt := range []struct {
		name    string
		handler http.Handler
		method  string
		host    string
		origin  string
		ask     string // Access-Control-Request-Headers of a preflight
		status  int
		allowed string // Access-Control-Allow-Origin
	}{
		{name: "no browser", method: http.MethodPost, status: http.StatusTeapot},
		{name: "a page of localhost", method: http.MethodPost, origin: "http://localhost:3000", status: http.StatusTeapot, allowed: "http://localhost:3000"},
		{name: "of a name below it", method: http.MethodPost, origin: "https://shop.localhost", status: http.StatusTeapot, allowed: "https://shop.localhost"},
		{name: "of a loopback address", method: http.MethodPost, origin: "http://[::1]:5173", status: http.StatusTeapot, allowed: "http://[::1]:5173"},
		{name: "of an allowed origin", method: http.MethodPost, origin: "https://shop.example", status: http.StatusTeapot, allowed: "https://shop.example"},
		{name: "of another", method: http.MethodPost, origin: "https://evil.example", status: http.StatusForbidden},
		{name: "of a name that looks like localhost", method: http.MethodPost, origin: "https://localhost.evil.example", status: http.StatusForbidden},
		{name: "of another scheme", method: http.MethodPost, origin: "http://shop.example", status: http.StatusForbidden},
		{name: "without an origin of its own", method: http.MethodPost, origin: "null", status: http.StatusForbidden},
		{name: "with all allowed", handler: open, method: http.MethodPost, origin: "https://evil.example", status: http.StatusTeapot, allowed: "https://evil.example"},
		{name: "a preflight", method: http.MethodOptions, origin: "http://localhost:3000", ask: "content-type,x-key", status: http.StatusNoContent, allowed: "http://localhost:3000"},
		{name: "a preflight of another", method: http.MethodOptions, origin: "https://evil.example", ask: "content-type", status: http.StatusForbidden},
		{name: "a page that reads", method: http.MethodGet, origin: "http://localhost:3000", status: http.StatusForbidden},
		{name: "a foreign name of this machine", method: http.MethodPost, host: "evil.example", origin: "http://localhost:3000", status: http.StatusMisdirectedRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := httptest.NewRequest(tt.method, "http://localhost:4318/v1/traces", nil)
			if tt.host != "" {
				req.Host = tt.host
			}
			if tt.origin != "" {
				req.Header.Set("Origin", tt.origin)
			}
			if tt.ask != "" {
				req.Header.Set("Access-Control-Request-Method", http.MethodPost)
				req.Header.Set("Access-Control-Request-Headers", tt.ask)
			}
			handler := tt.handler
			if handler == nil {
				handler = h
			}
			rec := httptest.NewRecorder()
			handler.ServeHTTP(rec, req)
			if rec.Code != tt.status || rec.Header().Get("Access-Control-Allow-Origin") != tt.allowed {
				t.Errorf("status %d, allowed %q, want %d and %q: %s", rec.Code, rec.Header().Get("Access-Control-Allow-Origin"), tt.status, tt.allowed, rec.Body)
			}
			if tt.status == http.StatusNoContent && (rec.Header().Get("Access-Control-Allow-Headers") != tt.ask || rec.Header().Get("Access-Control-Allow-Methods") != http.MethodPost) {
				t.Errorf("the preflight was answered with %v", rec.Header())
			}
		})
	}
}

func TestCheckOrigin(t *testing.T) {
	for text, ok := range map[string]bool{
		"*": true, "https://shop.example": true, "http://localhost:3000": true,
		"": false, "shop.example": false, "https://shop.example/": false, "ftp://shop.example": false, "https://user@shop.example": false,
	} {
		if err := web.CheckOrigin(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
