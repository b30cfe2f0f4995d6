package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/web"
)

func TestFailToTheByte(t *testing.T) {
	tests := []struct {
		name    string
		problem web.Problem
		want    string
	}{
		{name: "shortest", problem: web.Problem{Status: 404, Detail: "Nothing."}, want: `{"title":"Not Found","status":404,"detail":"Nothing."}`},
		{name: "everything", problem: web.Problem{Title: "Own", Status: 422, Detail: "Bad.", Parameter: "die", Value: "round", Allowed: []string{"fair", "risky"}, TraceID: "0af7651916cd43dd8448eb211c80319c"},
			want: `{"title":"Own","status":422,"detail":"Bad.","parameter":"die","value":"round","allowed":["fair","risky"],"trace_id":"0af7651916cd43dd8448eb211c80319c"}`},
		{name: "cause stays inside", problem: web.Problem{Status: 500, Detail: "Failed.", Cause: errors.New("password is 1234")}, want: `{"title":"Internal Server Error","status":500,"detail":"Failed."}`},
		{name: "status that net/http has no text for", problem: web.Problem{Status: 499, Detail: "Gone."}, want: `{"title":"Client Closed Request","status":499,"detail":"Gone."}`},
		{name: "hostile value", problem: web.Problem{Status: 422, Detail: "Bad.", Value: "</script>\n"}, want: `{"title":"Unprocessable Entity","status":422,"detail":"Bad.","value":"\u003c/script\u003e\n"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.problem
			out := httptest.NewRecorder()
			web.Fail(out, &tt.problem)
			if diff := cmp.Diff(tt.want+"\n", out.Body.String()); diff != "" {
				t.Errorf("problem (-want +got):\n%s", diff)
			}
			if out.Code != tt.problem.Status {
				t.Errorf("status %d, want %d", out.Code, tt.problem.Status)
			}
			if diff := cmp.Diff(http.Header{"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"}}, out.Header()); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
			if before.Title != tt.problem.Title {
				t.Error("the problem itself was changed")
			}
		})
	}
}

func TestAsProblem(t *testing.T) {
	own := &web.Problem{Status: 422, Detail: "Bad.", Cause: errors.New("because")}
	if got := web.AsProblem(fmt.Errorf("rolling: %w", own)); got != own {
		t.Errorf("a wrapped problem came out as %v", got)
	}
	cause := errors.New("disk full")
	got := web.AsProblem(cause)
	if got.Status != 500 || got.Detail != "The request failed; the log has the cause." || !errors.Is(got, cause) {
		t.Errorf("any other error came out as %+v", got)
	}
	if own.Error() != "because" || (&web.Problem{Detail: "Bad."}).Error() != "Bad." {
		t.Error("a problem's text is its cause's, or its detail")
	}
}

func TestBadForm(t *testing.T) {
	tests := []struct {
		name, body string
		status     int
		detail     string
	}{
		{name: "too large", body: strings.Repeat("x", 64<<10+1), status: 413, detail: "The form is larger than 65536 bytes. Send only the fields that the form of the page has."},
		{name: "broken", body: "%zz", status: 400, detail: "The form cannot be read. Send it as application/x-www-form-urlencoded."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "http://localhost/", strings.NewReader(tt.body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			web.GuardForms(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				p := web.BadForm(r.ParseForm())
				if p.Status != tt.status || p.Detail != tt.detail || p.Cause == nil {
					t.Errorf("problem %+v", p)
				}
			})).ServeHTTP(out, r)
		})
	}
}

func TestRespondSaysSoWhenABodyCannotBeWritten(t *testing.T) {
	out := httptest.NewRecorder()
	web.Respond(out, 200, "application/json", make(chan int))
	if out.Code != 500 || out.Body.String() != `{"title":"Internal Server Error","status":500}`+"\n" || out.Header().Get("Content-Type") != web.ProblemType {
		t.Errorf("answer %d %s %q", out.Code, out.Header().Get("Content-Type"), out.Body)
	}
}

func TestHealth(t *testing.T) {
	for want, handler := range map[string]http.HandlerFunc{`{"status":"ok"}`: web.Alive, `{"status":"ready"}`: web.Ready} {
		out := httptest.NewRecorder()
		handler(out, httptest.NewRequest(http.MethodGet, "/", nil))
		if out.Code != 200 || out.Body.String() != want+"\n" || out.Header().Get("Content-Type") != "application/json" {
			t.Errorf("answer %d %s %q, want %s", out.Code, out.Header().Get("Content-Type"), out.Body, want)
		}
	}
}

func TestUnmatched(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /roll", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Pattern)) })
	mux.HandleFunc("GET /traces/{id}", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.PathValue("id"))) })
	mux.HandleFunc("POST /push", ok)
	mux.HandleFunc("GET /push", ok)
	mux.HandleFunc("GET /{$}", ok)
	mux.Handle("GET /only", http.HandlerFunc(ok))
	mux.Handle("HEAD /only", web.OnlyGet())
	tests := []struct {
		method, path string
		status       int
		body, allow  string
	}{
		{method: "GET", path: "/roll", status: 200, body: "GET /roll"},
		{method: "GET", path: "/traces/42", status: 200, body: "42"},
		{method: "GET", path: "/", status: 200, body: "ok"},
		{method: "GET", path: "/nowhere", status: 404, body: `{"title":"Not Found","status":404,"detail":"There is nothing at /nowhere."}` + "\n"},
		{method: "POST", path: "/nowhere", status: 404, body: `{"title":"Not Found","status":404,"detail":"There is nothing at /nowhere."}` + "\n"},
		{method: "GET", path: "/roll/", status: 404, body: `{"title":"Not Found","status":404,"detail":"There is nothing at /roll/."}` + "\n"},
		{method: "GET", path: "/a/../nowhere", status: 404, body: `{"title":"Not Found","status":404,"detail":"There is nothing at /a/../nowhere."}` + "\n"},
		{method: "POST", path: "/roll", status: 405, allow: "GET, HEAD", body: `{"title":"Method Not Allowed","status":405,"detail":"/roll does not take POST. It takes GET, HEAD."}` + "\n"},
		{method: "BREW", path: "/push", status: 405, allow: "GET, HEAD, POST", body: `{"title":"Method Not Allowed","status":405,"detail":"/push does not take BREW. It takes GET, HEAD, POST."}` + "\n"},
		{method: "HEAD", path: "/only", status: 405, allow: "GET", body: `{"title":"Method Not Allowed","status":405,"detail":"/only does not take HEAD. It takes GET."}` + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			out := httptest.NewRecorder()
			web.Unmatched(mux).ServeHTTP(out, httptest.NewRequest(tt.method, tt.path, nil))
			if out.Code != tt.status || out.Header().Get("Allow") != tt.allow || out.Body.String() != tt.body {
				t.Errorf("answer %d, Allow %q, body %s", out.Code, out.Header().Get("Allow"), out.Body)
			}
			if kind := out.Header().Get("Content-Type"); (kind == web.ProblemType) != (tt.status >= 400) {
				t.Errorf("content type %s", kind)
			}
		})
	}
	t.Run("clean path", func(t *testing.T) {
		out := httptest.NewRecorder()
		web.Unmatched(mux).ServeHTTP(out, httptest.NewRequest("GET", "/x/../roll", nil))
		if out.Code/100 != 3 || out.Header().Get("Location") != "/roll" {
			t.Errorf("answer %d to %q, want a redirect to /roll", out.Code, out.Header().Get("Location"))
		}
	})
}
