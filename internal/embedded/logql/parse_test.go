package logql_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/embedded/logql"
)

func TestParseErrors(t *testing.T) {
	const native = "; the real Loki does: dicelab up --stack=native"
	const notServed = "the embedded stack does not serve "
	empty := "queries require at least one regexp or equality matcher that does not have an empty-compatible value. " +
		`For instance, app=~".*" does not meet this requirement, but app=~".+" will`
	for _, test := range []struct {
		name, query string
		line, col   int
		message     string
	}{
		{"empty", ``, 1, 1, `the query is empty; the shortest is a stream selector, such as {service_name="dice-roller"}`},
		{"only a remark", `# nothing`, 1, 1, `the query is empty; the shortest is a stream selector, such as {service_name="dice-roller"}`},
		{"no matcher", `{}`, 1, 1, empty},
		{"empty value", `{a=""}`, 1, 1, empty},
		{"negative only", `{a!="x", b!~"y"}`, 1, 1, empty},
		{"matches empty", `{a=~".*"}`, 1, 1, empty},
		{"in a metric", `sum(rate({a=~"x?"}[1m]))`, 1, 10, empty},
		{"not closed", `{a="b"`, 1, 7, `syntax error: unexpected the end of the query, expected "}"`},
		{"no value", `{a=}`, 1, 4, `syntax error: unexpected "}", expected a string in quotes`},
		{"second line", "{a=\"b\"}\n  |= 5", 2, 6, `syntax error: unexpected "5", expected a string in quotes`},
		{"open string", `{a="b}`, 1, 4, `the string is not closed`},
		{"open backtick", "{a=`b}", 1, 4, `the string is not closed`},
		{"single quotes", `{a='b'}`, 1, 4, `strings stand in double quotes or backticks, not in single quotes`},
		{"bad escape", `{a="\d"}`, 1, 4, `the string "\d" has an escape sequence that does not exist; a string in backticks has no escapes`},
		{"variable", `rate({a="b"}[$__auto])`, 1, 14, `variables such as $__interval are Grafana's; write a value in their place`},
		{"strange character", `{a="b"} | ü="x"`, 1, 11, `unexpected character 'ü'`},
		{"selector regexp", `{a=~"("}`, 1, 5, "error parsing regexp: missing closing ): `(`"},
		{"line regexp", `{a="b"} |~ "("`, 1, 12, "error parsing regexp: missing closing ): `(`"},
		{"text compared by size", `{a="b"} | c > "5"`, 1, 11, `> compares numbers, durations and sizes, which stand without quotes; for text use =, !=, =~ or !~`},
		{"number as regexp", `{a="b"} | c =~ 5`, 1, 11, `=~ takes a regular expression in quotes`},
		{"signed size", `{a="b"} | c > -5KB`, 1, 11, `a size has no sign`},
		{"no range", `rate({a="b"})`, 1, 1, `rate needs a range, such as [5m]`},
		{"two ranges", `rate({a="b"}[5m] | json [5m])`, 1, 25, `rate has two ranges`},
		{"range of zero", `rate({a="b"}[0s])`, 1, 13, `the range must be longer than zero and at most a year`},
		{"range of centuries", `rate({a="b"}[200y])`, 1, 13, `the range must be longer than zero and at most a year`},
		{"range without unit", `rate({a="b"}[5])`, 1, 14, `syntax error: unexpected "5", expected a duration, such as 5m`},
		{"grouped twice", `sum by (a) (rate({a="b"}[5m])) by (a)`, 1, 32, `sum is grouped twice; write by (...) either before or after the parentheses`},
		{"unknown function", `speed({a="b"}[5m])`, 1, 1, `syntax error: unexpected "speed"`},
		{"something after", `{a="b"} {c="d"}`, 1, 9, `syntax error: unexpected "{"`},
		{"a word as text", `{a="b"} |= "x" "or" "y"`, 1, 16, `syntax error: unexpected "\"or\""`},
		{"too long", `{a="` + strings.Repeat("x", logql.MaxQueryLength) + `"}`, 1, 1, `the query is 5126 bytes long; it must be shorter than 5120`},
		{"nested deeply", strings.Repeat("(", 101) + `{a="b"}` + strings.Repeat(")", 101), 1, 101, "the query has more than 100 parentheses within each other"},
		{"filters nested deeply", `{a="b"} | ` + strings.Repeat("(", 101) + "c=1" + strings.Repeat(")", 101), 1, 111, "the query has more than 100 parentheses within each other"},
		{"many stages", `{a="b"}` + strings.Repeat(" | json", 101), 1, 709, "the query has 101 stages: at most 100 are allowed"},
		{"large regexp", `{a=~"` + strings.Repeat("(?:xy?z?){1000}", 4) + `"}`, 1, 5, `the regular expression "(?:xy?z?){1000}(?:xy?z?){1000}(?:xy?z?){1000}(?:xy?z?){1000}" has more than 10000 instructions: use smaller repetitions`},
		{"large regexps together", `{a="b"} |~ "` + strings.Repeat("(?:x?){1000}", 4) + `" | c=~"` + strings.Repeat("(?:x?){1000}", 4) + `" !~ "` + strings.Repeat("(?:x?){1000}", 4) + `"`, 1, 122,
			"the regular expressions of the query have more than 20000 instructions together: use fewer or smaller ones"},

		{"logfmt", `{a="b"} | logfmt`, 1, 11, notServed + `the stage "| logfmt"` + native},
		{"regexp", `{a="b"} | regexp "(?P<x>.)"`, 1, 11, notServed + `the stage "| regexp"` + native},
		{"line_format", "{a=\"b\"} | json | line_format `{{.x}}`", 1, 18, notServed + `the stage "| line_format"` + native},
		{"label_format", `{a="b"} | label_format c=d`, 1, 11, notServed + `the stage "| label_format"` + native},
		{"unwrap", `sum_over_time({a="b"} | unwrap c [5m])`, 1, 1, notServed + `the function "sum_over_time"` + native},
		{"drop", `{a="b"} | drop c`, 1, 11, notServed + `the stage "| drop"` + native},
		{"json with parameters", `{a="b"} | json c="d.e"`, 1, 16, notServed + `"| json" with parameters` + native},
		{"pattern filter", `{a="b"} |> "<_> x"`, 1, 9, notServed + `the pattern filter "|>"` + native},
		{"ip filter", `{a="b"} |= ip("10.0.0.0/8")`, 1, 12, notServed + `the function "ip"` + native},
		{"other aggregation", `avg by (a) (rate({a="b"}[5m]))`, 1, 1, notServed + `the function "avg"` + native},
		{"topk", `topk(3, rate({a="b"}[5m]))`, 1, 1, notServed + `the function "topk"` + native},
		{"sum of sum", `sum(sum by (a) (rate({a="b"}[5m])))`, 1, 5, notServed + `anything but a function of a range directly inside sum` + native},
		{"without", `sum without (a) (rate({a="b"}[5m]))`, 1, 5, notServed + `the grouping "without"` + native},
		{"offset", `rate({a="b"}[5m] offset 1h)`, 1, 18, notServed + `the modifier "offset"` + native},
		{"division", `rate({a="b"}[5m]) / rate({a="b"}[5m])`, 1, 19, notServed + `arithmetic and comparisons of metrics ("/")` + native},
		{"comparison", `sum(rate({a="b"}[5m])) > 5`, 1, 24, notServed + `arithmetic and comparisons of metrics (">")` + native},
		{"or of metrics", `rate({a="b"}[5m]) or rate({a="c"}[5m])`, 1, 19, notServed + `arithmetic and comparisons of metrics ("or")` + native},
		{"division in parentheses", `(rate({a="b"}[5m]) / 2)`, 1, 20, notServed + `arithmetic and comparisons of metrics ("/")` + native},
		{"number", `1 + rate({a="b"}[5m])`, 1, 1, notServed + `arithmetic and comparisons of metrics ("1")` + native},
		{"vector", `vector(0)`, 1, 1, notServed + `the function "vector"` + native},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := logql.Parse(test.query)
			want := &logql.Error{Line: test.line, Col: test.col, Message: test.message}
			var got *logql.Error
			if !errors.As(err, &got) {
				t.Fatalf("Parse(%s): error %v, want %v", test.query, err, want)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Parse(%s): (-want +got)\n%s", test.query, diff)
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	_, err := logql.Parse("{a=\"b\"}\n | logfmt")
	const want = `parse error at line 2, col 4: the embedded stack does not serve the stage "| logfmt"; the real Loki does: dicelab up --stack=native`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestAggregations(t *testing.T) {
	for _, test := range []struct {
		query string
		want  *logql.Aggregation
	}{
		{`{a="b"}`, nil},
		{`({a="b"})`, nil},
		{`rate({a="b"}[5m])`, &logql.Aggregation{Rate: true, Range: 5 * time.Minute}},
		{`(rate({a="b"}[1m30s]))`, &logql.Aggregation{Rate: true, Range: 90 * time.Second}},
		{`count_over_time({a="b"} |= "x" | json [1d])`, &logql.Aggregation{Range: 24 * time.Hour}},
		{`count_over_time({a="b"}[500ms] |= "x" | json)`, &logql.Aggregation{Range: 500 * time.Millisecond}},
		{`sum(rate({a="b"}[5m]))`, &logql.Aggregation{Rate: true, Range: 5 * time.Minute, Sum: true}},
		{`sum by (x, y) (rate({a="b"}[5m]))`, &logql.Aggregation{Rate: true, Range: 5 * time.Minute, Sum: true, By: []string{"x", "y"}}},
		{`sum(rate({a="b"}[5m])) by (x)`, &logql.Aggregation{Rate: true, Range: 5 * time.Minute, Sum: true, By: []string{"x"}}},
		{`sum by () (rate({a="b"}[5m]))`, &logql.Aggregation{Rate: true, Range: 5 * time.Minute, Sum: true}},
		{"# how fast\nrate({a=\"b\"}[5m]) # per second", &logql.Aggregation{Rate: true, Range: 5 * time.Minute}},
	} {
		t.Run(test.query, func(t *testing.T) {
			q, err := logql.Parse(test.query)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, q.Aggregation); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestParseSelector(t *testing.T) {
	s, err := logql.ParseSelector(`{service_name="dice-roller", level=~"WARN.*|ERROR", job!="x", pod!~"y+"}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		stream map[string]string
		want   bool
	}{
		{"all hold", map[string]string{"service_name": "dice-roller", "level": "WARNING"}, true},
		{"a regular expression matches the whole value", map[string]string{"service_name": "dice-roller", "level": "ERRORS"}, false},
		{"an absent label is empty", map[string]string{"service_name": "dice-roller"}, false},
		{"not equal", map[string]string{"service_name": "dice-roller", "level": "ERROR", "job": "x"}, false},
		{"not matching", map[string]string{"service_name": "dice-roller", "level": "ERROR", "pod": "yy"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := s.Matches(t.Context(), test.stream); got != test.want || err != nil {
				t.Errorf("got %t, %v, want %t", got, err, test.want)
			}
		})
	}
	for _, query := range []string{`{a="b"} |= "x"`, `rate({a="b"}[5m])`} {
		if _, err := logql.ParseSelector(query); err == nil {
			t.Errorf("ParseSelector(%s): no error", query)
		}
	}
}

func TestParseLabels(t *testing.T) {
	for _, test := range []struct {
		text string
		want map[string]string
		err  string
	}{
		{text: `{a="b", c="d \"e\""}`, want: map[string]string{"a": "b", "c": `d "e"`}},
		{text: `{a="b", c="",}`, want: map[string]string{"a": "b"}},
		{text: `{}`, want: map[string]string{}},
		{text: `{a=~"b"}`, err: `parse error at line 1, col 2: a label of a stream is written name="value", not with "=~"`},
		{text: `{a="b", a="c"}`, err: `parse error at line 1, col 9: the label "a" is there twice`},
		{text: `{a="b"} |= "x"`, err: `parse error at line 1, col 1: the labels of a stream are written {name="value", ...}`},
		{text: `rate({a="b"}[5m])`, err: `parse error at line 1, col 1: the labels of a stream are written {name="value", ...}`},
	} {
		t.Run(test.text, func(t *testing.T) {
			got, err := logql.ParseLabels(test.text)
			if text := errorText(err); text != test.err {
				t.Fatalf("error %q, want %q", text, test.err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
