package logql_test

import (
	"errors"
	"testing"

	"dicelab/internal/embedded/logql"
)

// FuzzParse checks that no text makes the parser panic, that every error has a place inside
// the text, and that parsed queries can be run.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		``, `{a="b"}`, `{a="b",c!="d",e=~"f.*",g!~"h"}`, "{a=`b`} |= \"x\" != `y` |~ \"z\" !~ \"w\" or \"v\"",
		`{a="b"} | json | c="d" or (e>5 and f<=1.5s), g==2KB`, `sum by (x) (rate({a="b"} | json [5m]))`,
		`count_over_time({a="b"}[1m30s] |= "x")`, `((((({a="b"})))))`, `{a="b"} | logfmt`, "{a=\"b\"}\n# x\n|> \"<_>\"", `{a="\u00e9"`, `sum(`, `rate({a="b"}[99999999999999999999y])`,
		"{a=`b`} | logfmt --strict x,y=\"z\" | json a=\"b[0].c\" | regexp `(?P<x>.)` | pattern `<x> <_>` | unpack | decolorize | drop a,b=~`c` | keep d",
		"{a=`b`} | line_format `{{range $i := 3}}{{.x | trunc $i}}{{end}}` | label_format a=b,c=`{{.d}}` |> `<_>x` != ip(`10.0.0.0/8`) | e=ip(`::1`)",
		"topk by (x) (3, sum without (y) (rate({a=`b`} | unwrap duration(z) | z>1 [5m] offset -1h))) / on (x) group_left (y) label_replace(vector(1), `a`, `b`, `c`, `d`) >= bool 2^-1",
		"quantile_over_time(.9, ({a=`b`} | logfmt | unwrap x)[1d]) by () or absent_over_time({a=`b`}[1m]) unless (1 + 2 * vector(3))",
	} {
		f.Add(seed, rollLine)
	}
	f.Fuzz(func(t *testing.T, query, line string) {
		q, err := logql.Parse(query)
		if err != nil {
			var at *logql.Error
			if !errors.As(err, &at) {
				t.Fatalf("error of type %T: %v", err, err)
			}
			if at.Line < 1 || at.Col < 1 || at.Line > len(query)+1 || at.Col > len(query)+1 || at.Message == "" {
				t.Fatalf("error without a place or a reason: %+v", at)
			}
			return
		}
		selector, pipeline := q.Selector, q.Pipeline
		if q.Metric != nil {
			if len(q.Metric.Ranges) == 0 {
				return
			}
			selector, pipeline = q.Metric.Ranges[0].Selector, q.Metric.Ranges[0].Pipeline
		}
		if _, err := selector.Matches(t.Context(), stream()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := pipeline.Process(t.Context(), logql.Input{Stream: stream(), Metadata: metadata(), Text: line}); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzJSON checks that no line makes the json stage panic or drop the line, and that the
// extracted labels have valid names.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{rollLine, ``, `{`, `[]`, `{"a":{"b":{"c":[1,{"d":2}]}}}`, `{"":""}`, `{"a":"\ud800"}`, `{"a":tru}`, `{"a" 1}`, "{\"\x00\":1}"} {
		f.Add(seed)
	}
	q, err := logql.Parse(`{a="b"} | json`)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		l, ok, err := q.Pipeline.Process(t.Context(), logql.Input{Stream: stream(), Text: line})
		if !ok || err != nil {
			t.Fatalf("the line was lost: %v", err)
		}
		for name := range l.Parsed {
			if _, err := logql.ParseLabels("{" + name + `="x"}`); err != nil {
				t.Fatalf("the name %q: %v", name, err)
			}
		}
	})
}
