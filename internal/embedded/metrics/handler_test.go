package metrics_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/metrics"
)

const explorer = "http://localhost:8100"

// open returns a server that scrapes nothing and is not run.
func open(t testing.TB, o metrics.Options) *metrics.Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := metrics.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// ask sends one request directly to the handler.
func ask(s *metrics.Server, method, target string) *http.Response {
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w.Result()
}

// body returns the body of a response that is in memory.
func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRedirects(t *testing.T) {
	noLeaks(t)
	with := open(t, metrics.Options{Explorer: explorer})
	below := open(t, metrics.Options{Explorer: "https://lab.example/dice/"})
	without := open(t, metrics.Options{})
	for _, tt := range []struct {
		name, path, want string
		server           *metrics.Server
	}{
		{name: "start page", server: with, path: "/", want: explorer + "/"},
		{name: "targets", server: with, path: "/targets", want: explorer + "/targets"},
		{name: "query", server: with, path: "/query", want: explorer + "/metrics"},
		{name: "graph with an expression", server: with, path: "/graph?g0.expr=sum(up)&g0.tab=1", want: explorer + "/metrics?g0.expr=sum%28up%29&g0.tab=1&query=sum%28up%29"},
		{name: "query of the explorer's form", server: with, path: "/query?query=up", want: explorer + "/metrics?query=up"},
		{name: "explorer below a path", server: below, path: "/targets", want: "https://lab.example/dice/targets"},
		{name: "no explorer", server: without, path: "/targets"},
		{name: "no explorer, start page", server: without, path: "/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := ask(tt.server, http.MethodGet, tt.path)
			status := http.StatusFound
			if tt.want == "" {
				status = http.StatusNotFound
			}
			if res.StatusCode != status || res.Header.Get("Location") != tt.want {
				t.Errorf("got %d to %q, want %d to %q", res.StatusCode, res.Header.Get("Location"), status, tt.want)
			}
		})
	}
}

func TestNotServed(t *testing.T) {
	noLeaks(t)
	s := open(t, metrics.Options{Explorer: explorer})
	for _, tt := range []struct {
		method, path, contentType string
	}{
		{http.MethodPost, "/api/v1/otlp/v1/metrics", "application/json"},
		{http.MethodPost, "/api/v1/admin/tsdb/delete_series", "application/json"},
		{http.MethodPut, "/api/v1/admin/tsdb/snapshot", "application/json"},
		{http.MethodGet, "/api/v1/notifications/live", "application/json"},
		{http.MethodGet, "/api/v1/", "application/json"},
		{http.MethodPost, "/-/reload", "text/plain; charset=utf-8"},
		{http.MethodPost, "/-/quit", "text/plain; charset=utf-8"},
		{http.MethodGet, "/debug/pprof/heap", "text/plain; charset=utf-8"},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			res := ask(s, tt.method, tt.path)
			if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusNotFound || got != tt.contentType {
				t.Errorf("got %d %s, want 404 %s", res.StatusCode, got, tt.contentType)
			}
			text := body(t, res)
			for _, want := range []string{tt.path + " is not served", "/api/v1/query_exemplars", "--stack=native"} {
				if !strings.Contains(text, want) {
					t.Errorf("%q does not contain %q", text, want)
				}
			}
		})
	}
}

func TestMethods(t *testing.T) {
	noLeaks(t)
	s := open(t, metrics.Options{Explorer: explorer})
	for _, tt := range []struct {
		method, path, allow string
	}{
		{http.MethodDelete, "/api/v1/query", "GET, POST"},
		{http.MethodOptions, "/api/v1/query_range", "GET, POST"},
		{http.MethodDelete, "/api/v1/series", "GET, POST"},
		{http.MethodPost, "/api/v1/targets", "GET"},
		{http.MethodPost, "/api/v1/label/job/values", "GET"},
		{http.MethodPost, "/metrics", "GET, HEAD"},
		{http.MethodPost, "/-/healthy", "GET, HEAD"},
		{http.MethodPost, "/targets", "GET, HEAD"},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			res := ask(s, tt.method, tt.path)
			if got := res.Header.Get("Allow"); res.StatusCode != http.StatusMethodNotAllowed || got != tt.allow {
				t.Errorf("got %d, allowed %q; want 405, allowed %q", res.StatusCode, got, tt.allow)
			}
		})
	}
}

func TestOwnMetrics(t *testing.T) {
	noLeaks(t)
	roller := newService(t)
	roller.roll()
	l := start(t, metrics.Options{Targets: []metrics.Target{{Job: contract.ServiceRoller, Address: roller.addr()}}})
	l.wait("dice_rolls_total", "1")
	text := body(t, ask(l.server, http.MethodGet, "/metrics"))
	for _, want := range []string{"\nprometheus_target_scrape_pools_total 1\n", "\nprometheus_tsdb_head_series ", "\nprometheus_engine_queries_concurrent_max 4\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics has no %q", want)
		}
	}
}

// Requests end at their deadline, and when their client is gone; a form and the points of a
// response are bounded.
func TestRequestsAreBounded(t *testing.T) {
	noLeaks(t)
	late := open(t, metrics.Options{Timeout: time.Nanosecond})
	impatient := open(t, metrics.Options{Timeout: 20 * time.Millisecond})
	s := open(t, metrics.Options{})
	gone, leave := context.WithCancel(t.Context())
	leave()
	form := func(size int) *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/query", strings.NewReader("query=1&x="+strings.Repeat("x", size)))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}
	parts := func(name, value string) *http.Request {
		body := "--x\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value
		if value != "" {
			body += "\r\n--x--\r\n"
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/query", strings.NewReader(body))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		return r
	}
	get := func(ctx context.Context, target string) *http.Request {
		return httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/"+target, nil)
	}
	for _, tt := range []struct {
		name   string
		server *metrics.Server
		r      *http.Request
		status int
		text   string
	}{
		{"query, late", late, get(t.Context(), "query?query=1"), 503, `"errorType":"timeout"`},
		{"query_range, late", late, get(t.Context(), "query_range?query=1&start=0&end=1&step=1"), 503, `"errorType":"timeout"`},
		{"series, late", late, get(t.Context(), "series?match[]=up"), 503, `"errorType":"timeout"`},
		{"query, client gone", s, get(gone, "query?query=1"), 499, `"errorType":"canceled"`},
		{"query_range, client gone", s, get(gone, "query_range?query=1&start=0&end=1&step=1"), 499, `"errorType":"canceled"`},
		{"a query that takes too long", impatient, get(t.Context(), "query_range?start=0&end=10000&step=1&query="+url.QueryEscape("max_over_time(vector(1)[1900s:1s])")), 503, `"errorType":"timeout"`},
		{"too much at each step", s, get(t.Context(), "query_range?start=0&end=10000&step=1&query="+url.QueryEscape("quantile_over_time(0.5, vector(1)[100000s:1s])")), 400,
			"the query reads a range of up to 100001 samples at each of up to 110001 steps: ranges times steps may be at most 20000000"},
		{"too many steps", s, get(t.Context(), "query?query="+url.QueryEscape("sum_over_time(vector(1)[1000d:10s])")), 400, "the query has 4 parts of up to 8640001 steps: parts times steps may be at most 2000000"},
		{"too many steps, nested", s, get(t.Context(), "query?query="+url.QueryEscape("sum_over_time(sum_over_time(vector(1)[290y:290y])[290y:10ms])")), 400, "parts times steps may be at most 2000000"},
		{"too many points", s, get(t.Context(), "query_range?query=1&start=0&end=11001&step=1"), 400, "exceeded maximum resolution of 11,000 points"},
		{"a form", s, form(1000), 200, `"status":"success"`},
		{"a form of more than 64 KiB", s, form(64 << 10), 413, "the form has more than 65536 bytes"},
		{"a form in parts", s, parts("query", "1"), 200, `"status":"success"`},
		{"a form in parts, with a large expression", s, parts("query", `up{a=~"(?:x?){1000}"}`), 400, "has 2005 instructions and 0 groups"},
		{"a form in parts that is cut", s, parts("query", ""), 400, "reading the form: "},
		{"minus, often", s, get(t.Context(), "query?query="+url.QueryEscape(strings.Repeat("-", 201)+"1")), 400, "more than 200 operators"},
	} {
		w := httptest.NewRecorder()
		tt.server.Handler().ServeHTTP(w, tt.r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.text) {
			t.Errorf("%s: status %d: %s\nwant %d with %s", tt.name, w.Code, w.Body, tt.status, tt.text)
		}
	}
}

// FuzzHandler requests any path and checks that nothing panics, that there are no server
// errors, and that redirects lead only to the explorer.
func FuzzHandler(f *testing.F) {
	for _, seed := range []string{"/", "/targets", "/query?g0.expr=up", "/graph?g0.expr=%ff", "//elsewhere.example/%2e%2e", "/api/v1/query?query=up",
		"/api/v1/query?query=sum(", "/api/v1/query_range?query=up&start=0&end=1&step=1", "/api/v1/query_range?query=up&start=NaN&end=Inf&step=-1",
		"/api/v1/query_exemplars?query=up&start=0&end=1", "/api/v1/series?match[]=up", "/api/v1/label/%00/values", "/api/v1/label/U__a_20_b/values", "/api/v1/metadata?limit=-1",
		"/api/v1/rules?type=x", "/api/v1/targets?state=any", "/api/v1/query?query=up&stats=all&timeout=1y",
		"/api/v1/query?query=-------(((up^2)^3))", "/api/v1/query?query=up{job=~%22(x?){1000}y%22}", "/api/v1/query?query=label_replace(up,%22a%22,%22$1%22,%22job%22,%22(a|b*)*%22)",
		"/api/v1/query_range?query=sum_over_time(vector(1)[1000d:1s])&start=0&end=1&step=1", "/api/v1/query_range?query=quantile_over_time(.5,vector(1)[1d:1m])&start=0&end=9000&step=1",
		"/api/v1/series?match[]=up&match[]={a!~%60\\pL*(?i)[^a]%60}", "/api/v1/rules?match[]={a=~%22.*%22}"} {
		f.Add(seed)
	}
	s := open(f, metrics.Options{Explorer: explorer, Timeout: time.Second})
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			return // net/http refuses it
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL, r.RequestURI = u, target
		r.Header.Set("Origin", "http://elsewhere.example")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		late := w.Code == http.StatusServiceUnavailable && strings.Contains(w.Body.String(), `"timeout"`)
		if w.Code >= 500 && u.Path != "/-/ready" && !late { // not ready: it is not run
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
		if to := w.Header().Get("Location"); w.Code == http.StatusFound && !strings.HasPrefix(to, explorer+"/") {
			t.Errorf("%s leads to %s", target, to)
		}
	})
}
