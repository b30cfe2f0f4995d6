package loki_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"dicelab/internal/embedded/loki"
	"dicelab/internal/embedded/store"
)

func TestErrors(t *testing.T) {
	const native = "; the real Loki does: dicelab up --stack=native"
	const selector = `{service_name="dice-roller"}`
	const badTime = `: it is a number of nanoseconds since 1970, of seconds with a decimal point, or an RFC 3339 time, of the years 1970 to 2261`
	base, _ := serve(t, rolls()...)
	for _, test := range []struct {
		name, path string
		params     url.Values
		status     int
		text       string
	}{
		{"no query", "/loki/api/v1/query_range", nil, 400, `parse error at line 1, col 1: the query is empty; the shortest is a stream selector, such as {service_name="dice-roller"}`},
		{"not served", "/loki/api/v1/query_range", url.Values{"query": {"variants(rate(" + selector + "[1m])) of (" + selector + "[1m])"}}, 400,
			`parse error at line 1, col 1: the embedded stack does not serve "variants"; the real Loki does if that is enabled: dicelab up --stack=native`},
		{"lines at one moment", "/loki/api/v1/query", url.Values{"query": {selector}}, 400,
			"log queries are not supported as an instant query type, please change your query to a range query type"},
		{"limit of text", "/loki/api/v1/query_range", url.Values{"query": {selector}, "limit": {"many"}}, 400, `limit must be a positive value, not "many"`},
		{"limit of none", "/loki/api/v1/query_range", url.Values{"query": {selector}, "limit": {"0"}}, 400, `limit must be a positive value, not "0"`},
		{"limit of too many", "/loki/api/v1/query_range", url.Values{"query": {selector}, "limit": {"5001"}}, 400,
			"max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)"},
		{"direction", "/loki/api/v1/query_range", url.Values{"query": {selector}, "direction": {"up"}}, 400, "invalid direction 'up'; it is forward or backward"},
		{"start", "/loki/api/v1/query_range", url.Values{"query": {selector}, "start": {"yesterday"}}, 400, `reading start "yesterday"` + badTime},
		{"end beyond", "/loki/api/v1/query_range", url.Values{"query": {selector}, "end": {"9e300.0"}}, 400, `reading end "9e300.0"` + badTime},
		{"time", "/loki/api/v1/query", url.Values{"query": {"rate(" + selector + "[1m])"}, "time": {"-1"}}, 400, `reading time "-1"` + badTime},
		{"since", "/loki/api/v1/query_range", url.Values{"query": {selector}, "since": {"long"}}, 400, `reading since "long": it is a duration, such as 30m`},
		{"end before start", "/loki/api/v1/query_range", url.Values{"query": {selector}, "start": {"20"}, "end": {"10"}}, 400, "end timestamp must not be before start time"},
		{"step of text", "/loki/api/v1/query_range", url.Values{"query": {selector}, "step": {"small"}}, 400,
			`cannot parse "small" to a valid duration; step is a number of seconds or a duration, such as 15s`},
		{"step of none", "/loki/api/v1/query_range", url.Values{"query": {selector}, "step": {"0"}}, 400,
			"zero or negative query resolution step widths are not accepted. Try a positive integer"},
		{"step too small", "/loki/api/v1/query_range", url.Values{"query": {selector}, "step": {"100ms"}}, 400,
			"exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter"},
		{"interval", "/loki/api/v1/query_range", url.Values{"query": {selector}, "interval": {"often"}}, 400,
			`cannot parse "often" to a valid duration; interval is a number of seconds or a duration, such as 15s`},
		{"a line that cannot be counted", "/loki/api/v1/query", url.Values{"query": {`sum by (die_type) (rate({service_name="dice-roller"} | json [1m]))`}}, 400,
			"pipeline error: 'JSONParserErr' for series: '{__error__=\"JSONParserErr\", __error_details__=\"Value looks like object, but can't find closing '}' symbol\", " +
				"container_name=\"dice-roller-stage2\", job=\"dice-roller\", service_name=\"dice-roller\"}'.\n" +
				"Use a label filter to intentionally skip this error. (e.g | __error__!=\"JSONParserErr\").\n" +
				"To skip all potential errors you can match empty errors. (e.g | __error__=\"\")"},
		{"match of a query", "/loki/api/v1/series", url.Values{"match[]": {selector + ` |= "x"`}}, 400,
			`parse error at line 1, col 1: only a stream selector is allowed here, such as {service_name="dice-roller"}`},
		{"labels of a query", "/loki/api/v1/labels", url.Values{"query": {"{"}}, 400, `parse error at line 1, col 2: syntax error: unexpected the end of the query, expected "}"`},
		{"rules", "/loki/api/v1/rules", nil, 400, "the embedded stack does not serve /loki/api/v1/rules" + native},
		{"shards of the index", "/loki/api/v1/index/shards", nil, 400, "the embedded stack does not serve /loki/api/v1/index/shards" + native},
		{"the old API", "/api/prom/query", nil, 400, "the embedded stack does not serve /api/prom/query" + native},
		{"not a path of Loki's", "/", nil, 404, "/ is not a path of Loki's API; queries go to /loki/api/v1/query_range"},
		{"push with GET", "/loki/api/v1/push", nil, 405, "/loki/api/v1/push does not take GET; use POST"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, contentType, body := get(t, base, test.path, test.params)
			if status != test.status || contentType != "text/plain; charset=utf-8" {
				t.Errorf("status %d, %s; want %d, text/plain", status, contentType, test.status)
			}
			if body != test.text {
				t.Errorf("got  %s\nwant %s", body, test.text)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	base, _ := serve(t)
	status, _, body := do(t, http.MethodPost, base+"/loki/api/v1/query_range", "query="+strings.Repeat("x", 70_000), "Content-Type", "application/x-www-form-urlencoded")
	if want := "the request body is larger than 65536 bytes; send less at a time"; status != http.StatusRequestEntityTooLarge || body != want {
		t.Errorf("a long form: status %d, %s", status, body)
	}

	server := httptest.NewServer(loki.NewHandler(endless{}, loki.Options{}))
	defer server.Close()
	status, _, body = get(t, server.URL, "/loki/api/v1/query_range", url.Values{"query": {`{a="b"}`}, "limit": {"5000"}})
	if want := "the lines of the answer have more than 16777216 bytes; ask for fewer with limit"; status != http.StatusBadRequest || body != want {
		t.Errorf("long lines: status %d, %.200s", status, body)
	}
}

// endless is a store with an endless number of long lines.
type endless struct{ loki.Store }

func (endless) Lines(_ context.Context, _ store.LineQuery, yield func(store.Line) bool) error {
	l := store.Line{Time: now(), Stream: map[string]string{"a": "b"}, Text: strings.Repeat("x", 200<<10)}
	for yield(l) {
		l.Time = l.Time.Add(1) // the same line at the same time would be returned once
	}
	return nil
}

// stuck is a store that blocks until its caller gives up.
type stuck struct {
	loki.Store
	began chan struct{} // gets a value from each that waits
}

func (s stuck) wait(ctx context.Context) error {
	s.began <- struct{}{}
	<-ctx.Done()
	return errors.New("interrupted (9)")
}

func (s stuck) Lines(ctx context.Context, _ store.LineQuery, _ func(store.Line) bool) error {
	return s.wait(ctx)
}

func (s stuck) CountLines(ctx context.Context, _ store.LineCount, _ func(_, _ map[string]string, _ []int64, _ []int) error) ([]store.Period, bool, error) {
	return nil, false, s.wait(ctx)
}

func (s stuck) Streams(ctx context.Context, _, _ time.Time) ([]map[string]string, error) {
	return nil, s.wait(ctx)
}

func (s stuck) AppendLines(ctx context.Context, _ []store.Line) error { return s.wait(ctx) }

const onePush = `{"streams":[{"stream":{"a":"b"},"values":[["1","x"]]}]}`

// requests returns one request for each endpoint that reads the store.
func requests(ctx context.Context) map[string]*http.Request {
	get := func(path string, params ...string) *http.Request {
		v := url.Values{}
		for i := 0; i < len(params); i += 2 {
			v.Add(params[i], params[i+1])
		}
		return httptest.NewRequestWithContext(ctx, http.MethodGet, path+"?"+v.Encode(), nil)
	}
	push := httptest.NewRequestWithContext(ctx, http.MethodPost, "/loki/api/v1/push", strings.NewReader(onePush))
	push.Header.Set("Content-Type", "application/json")
	return map[string]*http.Request{
		"query":       get("/loki/api/v1/query", "query", `rate({a="b"}[1m])`),
		"query_range": get("/loki/api/v1/query_range", "query", `{a="b"}`),
		"labels":      get("/loki/api/v1/labels"),
		"values":      get("/loki/api/v1/label/a/values"),
		"series":      get("/loki/api/v1/series", "match[]", `{a="b"}`),
		"push":        push,
	}
}

const timedOut = "request timed out, decrease the duration of the request or add more label matchers (prefer exact match over regex match) to reduce the amount of data processed"

func TestTimeout(t *testing.T) {
	h := loki.NewHandler(stuck{began: make(chan struct{}, 10)}, loki.Options{Timeout: time.Millisecond})
	for name, r := range requests(t.Context()) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusGatewayTimeout || w.Body.String() != timedOut {
			t.Errorf("%s: status %d, %s", name, w.Code, w.Body)
		}
	}
}

func TestStopsWhenTheClientGoesAway(t *testing.T) {
	for name := range requests(t.Context()) {
		s := stuck{began: make(chan struct{})}
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			<-s.began
			leave()
		}()
		w := httptest.NewRecorder()
		loki.NewHandler(s, loki.Options{}).ServeHTTP(w, requests(ctx)[name])
		if w.Code != 499 || w.Body.String() != "the request was cancelled by the client" {
			t.Errorf("%s: status %d, %s", name, w.Code, w.Body)
		}
	}
}

// Four queries run at once; one more waits, and goes on when one has ended.
func TestQueriesTakeTurns(t *testing.T) {
	s := stuck{began: make(chan struct{})}
	h := loki.NewHandler(s, loki.Options{})
	ended := make(chan int, 10)
	ask := func(ctx context.Context) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, requests(ctx)["labels"])
		ended <- w.Code
	}
	var leave [5]context.CancelFunc
	for i := range leave {
		var ctx context.Context
		ctx, leave[i] = context.WithCancel(t.Context())
		go ask(ctx)
		if i < 4 {
			<-s.began
		}
	}
	impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	go ask(impatient)
	if code := <-ended; code != http.StatusGatewayTimeout {
		t.Errorf("a query whose time is over before its turn: status %d, want 504", code)
	}
	select {
	case <-s.began:
		t.Error("a fifth query runs beside four")
	default:
	}
	leave[0]()
	<-s.began // the fifth
	for _, l := range leave {
		l()
	}
	for range leave {
		if code := <-ended; code != 499 {
			t.Errorf("status %d, want 499", code)
		}
	}
}

// broken is a store that fails.
type broken struct{ loki.Store }

func (broken) Lines(context.Context, store.LineQuery, func(store.Line) bool) error {
	return errors.New("reading log lines: disk I/O error")
}

func (broken) AppendLines(context.Context, []store.Line) error { return errors.New("disk full") }

func TestBrokenStore(t *testing.T) {
	server := httptest.NewServer(loki.NewHandler(broken{}, loki.Options{}))
	defer server.Close()
	status, _, body := get(t, server.URL, "/loki/api/v1/query_range", url.Values{"query": {`{a="b"}`}})
	if status != http.StatusInternalServerError || body != "reading log lines: disk I/O error" {
		t.Errorf("query: status %d, %s", status, body)
	}
	res, err := http.Post(server.URL+"/loki/api/v1/push", "application/json", strings.NewReader(onePush))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" || string(text) != "storing the lines, send them again later: disk full" {
		t.Errorf("push: status %d, Retry-After %q, %s", res.StatusCode, res.Header.Get("Retry-After"), text)
	}
}
