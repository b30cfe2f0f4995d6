package loki_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"dicelab/internal/embedded/loki"
	"dicelab/internal/embedded/store"
)

// Whatever the request is, the response is JSON or a text that describes the error, and
// only timeouts are server errors.
func FuzzRequests(f *testing.F) {
	for _, seed := range [][2]string{
		{"query_range", `query={service_name="s"}&start=1772366400.5&end=1772366500000000000&limit=3&direction=forward&step=5`},
		{"query_range", `query=sum by (level) (count_over_time({a=~"b.*"} | json | x > 3 [1m]))&since=1h`},
		{"query", `query=rate({a="b"} |= "x" [5m])&time=2026-03-01T12:00:00Z`},
		{"labels", "since=30m&query={a=\"b\"}"},
		{"label/service_name/values", "start=0&end=9223372036854775807"},
		{"series", `match[]={a!=""}&match={b="c"}`},
		{"query_range", "query={a=~`b|(?:(?:x?){1000})*y`} |~ `(x|y?){300}[^a]*z$` | json | x=~`(?i)[^a]+\\pL`&since=1h"},
		{"query_range", "query={a=`b`} |~ `(x?){1000}(x?){1000}(x?){1000}(x?){1000}(x?){1000}(x?){1000}`&since=1h"},
		{"query_range", "query={n=`1`} | json | (((((((((a>1 or b<2KB), c=1))))))))&since=1h&limit=5000"},
		{"query_range", "query=sum by (a_a_a) (count_over_time({n=`1`} | json | json | __error__=`` [1h]))&since=1h&step=0.4"},
	} {
		f.Add(seed[0], seed[1])
	}
	s, err := store.Open(f.Context(), f.TempDir(), store.Options{Now: now})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.Error(err)
		}
	})
	if err := s.AppendLines(f.Context(), []store.Line{
		{Time: now(), Stream: map[string]string{"a": "b", "service_name": "s"}, Text: `{"x":5,"y":"z"}`, Metadata: map[string]string{"trace_id": traceA}},
		{Time: now(), Stream: map[string]string{"a": "bb", "level": "INFO"}, Text: "not JSON"},
		{Time: now(), Stream: map[string]string{"a": "b"}, Text: strings.Repeat("x", 64<<10)},
		{Time: now(), Stream: map[string]string{"n": "1"}, Text: strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)},
		{Time: now(), Stream: map[string]string{"n": "1"}, Text: `{"` + strings.Repeat("k", 30<<10) + `":{` + strings.Repeat(`"a":1,`, 5_000) + `"b":2}}`},
	}); err != nil {
		f.Fatal(err)
	}
	h := loki.NewHandler(s, loki.Options{Now: now, Timeout: 100 * time.Millisecond}) // a query may take all of it
	f.Fuzz(func(t *testing.T, path, query string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: "/loki/api/v1/" + path, RawQuery: query}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusGatewayTimeout {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		if w.Code == http.StatusOK && strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("not JSON: %s", w.Body)
		}
	})
}
