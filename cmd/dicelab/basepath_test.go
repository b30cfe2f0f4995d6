package main_test

import (
	"html"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestBasePath checks that every link, form and file of the explorer's pages is below
// --base-path and is there, whether the proxy in front passes the path on or leaves it
// out.
func TestBasePath(t *testing.T) {
	t.Parallel()
	l := startLab(t, t.TempDir(), nil, "--base-path", "/lab")
	at := l.url(t, "explorer")
	read := func(path string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultTransport.RoundTrip(req) // follows no redirect
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	local := regexp.MustCompile(`(href|src|action)="(/[^"]*)|url=(/[^"]*)`)
	seen := map[string]bool{}
	for next := []string{"/lab/", "/lab/traces/00000000000000000000000000abcdef"}; len(next) > 0; next = next[1:] {
		path := next[0]
		if seen[path] || len(seen) > 60 {
			continue
		}
		seen[path] = true
		resp, body := read(path)
		if missing := strings.HasPrefix(path, "/lab/traces/0"); resp.StatusCode != 200 && !missing {
			t.Errorf("%s: %s", path, resp.Status)
		}
		if _, direct := read(strings.TrimPrefix(path, "/lab")); resp.StatusCode == 200 && len(direct) == 0 {
			t.Errorf("%s without its path is empty", path)
		}
		if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
			continue
		}
		for _, m := range local.FindAllStringSubmatch(body, -1) {
			to, _, _ := strings.Cut(html.UnescapeString(m[2]+m[3]), "#")
			if !strings.HasPrefix(to, "/lab/") {
				t.Errorf("%s leads to %s", path, to)
				continue
			}
			if m[1] == "href" || m[1] == "src" { // a form may be for posting alone
				next = append(next, to)
			}
		}
	}
	for _, path := range []string{"/lab/", "/lab/traces", "/lab/logs", "/lab/metrics", "/lab/assets/explorer.css", "/lab/assets/explorer.js"} {
		if !seen[path] {
			t.Errorf("%s was not reached", path)
		}
	}
	for path, want := range map[string]string{"/lab": "/lab/", "/lab/traces/ABCDEF00000000000000": "/lab/traces/000000000000abcdef00000000000000"} {
		if resp, _ := read(path); resp.Header.Get("Location") != want {
			t.Errorf("%s leads to %q, want %q", path, resp.Header.Get("Location"), want)
		}
	}
	l.stop(t)
}
