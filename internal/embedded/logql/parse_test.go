package logql_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/embedded/logql"
)

func TestParseErrors(t *testing.T) {
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
		{"second line", "{a=\"b\"}\n  |= 5", 2, 6, `syntax error: unexpected "5"`},
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
		{"two ranges", `rate({a="b"}[5m] | json [5m])`, 1, 25, `there are two ranges`},
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

		{"variants", `variants(rate({a="b"}[5m])) of ({a="b"}[5m])`, 1, 1, `the embedded stack does not serve "variants"; the real Loki does if that is enabled: dicelab up --stack=native`},
		{"approx_topk", `approx_topk(3, rate({a="b"}[5m]))`, 1, 1, `the embedded stack does not serve "approx_topk", which needs a setting of the real Loki; use topk`},
		{"topk of nothing", `topk(rate({a="b"}[5m]))`, 1, 1, `topk: topk and bottomk take a number before the metric, as in topk(5, ...), others do not`},
		{"topk of zero", `topk(0, rate({a="b"}[5m]))`, 1, 1, `invalid parameter (must be a whole number greater than 0) topk(0`},
		{"a number for sum", `sum(3, rate({a="b"}[5m]))`, 1, 1, `sum: topk and bottomk take a number before the metric, as in topk(5, ...), others do not`},
		{"sort by", `sort by (a) (rate({a="b"}[5m]))`, 1, 1, `sort and sort_desc doesn't allow grouping by`},
		{"no quantile", `quantile_over_time({a="b"} | unwrap c [5m])`, 1, 1, `parameter required for operation quantile_over_time`},
		{"a quantile of rate", `rate(0.5, {a="b"}[5m])`, 1, 1, `parameter 0.5 not supported for operation rate`},
		{"grouped rate", `rate({a="b"}[5m]) by (a)`, 1, 1, `grouping not allowed for rate aggregation`},
		{"count of values", `count_over_time({a="b"} | unwrap c [5m])`, 1, 1, `invalid aggregation count_over_time with unwrap`},
		{"sum of nothing", `sum_over_time({a="b"} [5m])`, 1, 1, `invalid aggregation sum_over_time without unwrap`},
		{"unwrap of lines", `{a="b"} | unwrap c`, 1, 9, `unwrap is for metric queries, such as sum_over_time(... | unwrap label [5m])`},
		{"unwrap by a speed", `rate({a="b"} | unwrap speed(c) [5m])`, 1, 23, `unwrap converts with bytes, duration or duration_seconds, not with speed`},
		{"parser behind unwrap", `rate({a="b"} | unwrap c | json [5m])`, 1, 25, `only filters on labels may follow unwrap`},
		{"offset before the range", `rate({a="b"} offset 5m [5m])`, 1, 14, `offset stands behind the range, as in [5m] offset 1h`},
		{"lines in an operation", `{a="b"} / 2`, 1, 1, `a query for log lines cannot be a part of a metric query: write for example count_over_time({...}[5m])`},
		{"or with a number", `rate({a="b"}[5m]) or 1`, 1, 19, `unexpected literal for a leg of logical/set binary operation (or): it combines vectors`},
		{"group_left without on", `rate({a="b"}[5m]) + group_left rate({a="c"}[5m])`, 1, 21, `syntax error: unexpected "group_left"`},
		{"sum of a number", `sum(1)`, 1, 1, `expected type instant vector in aggregation expression, got scalar`},
		{"few strings", `label_replace(rate({a="b"}[5m]), "x", "y")`, 1, 1, `label_replace takes a metric and four strings: label_replace(metric, "to", "replacement", "from", "regex")`},
		{"bad path", `{a="b"} | json c="d["`, 1, 16, "cannot parse expression [d[]: a path is written such as a.b[0][\"c\"]"},
		{"bad key", `{a="b"} | logfmt c="d e"`, 1, 18, `cannot parse expression [d e]: it is a key of the line`},
		{"no group", `{a="b"} | regexp "."`, 1, 18, `invalid regexp parser: at least one named capture must be supplied, such as (?P<name>...)`},
		{"a group twice", `{a="b"} | regexp "(?P<x>.)(?P<x>.)"`, 1, 18, `invalid regexp parser: duplicate extracted label name 'x'`},
		{"captures side by side", `{a="b"} | pattern "<x><y>"`, 1, 19, `found consecutive capture '<x><y>': invalid expression`},
		{"no capture", `{a="b"} | pattern "<_> x"`, 1, 19, `invalid pattern parser: at least one capture is required, such as <name>`},
		{"a capture twice", `{a="b"} | pattern "<x> <x>"`, 1, 19, `invalid pattern parser: duplicate capture name (x): invalid expression`},
		{"a name in a pattern filter", `{a="b"} |> "<x> y"`, 1, 12, `named captures are not allowed: found '<x>'; write <_>`},
		{"bad template", "{a=\"b\"} | line_format `{{.x`", 1, 23, `invalid line template: template: line:1: unclosed action`},
		{"unknown template function", "{a=\"b\"} | line_format `{{env .x}}`", 1, 23, `invalid line template: template: line:1: function "env" not defined`},
		{"a label formatted twice", `{a="b"} | label_format c=d,c=e`, 1, 28, `multiple label name 'c' not allowed in a single format operation`},
		{"a formatted error", `{a="b"} | label_format __error__=d`, 1, 24, `__error__ cannot be formatted`},
		{"no address", `{a="b"} |= ip("a")`, 1, 15, `ip: invalid pattern: "a": it is an address, a range such as 10.0.0.1-10.0.0.9, or a network such as 10.0.0.0/8`},
		{"ip by expression", `{a="b"} |~ ip("10.0.0.1")`, 1, 9, `ip: invalid operation: |~; ip(...) goes with |= and !=`},
		{"many operators", `vector(1)` + strings.Repeat(" + vector(1)", 101), 1, 1211, `more than 100 operators between metrics`},
		{"many ranges", `rate({a="b"}[1m])` + strings.Repeat(` + rate({a="b"}[1m])`, 20), 1, 401, `the query has more than 20 range aggregations`},
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
	_, err := logql.Parse("{a=\"b\"}\n | logfmt |")
	const want = `parse error at line 2, col 12: syntax error: unexpected the end of the query`
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
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
