package explorer_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestFindID checks that a trace is found by each form in which its ID is shown, here and
// by other programs.
func TestFindID(t *testing.T) {
	l := start(t)
	uuid := traceFair[:8] + "-" + traceFair[8:12] + "-" + traceFair[12:16] + "-" + traceFair[16:20] + "-" + traceFair[20:]
	for _, text := range []string{traceFair, strings.ToUpper(traceFair), " " + traceFair + " ", "0x" + traceFair, uuid, "00-" + traceFair + "-00f067aa0ba902b7-01",
		traceFair[:8], strings.ToUpper(traceFair[:8]), traceFair[:20]} {
		resp := get(t, l.handler, "/traces?q="+url.QueryEscape(text))
		if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || got != "/traces/"+traceFair {
			t.Errorf("%q: %d to %q", text, resp.StatusCode, got)
		}
	}
	p := page(t, l.handler, "/traces?q=ffffffff", 400)
	contains(t, p.one(t, "#q-error").text(), "no trace of the last 48 hours has an ID that begins with ffffffff: to find an older one, give all 32 digits")
	if resp := get(t, l.handler, "/traces/"+traceFair[:8]); resp.Header.Get("Location") != "/traces?q="+traceFair[:8] {
		t.Errorf("a short ID leads to %q", resp.Header.Get("Location"))
	}
	if got := page(t, l.handler, "/logs?trace_id="+uuid, 200).one(t, "input.mono").attr("value"); got != traceFair {
		t.Errorf("the page Logs looks for %q", got)
	}
}

// TestBackToTheSearch checks that the way back from a trace leads to the search that was
// left, and that the rest of a long result is reached.
func TestBackToTheSearch(t *testing.T) {
	l := start(t)
	const search = "/traces?q=%7Bname%3D%22roll%22%7D&since=6h"
	for referer, want := range map[string]string{"": "/traces", "http://example.com" + search: search, "http://elsewhere.test" + search: "/traces", "http://example.com/logs?q=x": "/traces"} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/traces/"+traceFair, nil)
		req.Header.Set("Referer", referer)
		rec := httptest.NewRecorder()
		l.handler.ServeHTTP(rec, req)
		if got := parsed(t, "the trace", rec.Result(), 200).one(t, ".crumb").one(t, "a").attr("href"); got != want {
			t.Errorf("from %q back to %q, want %q", referer, got, want)
		}
	}
	seen := map[string]bool{}
	for target := "/traces?limit=15&since=6h"; target != ""; {
		p := page(t, l.handler, target, 200)
		target = ""
		for _, row := range p.all("tr[data-trace]") {
			seen[row.attr("data-trace")] = true
		}
		for _, a := range p.all("a") {
			if a.text() == "Older traces" {
				target = a.attr("href")
			}
		}
		if len(seen) > 100 {
			t.Fatal("it does not end")
		}
	}
	if len(seen) != 40 {
		t.Errorf("%d traces are reached, want 40", len(seen))
	}
}
