package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"dicelab/internal/embedded/metrics"
)

// Queries are bounded before they are parsed, on each endpoint that accepts one.
func TestQueriesAreBounded(t *testing.T) {
	noLeaks(t)
	const (
		operators = "it has more than 200 operators, ranges and selectors together: use fewer, or regular expressions"
		nesting   = "it has more than 100 parentheses within each other"
	)
	large := strings.Repeat("(?:x?){1000}", 100)
	s := open(t, metrics.Options{})
	for _, tt := range []struct {
		name, query string
		want        string // in the error; "" if there is none
	}{
		{name: "usual", query: `sum by (a) (rate(up{job=~"a|b.*",instance!~".+:(80|443)"}[5m] offset 1m)) / ignoring(x) group_left up > bool 1`},
		{name: "many values", query: `up{instance=~"` + strings.Repeat(`10\\.0\\.0\\.1:9100|`, 400) + `x"}`},
		{name: "replaces", query: `label_replace(up, "a", "$1-$2", "instance", "([^:]+):([0-9]+)")`},
		{name: "minus", query: strings.Repeat("-", 10_000) + "up", want: operators},
		{name: "plus", query: strings.Repeat("up+", 200) + "up", want: operators},
		{name: "powers", query: strings.Repeat("2^", 200) + "2", want: operators},
		{name: "subqueries", query: "up" + strings.Repeat("[5m:1m]", 200), want: operators},
		{name: "parentheses", query: strings.Repeat("(", 101) + "up" + strings.Repeat(")", 101), want: nesting},
		{name: "functions", query: strings.Repeat("abs(", 101) + "up" + strings.Repeat(")", 101), want: nesting},
		{name: "open", query: strings.Repeat("(", 10_000), want: nesting},
		{name: "large regular expression", query: `up{a=~"` + large + `"}`, want: "has more than 10000 instructions"},
		{name: "large regular expression, negated", query: "up{a!~# remark\n`" + large + "`}", want: "has more than 10000 instructions"},
		{name: "large regular expression, escaped", query: `up{a=~"\x28?:x?){1000}"}`, want: "has 2005 instructions and 0 groups"},
		{name: "many groups", query: `up{a=~"` + strings.Repeat("(a|b)?", 50) + `"}`, want: "50 groups"},
		{name: "of a quoted label", query: `{"a b"=~"` + large + `"}`, want: "has more than 10000 instructions"},
		{name: "large replacement", query: `label_replace(up, "a", "$1", "b", ("(?:x?){300}"))`, want: "at most 500"},
		{name: "text that is large as an expression", query: `up{a="` + large + `"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for path, name := range map[string]string{
				"query": "query", "query_range": "query", "query_exemplars": "query",
				"series": "match[]", "labels": "match[]", "label/a/values": "match[]", "rules": "match[]",
			} {
				if tt.want == "" && name == "match[]" && !strings.HasPrefix(tt.query, "up{") {
					continue // no selector
				}
				form := url.Values{name: {tt.query}, "start": {"0"}, "end": {"60"}, "step": {"60"}}
				for _, r := range requests(t, path, form) {
					w := httptest.NewRecorder()
					s.Handler().ServeHTTP(w, r)
					if tt.want == "" && w.Code != http.StatusOK || tt.want != "" && (w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), tt.want)) {
						t.Errorf("%s %s: %d %.500s, want %q", r.Method, path, w.Code, w.Body, tt.want)
					}
				}
			}
		})
	}
}

// requests returns the requests of an endpoint: GET, and POST if it accepts a form.
func requests(t *testing.T, path string, form url.Values) (list []*http.Request) {
	list = append(list, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/"+path+"?"+form.Encode(), nil))
	if path != "label/a/values" && path != "rules" {
		post := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/"+path, strings.NewReader(form.Encode()))
		post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		list = append(list, post)
	}
	return list
}
