package logql_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/embedded/logql"
)

// stage is what becomes of a line.
type stage struct {
	text   string
	stream map[string]string // if it differs from what was stored
	parsed map[string]string
}

func TestStages(t *testing.T) {
	type labels = map[string]string
	const logfmt = `level=info msg="say \"hi\"" took=1.5s empty= bare size=2KB`
	for _, test := range []struct {
		name, stages, line string
		want               stage
	}{
		{"logfmt", `| logfmt`, logfmt, stage{parsed: labels{"level_extracted": "info", "msg": `say "hi"`, "took": "1.5s", "size": "2KB"}}},
		{"logfmt with empty values", `| logfmt --keep-empty`, `a= b c=1`, stage{parsed: labels{"a": "", "b": "", "c": "1"}}},
		{"logfmt of a broken line", `| logfmt`, `a=1 b==2 c"=3 =4 d="5 e=6`, stage{parsed: labels{"a": "1"}}},
		{"logfmt that is strict", `| logfmt --strict`, `a=1 b==2 c=3`, stage{parsed: labels{
			"a": "1", "__error__": "LogfmtParserErr", "__error_details__": `logfmt syntax error at pos 7 : unexpected '='`}}},
		{"logfmt of some keys", `| logfmt a, renamed="took", missing`, logfmt, stage{parsed: labels{"a": "", "renamed": "1.5s", "missing": ""}}},
		{"JSON of some paths", "| json a, b=\"x.y[1]\", c=\"[\\\"d e\\\"]\", missing", `{"a":1,"x":{"y":[2,"z\n"]},"d e":{"f":null}}`,
			stage{parsed: labels{"a": "1", "b": "z\n", "c": `{"f":null}`, "missing": ""}}},
		{"pattern", `| pattern "<ip> - [<_>] <rest>"`, `10.0.0.1 - [now] GET /`, stage{parsed: labels{"ip": "10.0.0.1", "rest": "GET /"}}},
		{"pattern that ends early", `| pattern "<a>: <b>;"`, `x: y`, stage{parsed: labels{"a": "x", "b": "y"}}},
		{"pattern that does not begin", `| pattern "GET <a>"`, `PUT x`, stage{}},
		{"regexp", `| regexp "(?P<a>\\w+)=(?P<b>\\d+)|(?P<c>x)"`, `  k=5`, stage{parsed: labels{"a": "k", "b": "5", "c": ""}}},
		{"regexp without a match", `| regexp "(?P<a>z)"`, `k=5`, stage{}},
		{"unpack", `| unpack`, `{"pod":"p","_entry":"the line","n":1}`, stage{text: "the line", parsed: labels{"pod": "p"}}},
		{"unpack of what is not packed", `| unpack`, `{"pod":"p"}`, stage{}},
		{"unpack of text", `| unpack`, `text`, stage{parsed: labels{"__error__": "JSONParserErr", "__error_details__": "expecting json object(6), but it is not"}}},
		{"line_format", "| logfmt | line_format `{{.level}} {{ToUpper .msg}} {{.nothing}}{{__line__ | trunc 5}}`", `msg=hi`, stage{text: `INFO HI msg=h`, parsed: labels{"msg": "hi"}}},
		{"label_format", "| label_format service=service_name,level=`{{.level | lower}}`,x=`{{.service_name}}`", `a`,
			stage{stream: labels{}, parsed: labels{"service": "dice-roller", "level": "info", "x": ""}}},
		{"line_format that fails", "| line_format `{{.level}}{{ fromJson 1 }}`", `a`, stage{parsed: labels{
			"__error__": "TemplateFormatErr", "__error_details__": "template: line:1:22: executing \"line\" at <1>: expected string; found 1"}}},
		{"drop", `| logfmt | drop level, a, b="1", c="1"`, `a=1 b=1 c=2`, stage{stream: labels{"service_name": "dice-roller"}, parsed: labels{"c": "2"}}},
		{"drop an error", `| json | drop __error__, __error_details__`, `x`, stage{}},
		{"keep", `| logfmt | keep level, b=~"1|2", c="1"`, `a=1 b=1 c=2`, stage{stream: labels{"level": "INFO"}, parsed: labels{"b": "1"}}},
		{"decolorize", `| decolorize`, "\x1b[31mred\x1b[0m \x1b]0;title\aplain", stage{text: "red plain"}},
		{"a parser behind another", `| logfmt | drop a | json`, `a=1 {"a":2}`, stage{parsed: labels{
			"__error__": "JSONParserErr", "__error_details__": "Value looks like object, but can't find closing '}' symbol"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := test.want
			if want.text == "" {
				want.text = test.line
			}
			if want.stream == nil {
				want.stream = stream()
			}
			out := process(t, test.stages, test.line)
			got := stage{out.Text, out.Stream, out.Parsed}
			if len(got.parsed) == 0 {
				got.parsed = nil
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(stage{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// process runs a line through stages that keep it.
func process(t *testing.T, stages, line string) logql.Output {
	t.Helper()
	q, err := logql.Parse(`{service_name="dice-roller"} ` + stages)
	if err != nil {
		t.Fatal(err)
	}
	out, ok, err := q.Pipeline.Process(t.Context(), logql.Input{Stream: stream(), Time: 1_700_000_000_123_456_789, Text: line})
	if !ok || err != nil {
		t.Fatalf("the line was lost: %v", err)
	}
	return out
}

func TestMoreFilters(t *testing.T) {
	for _, test := range []struct {
		stages, line string
		want         bool
	}{
		{`|> "<_> b <_>"`, "a b c", true},
		{`|> "<_> b <_>"`, "b c", false},
		{`|> "a<_>"`, "a", false},
		{`|> "a <_>"`, "a b", true},
		{`!> "<_> b"`, "a b", false},
		{`!> "<_> c" or "<_> b"`, "a b", false},
		{`|> ""`, "", true},
		{`|= ip("10.0.0.0/8")`, "from 10.1.2.3:80", true},
		{`|= ip("10.0.0.0/8")`, "from 11.1.2.3:80", false},
		{`!= ip("10.0.0.1-10.0.0.9")`, "from 10.0.0.10", true},
		{`|= ip("2001:db8::/32")`, "from 2001:db8::1 to x", true},
		{`|= ip("::1")`, "from ::1 to x", true},
		{`|= "x" or ip("10.0.0.1")`, "at 10.0.0.1", true},
		{`| logfmt | addr = ip("10.0.0.0/8")`, "addr=10.1.1.1", true},
		{`| logfmt | addr != ip("10.0.0.0/8")`, "addr=10.1.1.1", false},
		{`| logfmt | addr = ip("10.0.0.0/8")`, "other=10.1.1.1", false},
	} {
		t.Run(test.stages+" "+test.line, func(t *testing.T) {
			q, err := logql.Parse(`{a="b"} ` + test.stages)
			if err != nil {
				t.Fatal(err)
			}
			if _, got, err := q.Pipeline.Process(t.Context(), logql.Input{Stream: stream(), Text: test.line}); got != test.want || err != nil {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestTemplateFunctions(t *testing.T) {
	for template, want := range map[string]string{
		"{{ .a | upper }} {{ .a | title }} {{ .a | substr 1 3 }}":                               "TEXT Text ex",
		"{{ Replace .a `t` `_` 1 }} {{ replace `t` `_` .a }} {{ TrimPrefix .a `te` }}":          "_ext _ex_ xt",
		"{{ alignLeft 6 .a }}|{{ alignRight 6 .a }}|{{ alignLeft 2 .a }}{{ alignRight 2 .a }}":  "text  |  text|text",
		"{{ regexReplaceAll `(t)(.)` .a `$2$1` }} {{ count `t` .a }}":                           "etxt 2",
		"{{ regexReplaceAllLiteral `t` .a `$1` }}":                                              "$1ex$1",
		"{{ add 1 2 3 }} {{ sub 5 2 }} {{ mul 2 3 }} {{ div 7 2 }} {{ mod 7 2 }}":               "6 3 6 3 1",
		"{{ addf 1.5 2 }} {{ divf 7 2 }} {{ round 3.14159 2 }} {{ ceil 1.2 }} {{ max 1 3 2 }}":  "3.5 3.5 3.14 2 3",
		"{{ bytes `2KB` }} {{ duration `1m30s` }} {{ .none | default `-` }}":                    "2000 90 -",
		"{{ __timestamp__ | unixEpochMillis }} {{ unixToTime `1700000000` | unixEpoch }}":       "1700000000123 1700000000",
		"{{ b64enc .a }} {{ b64dec `dGV4dA==` }} {{ urlencode `a b` }} {{ urldecode `a%20b` }}": "dGV4dA== text a+b a b",
		"{{ range fromJson `[1,2]` }}<{{ . }}>{{ end }}":                                        "<1><2>",
		"{{ if and (contains `ex` .a) (hasPrefix `te` .a) }}yes{{ else }}no{{ end }}":           "yes",
		"{{ printf `%05.1f|%-6s|` 3.14 .a }}":                                                   "003.1|text  |",
		"{{ toDateInZone `2006-01-02` `Europe/Berlin` `2024-01-02` | unixEpoch }}":              "1704150000",
	} {
		t.Run(template, func(t *testing.T) {
			out := process(t, "| logfmt | line_format "+quote(template), "a=text")
			if out.Text != want {
				t.Errorf("got  %s %s\nwant %s", out.Text, out.Parsed[logql.LabelErrorDetails], want)
			}
		})
	}
}

// quote writes a template as a string of a query.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// A template takes a bounded time and memory.
func TestTemplateBounds(t *testing.T) {
	for template, want := range map[string]string{
		"{{ range 1000000000 }}{{ range 1000000000 }}{{ end }}{{ end }}":                  "more than 10000 passes",
		"{{ define `a` }}{{ template `a` }}{{ template `a` }}{{ end }}{{ template `a` }}": "more than 10000 passes",
		"{{ repeat 1000000000 `xyz` }}":                                                   "more than 524288 bytes",
		"{{ indent 1000000000 `xyz` }}":                                                   "more than 524288 bytes",
		"{{ alignLeft 1000000000 `xyz` }}":                                                "more than 524288 bytes",
		"{{ printf `%1000000d` 1 }}":                                                      "at most 3 digits",
		"{{ printf `%*d` 1000000 1 }}":                                                    "at most 3 digits",
		"{{ range 9999 }}{{ __line__ }}{{ end }}":                                         "more than 524288 bytes",
		"{{ $x := `ab` }}{{ range 90 }}{{ $x = printf `%s%s` $x $x }}{{ end }}":           "more than 8388608 bytes",
		"{{ regexReplaceAll `(?:a?){1000}` __line__ `` }}":                                "too large for a template",
	} {
		t.Run(template, func(t *testing.T) {
			out := process(t, "| line_format "+quote(template), strings.Repeat("x", 1000))
			if details := out.Parsed[logql.LabelErrorDetails]; out.Parsed[logql.LabelError] != "TemplateFormatErr" || !strings.Contains(details, want) {
				t.Errorf("error %q, %q, want %q", out.Parsed[logql.LabelError], details, want)
			}
		})
	}
}
