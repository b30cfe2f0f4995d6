package logql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/embedded/logql"
)

const rollLine = `{"timestamp":"2026-01-02T03:04:05.000006Z","level":"INFO","message":"Roll completed","logger":"dice-roller",` +
	`"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","die_type":"fair","roll_value":4,"duration_seconds":0.25}`

func stream() map[string]string {
	return map[string]string{"service_name": "dice-roller", "level": "INFO"}
}

func metadata() map[string]string {
	return map[string]string{"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}
}

func TestFilters(t *testing.T) {
	const other = `{"message":"Invalid die","die_type":"loaded","status":422,"took":"1.5s","size":"2KB","nested":{"a":{"b":true}}}`
	const panicked = `panic: runtime error`
	for _, test := range []struct {
		stages string
		want   [3]bool // rollLine, other, panicked
	}{
		{``, [3]bool{true, true, true}},
		{`|= "Roll"`, [3]bool{true, false, false}},
		{`|= "roll"`, [3]bool{true, false, false}},
		{`|= ""`, [3]bool{true, true, true}},
		{`!= "Roll"`, [3]bool{false, true, true}},
		{`|~ "(?i)ROLL|panic"`, [3]bool{true, false, true}},
		{"|~ `die_type\":\"(fair|loaded)\"`", [3]bool{true, true, false}},
		{`!~ "die|panic"`, [3]bool{false, false, false}},
		{`|= "Roll" or "panic"`, [3]bool{true, false, true}},
		{`!= "Roll" or "panic"`, [3]bool{false, true, false}},
		{`|= "die" != "Roll" |~ "4.2"`, [3]bool{false, true, false}},
		{`| level="INFO"`, [3]bool{true, true, true}},
		{`| level!="INFO"`, [3]bool{false, false, false}},
		{`| level=~"IN"`, [3]bool{false, false, false}},
		{`| level=~"IN.*"`, [3]bool{true, true, true}},
		{`| trace_id="0af7651916cd43dd8448eb211c80319c"`, [3]bool{true, true, true}},
		{`| trace_id="0AF7651916CD43DD8448EB211C80319C"`, [3]bool{false, false, false}},
		{`| nothing=""`, [3]bool{true, true, true}},
		{`| nothing!=""`, [3]bool{false, false, false}},
		{`| nothing > 1`, [3]bool{false, false, false}},
		{`| die_type="fair"`, [3]bool{false, false, false}},
		{`| json | die_type="fair"`, [3]bool{true, false, false}},
		{`| json | die_type!="fair"`, [3]bool{false, true, true}},
		{`| json | roll_value=4`, [3]bool{true, false, false}},
		{`| json | roll_value==4.0`, [3]bool{true, false, false}},
		{`| json | roll_value!=4`, [3]bool{false, false, false}},
		{`| json | roll_value>=4`, [3]bool{true, false, false}},
		{`| json | roll_value<4`, [3]bool{false, false, false}},
		{`| json | roll_value>-1 | duration_seconds<=.25`, [3]bool{true, false, false}},
		{`| json | status>=400`, [3]bool{false, true, false}},
		{`| json | took>1s`, [3]bool{false, true, false}},
		{`| json | took==1500ms`, [3]bool{false, true, false}},
		{`| json | took<=1s`, [3]bool{false, false, false}},
		{`| json | size>1KB`, [3]bool{false, true, false}},
		{`| json | size==2kb`, [3]bool{false, true, false}},
		{`| json | nested_a_b="true"`, [3]bool{false, true, false}},
		{`| json | message=~"Roll .*" or status=422`, [3]bool{true, true, false}},
		{`| json | message=~"Roll .*" and status=422`, [3]bool{false, false, false}},
		{`| json | die_type="fair", roll_value=4`, [3]bool{true, false, false}},
		{`| json | die_type="fair" roll_value=4`, [3]bool{true, false, false}},
		{`| json | (die_type="fair" or die_type="loaded") and status!=1`, [3]bool{false, true, false}},
		{`| json | die_type="fair" or die_type="loaded" and roll_value=4`, [3]bool{true, false, false}},
		// what follows a comma is one operand, as in Loki
		{`| json | roll_value=4, die_type="loaded" or die_type="fair"`, [3]bool{true, false, false}},
		{`| json | die_type="loaded" or die_type="fair", roll_value=5`, [3]bool{false, true, false}},
		{`| json | __error__=""`, [3]bool{true, true, false}},
		{`| json | __error__="JSONParserErr"`, [3]bool{false, false, true}},
		{`| json | message > 5`, [3]bool{true, true, false}}, // not a number: kept, with an error
		{`| json | message > 5 | __error__!="LabelFilterErr"`, [3]bool{false, false, false}},
		{`| json | trace_id_extracted="0af7651916cd43dd8448eb211c80319c"`, [3]bool{true, false, false}},
		{`| json |= "Roll"`, [3]bool{true, false, false}},
		// what Loki's scanner skips
		{"| json # and so on\n| roll_value=4", [3]bool{true, false, false}},
		{"| json // and so on\n| roll_value=4 // | roll_value=5", [3]bool{true, false, false}},
		{"| json /* and\nso on */ | roll_value=4 != `//`", [3]bool{true, false, false}},
	} {
		t.Run(test.stages, func(t *testing.T) {
			q, err := logql.Parse(`{service_name="dice-roller"} ` + test.stages)
			if err != nil {
				t.Fatal(err)
			}
			var got [3]bool
			for i, line := range []string{rollLine, other, panicked} {
				if _, got[i], err = q.Pipeline.Process(t.Context(), logql.Input{Stream: stream(), Metadata: metadata(), Text: line}); err != nil {
					t.Fatal(err)
				}
			}
			if got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestProcessedLabels(t *testing.T) {
	const details = "Value looks like object, but can't find closing '}' symbol"
	for _, test := range []struct {
		name, stages, line string
		stream, metadata   map[string]string
		want               logql.Labels
	}{
		{
			name: "nothing parsed", line: rollLine, stream: stream(), metadata: metadata(),
			want: logql.Labels{Stream: stream(), Metadata: metadata()},
		},
		{
			name: "names that are taken", stages: "| json", line: rollLine, stream: stream(), metadata: metadata(),
			want: logql.Labels{Stream: stream(), Metadata: metadata(), Parsed: map[string]string{
				"timestamp": "2026-01-02T03:04:05.000006Z", "level_extracted": "INFO", "message": "Roll completed", "logger": "dice-roller",
				"trace_id_extracted": "0af7651916cd43dd8448eb211c80319c", "span_id_extracted": "b7ad6b7169203331",
				"die_type": "fair", "roll_value": "4", "duration_seconds": "0.25",
			}},
		},
		{
			name: "nested, arrays, nulls", stages: "| json", stream: stream(),
			line: `{"a":{"b":{"c":1e3,"d":[1]},"e":null},"f":[],"g":false,"h":""}`,
			want: logql.Labels{Stream: stream(), Parsed: map[string]string{"a_b_c": "1e3", "g": "false", "h": ""}},
		},
		{
			name: "names that labels cannot have", stages: "| json", stream: stream(),
			line: `{"die.type":"fair","1st":"a","x y":"b","é":"c"," t ":"d","o":{"1":"e"}}`,
			want: logql.Labels{Stream: stream(), Parsed: map[string]string{"die_type": "fair", "_1st": "a", "x_y": "b", "_": "c", "t": "d", "o_1": "e"}},
		},
		{
			name: "the first of two", stages: "| json", stream: stream(),
			line: `{"a":1,"a":2,"b":{"c":3},"b_c":4,"level":"x","level":"y"}`,
			want: logql.Labels{Stream: stream(), Parsed: map[string]string{"a": "1", "b_c": "3", "level_extracted": "x"}},
		},
		{
			name: "escapes", stages: "| json", stream: stream(), line: `{"a":"x\"\\\n\u00e9\ud83c\udfb2"}`,
			want: logql.Labels{Stream: stream(), Parsed: map[string]string{"a": "x\"\\\né🎲"}},
		},
		{
			name: "not JSON", stages: "| json", stream: stream(), metadata: metadata(), line: `panic: boom`,
			want: logql.Labels{Stream: stream(), Metadata: metadata(), Parsed: map[string]string{
				"__error__": "JSONParserErr", "__error_details__": details}},
		},
		{
			name: "JSON that is cut", stages: "| json", stream: stream(), line: `{"a":1,"b":"x`,
			want: logql.Labels{Stream: stream(), Parsed: map[string]string{
				"a": "1", "__error__": "JSONParserErr", "__error_details__": "Value is string, but can't find closing '\"' symbol"}},
		},
		{
			name: "JSON that nests deeply", stages: "| json", stream: stream(), line: `{"a":1,"b":` + strings.Repeat(`{"c":`, 64) + "2" + strings.Repeat("}", 65),
			want: logql.Labels{Stream: stream(), Parsed: map[string]string{
				"a": "1", "__error__": "JSONParserErr", "__error_details__": "the line has more than 64 JSON objects within each other"}},
		},
		{
			name: "JSON that nests as deeply as it may", stages: "| json", stream: stream(), line: strings.Repeat(`{"c":`, 64) + "2" + strings.Repeat("}", 64),
			want: logql.Labels{Stream: stream(), Parsed: map[string]string{"c" + strings.Repeat("_c", 63): "2"}},
		},
		{
			name: "JSON with long names around each field", stages: "| json", stream: stream(),
			line: `{"` + strings.Repeat("n", 200<<10) + `":{"a":"` + strings.Repeat("v", 40<<10) + `","b":2,"c":3}}`,
			want: logql.Labels{Stream: stream(), Parsed: map[string]string{
				strings.Repeat("n", 200<<10) + "_a": strings.Repeat("v", 40<<10),
				"__error__":                         "JSONParserErr",
				"__error_details__":                 "the fields of the line, with the names of the objects around each, have more than 524288 bytes"}},
		},
		{
			name: "not a number", stages: "| json | a > 5", stream: stream(), line: `{"a":"x"}`,
			want: logql.Labels{Stream: stream(), Parsed: map[string]string{
				"a": "x", "__error__": "LabelFilterErr", "__error_details__": `strconv.ParseFloat: parsing "x": invalid syntax`}},
		},
		{
			name: "the first error stays", stages: "| json | level > 5", stream: stream(), line: `x`,
			want: logql.Labels{Stream: stream(), Parsed: map[string]string{
				"__error__": "JSONParserErr", "__error_details__": details}},
		},
		{
			name: "metadata of the name of a label", line: `x`, stream: stream(), metadata: map[string]string{"level": "low", "pod": "p"},
			want: logql.Labels{Stream: stream(), Metadata: map[string]string{"level_extracted": "low", "pod": "p"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			q, err := logql.Parse(`{service_name="dice-roller"} ` + test.stages)
			if err != nil {
				t.Fatal(err)
			}
			got, ok, err := q.Pipeline.Process(t.Context(), logql.Input{Stream: test.stream, Metadata: test.metadata, Text: test.line})
			if !ok || err != nil {
				t.Fatalf("the line was filtered out, %v", err)
			}
			if diff := cmp.Diff(test.want, got.Labels); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A line has at most 1,000 labels of its JSON fields.
func TestManyJSONFields(t *testing.T) {
	q, err := logql.Parse(`{a="b"} | json`)
	if err != nil {
		t.Fatal(err)
	}
	var fields []string
	for i := range 1_001 {
		fields = append(fields, fmt.Sprintf(`"f%04d":%d`, i, i))
	}
	for n, want := range map[int]string{1_000: "", 1_001: "the line has more than 1000 fields"} {
		l, _, err := q.Pipeline.Process(t.Context(), logql.Input{Stream: stream(), Text: "{" + strings.Join(fields[:n], ",") + "}"})
		if err != nil {
			t.Fatal(err)
		}
		if l.Parsed["f0999"] != "999" || l.Parsed["f1000"] != "" || l.Parsed[logql.LabelErrorDetails] != want {
			t.Errorf("%d fields: f0999=%q f1000=%q, %q, want %q", n, l.Parsed["f0999"], l.Parsed["f1000"], l.Parsed[logql.LabelErrorDetails], want)
		}
	}
}

// The pipeline stops as soon as the context has ended, also within one match and one object.
func TestProcessEndsWithItsContext(t *testing.T) {
	for name, query := range map[string]string{
		"line filter":  "{a=`b`} |~ `" + strings.Repeat("(?:x?){1000}", 4) + "y$`",
		"label filter": "{a=`b`} | json | x=~`(?:" + strings.Repeat("(?:x?){1000}", 4) + ")*y`",
		"json":         "{a=`b`}" + strings.Repeat(" | json", 100),
	} {
		t.Run(name, func(t *testing.T) {
			q, err := logql.Parse(query)
			if err != nil {
				t.Fatal(err)
			}
			ctx := &ending{Context: t.Context(), n: 5}
			line := `{"a":1,"b":2,"c":3,"x":"` + strings.Repeat("x", 250<<10) + `"}`
			if _, _, err := q.Pipeline.Process(ctx, logql.Input{Stream: stream(), Text: line}); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want the context's", err)
			}
		})
	}
}

// ending is a context that ends when it has been checked n times.
type ending struct {
	context.Context
	n int
}

func (c *ending) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

func TestRequired(t *testing.T) {
	type filters = []logql.Filter
	for _, test := range []struct {
		stages string
		want   filters
		all    bool
	}{
		{``, nil, true},
		{`| trace_id="a"`, filters{{"trace_id", "=", []string{"a"}}}, true},
		{"|= `x` | trace_id=`a` | json", filters{{"", "|=", []string{"x"}}, {"trace_id", "=", []string{"a"}}}, false},
		{`| trace_id="a" | span_id!="b"`, filters{{"trace_id", "=", []string{"a"}}, {"span_id", "!=", []string{"b"}}}, true},
		{`| a="1" and (b="2" and c!="3")`, filters{{"a", "=", []string{"1"}}, {"b", "=", []string{"2"}}, {"c", "!=", []string{"3"}}}, true},
		{`| a="1", b="2"`, filters{{"a", "=", []string{"1"}}, {"b", "=", []string{"2"}}}, true},
		{`| a="1", b="2" or c="3"`, filters{{"a", "=", []string{"1"}}}, false},
		{`| a="1" or b="2"`, nil, false},
		{`| (a="1" or b="2") and c="3"`, filters{{"c", "=", []string{"3"}}}, false},
		{`| a="1" | a=""`, filters{{"a", "=", []string{"1"}}, {"a", "=", []string{""}}}, true},
		{`| a=~"b|c" | a!~"d"`, filters{{"a", "=~", []string{"b|c"}}}, false},
		{`| a=~"(x?){60}"`, nil, false}, // a match takes long
		{`| a > 5`, nil, false},
		{`| a_extracted="1"`, nil, false}, // metadata a of a stream that has a label a
		{`| __error__=""`, nil, false},
		{"|= `a` or `b` != `c` or `d` |~ `e` !~ `f`", filters{{"", "|=", []string{"a", "b"}}, {"", "!=", []string{"c", "d"}}, {"", "|~", []string{"e"}}}, false},
		{"|= `` != `x`", filters{{"", "!=", []string{"x"}}}, true},
		{`|= "\xff"`, nil, false},
		// a parser could set the label, on a line whose metadata lacks it
		{"| json | trace_id=`a` |= `x`", filters{{"", "|=", []string{"x"}}}, false},
	} {
		t.Run(test.stages, func(t *testing.T) {
			q, err := logql.Parse(`{service_name="dice-roller"} ` + test.stages)
			if err != nil {
				t.Fatal(err)
			}
			got, all := q.Pipeline.Required()
			if diff := cmp.Diff(test.want, got); diff != "" || all != test.all {
				t.Errorf("all: %v, want %v; filters (-want +got)\n%s", all, test.all, diff)
			}
		})
	}
}

func TestLabelsAll(t *testing.T) {
	l := logql.Labels{Stream: map[string]string{"a": "1"}, Metadata: map[string]string{"b": "2"}, Parsed: map[string]string{"c": `"3"`}}
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "2", "c": `"3"`}, l.All()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got, want := logql.FormatLabels(l.All()), `{a="1", b="2", c="\"3\""}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
