package traceql_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/embedded/traceql"
)

func parser(t testing.TB) *traceql.Parser {
	t.Helper()
	p, err := traceql.NewParser()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func text(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

func subject() (*tracepb.Span, *resourcepb.Resource, traceql.Trace) {
	span := &tracepb.Span{
		Name: "GET /roll", Kind: tracepb.Span_SPAN_KIND_SERVER, StartTimeUnixNano: 1_000_000_000, EndTimeUnixNano: 1_250_000_000,
		Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR},
		Attributes: []*commonpb.KeyValue{
			{Key: "die.type", Value: text("risky")},
			{Key: "die.result", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 7}}},
			{Key: "die.error", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}},
			{Key: "ratio", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 0.5}}},
			{Key: "headers", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{text("a"), text("b")}}}}},
			{Key: "with space", Value: text("yes")},
			{Key: "both", Value: text("span")},
		},
	}
	resource := &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{Key: "service.name", Value: text("dice-roller")}, {Key: "both", Value: text("resource")}}}
	return span, resource, traceql.Trace{Duration: 2 * time.Second, RootName: "POST /roll", RootServiceName: "streamlit-frontend"}
}

func TestMatch(t *testing.T) {
	tests := []struct {
		query string
		want  bool
	}{
		{query: `{}`, want: true},
		{query: ` { } `, want: true},
		{query: `{resource.service.name="dice-roller"}`, want: true},
		{query: `{resource.service.name="dice"}`, want: false},
		{query: `{.service.name="dice-roller"}`, want: true},
		{query: `{span.service.name="dice-roller"}`, want: false},
		{query: `{.both="span"}`, want: true},
		{query: `{.both="resource"}`, want: false},
		{query: `{resource.both="resource"}`, want: true},
		{query: `{span.die.type!="fair"}`, want: true},
		{query: `{span.nothing!="fair"}`, want: false},
		{query: `{span.nothing!~"fair"}`, want: false},
		{query: `{span.die.type=~"ris.*"}`, want: true},
		{query: `{span.die.type=~"ris"}`, want: false},
		{query: `{span.die.type!~"ris"}`, want: true},
		{query: "{span.die.type=~`r\\w+`}", want: true},
		{query: `{span.die.type=~"r\\w+"}`, want: true},
		{query: `{span.die.type > "a"}`, want: true},
		{query: `{span.die.result=7}`, want: true},
		{query: `{span.die.result!=7}`, want: false},
		{query: `{span.die.result>=7.0}`, want: true},
		{query: `{span.die.result<7.5}`, want: true},
		{query: `{span.die.result>-1}`, want: true},
		{query: `{span.die.result="7"}`, want: false},
		{query: `{span.die.result!="7"}`, want: false},
		{query: `{span.die.error=true}`, want: true},
		{query: `{span.die.error!=true}`, want: false},
		{query: `{span.die.error=false}`, want: false},
		{query: `{span.ratio=0.5}`, want: true},
		{query: `{span.ratio<1}`, want: true},
		{query: `{span.headers="b"}`, want: true},
		{query: `{span.headers!="b"}`, want: true},
		{query: `{span.headers!="c"}`, want: true},
		{query: `{span.headers!~"a|b"}`, want: false},
		{query: `{span."with space"="yes"}`, want: true},
		{query: `{name="GET /roll"}`, want: true},
		{query: `{span:name="GET /roll"}`, want: true},
		{query: `{name=~"GET.*"}`, want: true},
		{query: `{status=error}`, want: true},
		{query: `{status!=error}`, want: false},
		{query: `{status=ok || status=unset}`, want: false},
		{query: `{kind=server}`, want: true},
		{query: `{kind!=client}`, want: true},
		{query: `{duration>100ms}`, want: true},
		{query: `{duration=250ms}`, want: true},
		{query: `{duration<=0.25s}`, want: true},
		{query: `{duration>1m30s}`, want: false},
		{query: `{traceDuration>1.5s}`, want: true},
		{query: `{trace:duration<1.5s}`, want: false},
		{query: `{rootName="POST /roll" && rootServiceName="streamlit-frontend"}`, want: true},
		{query: `{trace:rootService="dice-roller"}`, want: false},
		{query: `{status=error && kind=client}`, want: false},
		{query: `{status=ok && kind=client || name="GET /roll"}`, want: true},
		{query: `{status=ok && (kind=client || name="GET /roll")}`, want: false},
		{query: `{name="GET /roll" || kind=server && status=ok}`, want: false},
		{query: `{name="GET /roll" || (kind=server && status=ok)}`, want: true},
		{query: `{name="x" && status=ok || kind=server && name="GET /roll"}`, want: true},
		{query: "{\n\t(((status=error)))\n}", want: true},
	}
	p := parser(t)
	span, resource, trace := subject()
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			q, err := p.Parse(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			found, err := q.Select(t.Context(), []traceql.Span{{Span: span, Resource: resource}}, trace)
			if got := len(found) == 1; got != tt.want || err != nil {
				t.Errorf("match %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

const native = " not supported by the embedded stack: start the lab with --stack=native, which runs Tempo itself"

func TestErrors(t *testing.T) {
	tests := []struct {
		name, query  string
		line, column int
		contains     string
	}{
		{name: "empty", query: " ", line: 1, column: 1, contains: "the query is empty"},
		{name: "aggregate", query: `count() > 2`, line: 1, column: 1, contains: "--stack=native"},
		{name: "rate", query: `{status=error} | rate()`, line: 1, column: 16, contains: "make a query for metrics, which /api/metrics/query_range"},
		{name: "average over time", query: `{status=error} | avg_over_time(duration)`, line: 1, column: 16, contains: "pipelines (|) but for | count() > n are" + native},
		{name: "pipeline after count", query: `{} | count() > 2 | avg(duration) > 1s`, line: 1, column: 18, contains: "pipelines (|) but for | count() > n are" + native},
		{name: "count of text", query: `{} | count() > "2"`, line: 1, column: 4, contains: "count() is compared with a whole number"},
		{name: "count of a part", query: `{} | count() > 2.5`, line: 1, column: 4, contains: "count() is compared with a whole number"},
		{name: "count alone", query: `{} | count()`, line: 1, column: 4, contains: "count() is compared with a whole number"},
		{name: "parent", query: `{} < {}`, line: 1, column: 4, contains: "structural operators but for > and >> (here: <) are" + native},
		{name: "sibling below", query: `{} >> {} ~ {}`, line: 1, column: 10, contains: "structural operators but for > and >> (here: ~) are" + native},
		{name: "below nothing", query: `{} >`, line: 1, column: 4, contains: "after > comes a spanset"},
		{name: "below, not closed", query: `{} >> { .a = 1`, line: 1, column: 15, contains: "the query ends too early"},
		{name: "not closed, below", query: `{ .a = 1 >> {}`, line: 1, column: 10, contains: "unexpected token"},
		{name: "too many spansets", query: "{}" + strings.Repeat(">{}", traceql.MaxSpansets), line: 1, column: 3 * traceql.MaxSpansets, contains: "more than 10 spansets"},
		{name: "two spansets", query: `{} && {}`, line: 1, column: 4, contains: "combining spansets ({…} && {…}) is" + native},
		{name: "nil", query: `{ .a != nil }`, line: 1, column: 9, contains: "comparing with nil is" + native},
		{name: "two fields", query: `{ .a = .b }`, line: 1, column: 8, contains: "comparing two fields is" + native},
		{name: "scope", query: `{ event.name = "x" }`, line: 1, column: 3, contains: `scope "event" (of resource, span and none) is` + native},
		{name: "intrinsic", query: `{ nestedSetLeft = 1 }`, line: 1, column: 3, contains: `"nestedSetLeft"`},
		{name: "bare attribute", query: `{ .a }`, line: 1, column: 3, contains: "(a bare name, arithmetic) is" + native},
		{name: "arithmetic", query: `{ .a + 1 = 2 }`, line: 1, column: 3, contains: "(a bare name, arithmetic) is" + native},
		{name: "not", query: `{ !(.a = 1) }`, line: 1, column: 3, contains: "arithmetic and negation"},
		{name: "not closed", query: `{ .a = 1`, line: 1, column: 9, contains: "the query ends too early"},
		{name: "string not closed", query: `{ .a = "x }`, line: 1, column: 8, contains: "the text that begins here with \" does not end"},
		{name: "bad escape", query: `{ .a = "\d" }`, line: 1, column: 8, contains: "a backslash is written"},
		{name: "unquoted text", query: "{\n  .a = risky }", line: 2, column: 8, contains: `quote text, as in "risky"`},
		{name: "status word", query: `{ status = fail }`, line: 1, column: 12, contains: "status is compared with ok, error or unset"},
		{name: "status text", query: `{ status = "error" }`, line: 1, column: 12, contains: "status is compared with ok, error or unset"},
		{name: "status order", query: `{ status > ok }`, line: 1, column: 12, contains: "by = or !="},
		{name: "kind word", query: `{ kind = servant }`, line: 1, column: 10, contains: "kind is compared with"},
		{name: "duration without unit", query: `{ duration > 100 }`, line: 1, column: 14, contains: "a duration such as 100ms"},
		{name: "name with number", query: `{ name = 1 }`, line: 1, column: 10, contains: "name is compared with text"},
		{name: "regular expression", query: `{ name =~ "(" }`, line: 1, column: 11, contains: "regular expression"},
		{name: "regular expression of number", query: `{ .a =~ 1 }`, line: 1, column: 9, contains: "compares with text"},
		{name: "order of booleans", query: `{ .a < true }`, line: 1, column: 8, contains: "compared by = or !="},
		{name: "too long", query: "{" + strings.Repeat(" ", traceql.MaxLength) + "}", line: 1, column: 1, contains: "at most 16384"},
	}
	p := parser(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := p.Parse(tt.query)
			var e *traceql.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want a *traceql.Error", err)
			}
			if e.Line != tt.line || e.Column != tt.column || !strings.Contains(e.Message, tt.contains) {
				t.Errorf("got %v\nwant line %d, col %d and %q", e, tt.line, tt.column, tt.contains)
			}
		})
	}
}

func TestRequired(t *testing.T) {
	status := traceql.Condition{Field: traceql.Field{Scope: traceql.Status, Name: "status"}, Op: "=", Value: traceql.Value{Type: traceql.StatusCode, Text: "error", Int: 2}}
	die := traceql.Condition{Field: traceql.Field{Scope: traceql.SpanScope, Name: "die.type"}, Op: "!=", Value: traceql.Value{Type: traceql.String, Text: "fair"}}
	tests := []struct {
		query string
		want  [][]traceql.Condition
	}{
		{query: `{}`, want: [][]traceql.Condition{nil}},
		{query: `{status=error}`, want: [][]traceql.Condition{{status}}},
		{query: `{status=error && (span.die.type!="fair" && status=error)}`, want: [][]traceql.Condition{{status, die, status}}},
		{query: `{status=error || span.die.type!="fair"}`, want: [][]traceql.Condition{nil}},
		{query: `{status=error || kind=server && span.die.type!="fair"}`, want: [][]traceql.Condition{{die}}},
		{query: `{status=error && (span.die.type!="fair" || kind=server)}`, want: [][]traceql.Condition{{status}}},
		{query: `{status=error} >> {} > {span.die.type!="fair"}`, want: [][]traceql.Condition{{status}, nil, {die}}},
	}
	p := parser(t)
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			q, err := p.Parse(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, q.Required(), cmpopts.IgnoreUnexported(traceql.Condition{})); diff != "" {
				t.Errorf("required (-want +got):\n%s", diff)
			}
		})
	}
}

// A resource without a service name has an empty one. It has no other attributes.
func TestNoService(t *testing.T) {
	p := parser(t)
	for query, want := range map[string]bool{
		`{resource.service.name=""}`: true, `{.service.name=""}`: true, `{.service.name!="x"}`: true, `{span.service.name!="x"}`: false,
		`{resource.service.name="x"}`: false, `{resource.service.namespace=""}`: false,
	} {
		q, err := p.Parse(query)
		if err != nil {
			t.Fatal(err)
		}
		found, err := q.Select(t.Context(), []traceql.Span{{Span: &tracepb.Span{}}}, traceql.Trace{})
		if got := len(found) == 1; got != want || err != nil {
			t.Errorf("%s: match %v, %v, want %v", query, got, err, want)
		}
	}
}

func TestShown(t *testing.T) {
	tests := []struct{ query, want string }{
		{`{}`, ``},
		{`{span.die.type="risky" && name="GET /roll"}`, `die.type=risky name`},
		{`{span.die.type="fair" || status=error}`, `status`},
		{`{span.die.type="fair" || span.die.type=~"r.*" || kind=client}`, `die.type=risky`},
		{`{name="POST /roll"} >> {status=error}`, `status`},
		{`{name="GET /roll"} >> {}`, `name`},
		{`{span.headers="b"}`, `headers=b`},
		{`{span.headers="b" && span.headers!="c"}`, `headers=[a b]`},
		{`{resource.service.name!="x" && traceDuration>1s}`, `service.name=dice-roller traceDuration`},
	}
	p := parser(t)
	span, resource, trace := subject()
	for _, tt := range tests {
		q, err := p.Parse(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		shown, err := q.MatchedFields(t.Context(), traceql.Span{Span: span, Resource: resource}, trace)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range shown {
			one := s.Field.Name
			if array := s.Value.GetArrayValue(); array != nil {
				var elements []string
				for _, e := range array.GetValues() {
					elements = append(elements, e.GetStringValue())
				}
				one += fmt.Sprintf("=%v", elements)
			} else if s.Value != nil {
				one += "=" + s.Value.GetStringValue()
			}
			got = append(got, one)
		}
		if got := strings.Join(got, " "); got != tt.want {
			t.Errorf("%s shows %q, want %q", tt.query, got, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{}`, `{resource.service.name="a" && (status=error || duration>1.5s)}`, "{name=~`x`}", `{span."a b".c != 1e3}`, `{} | count()`, `{status=error} >> {} > {.a = 1} | count() > 2 | count() != 7`, `{ .a = "\x00" }`, `{{`, `{ .a = 9223372036854775808 }`, `{duration>99999999999h}`, "{µs=1}"} {
		f.Add(seed)
	}
	p := parser(f)
	span, resource, trace := subject()
	f.Fuzz(func(t *testing.T, query string) {
		q, err := p.Parse(query)
		if err != nil {
			var e *traceql.Error
			if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 || e.Message == "" {
				t.Fatalf("error without a position or text: %#v", err)
			}
			return
		}
		other := &tracepb.Span{SpanId: []byte{2}, ParentSpanId: []byte{1}}
		subject := traceql.Span{Span: span, Resource: resource}
		if _, err := q.Select(t.Context(), []traceql.Span{subject, {Span: other, Resource: resource}}, trace); err != nil {
			t.Fatal(err)
		}
		q.Required()
		if _, err := q.MatchedFields(t.Context(), subject, trace); err != nil {
			t.Fatal(err)
		}
	})
}

// chain is a span and its parent, named by letters; "" means no parent.
type chain struct{ id, parent string }

func TestBelow(t *testing.T) {
	tree := []chain{{"a", ""}, {"b", "a"}, {"c", "b"}, {"d", "b"}, {"e", "a"}}
	deep := []chain{{"0", ""}}
	for i := range 10_000 {
		deep = append(deep, chain{strconv.Itoa(i + 1), strconv.Itoa(i)})
	}
	tests := []struct {
		name, query string
		spans       []chain
		want        string // the found ones' names
	}{
		{name: "child", query: `{name="a"} > {}`, spans: tree, want: "b e"},
		{name: "descendant", query: `{name="a"} >> {}`, spans: tree, want: "b c d e"},
		{name: "the child's own condition", query: `{name="a"} >> {name="c"}`, spans: tree, want: "c"},
		{name: "no child", query: `{name="a"} > {name="c"}`, spans: tree},
		{name: "not upwards", query: `{name="c"} >> {name="a"}`, spans: tree},
		{name: "not itself", query: `{name="a"} >> {name="a"}`, spans: tree},
		{name: "three deep", query: `{name="a"} > {} > {name="d"}`, spans: tree, want: "d"},
		{name: "child of a descendant", query: `{name="a"} >> {name="b"} > {name!="c"}`, spans: tree, want: "d"},
		{name: "each once, though below two", query: `{} >> {name="c"}`, spans: tree, want: "c"},
		{name: "everything but roots", query: `{} > {}`, spans: tree, want: "b c d e"},
		{name: "counted", query: `{} | count() = 5`, spans: tree, want: "a b c d e"},
		{name: "not as many", query: `{} | count() > 5`, spans: tree},
		{name: "counted below", query: `{name="b"} > {} | count() >= 2 | count() < 3`, spans: tree, want: "c d"},
		{name: "none are counted, but not found", query: `{name="z"} | count() = 0`, spans: tree},
		{name: "the parent is missing", query: `{} > {name="b"}`, spans: []chain{{"b", "gone"}, {"c", "b"}}},
		{name: "below one whose parent is missing", query: `{name="b"} >> {}`, spans: []chain{{"b", "gone"}, {"c", "b"}}, want: "c"},
		{name: "not across what is missing", query: `{name="a"} >> {name="c"}`, spans: []chain{{"a", ""}, {"c", "gone"}}},
		{name: "several roots", query: `{name="b"} >> {}`, spans: []chain{{"a", ""}, {"c", "a"}, {"b", ""}, {"d", "b"}}, want: "d"},
		{name: "an ID that is there twice", query: `{name="a"} > {} > {}`, spans: []chain{{"a", ""}, {"b", "a"}, {"b", "a"}, {"c", "b"}}, want: "c"},
		{name: "a circle", query: `{name="a"} >> {}`, spans: []chain{{"a", "c"}, {"b", "a"}, {"c", "b"}}, want: "a b c"},
		{name: "its own parent", query: `{name="a"} >> {} >> {name="b"}`, spans: []chain{{"a", "a"}, {"b", "a"}}, want: "b"},
		{name: "deep", query: `{name="0"} >> {name="10000"}`, spans: deep, want: "10000"},
	}
	p := parser(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q, err := p.Parse(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			var spans []traceql.Span
			for _, s := range tt.spans {
				span := &tracepb.Span{Name: s.id, SpanId: []byte(s.id)}
				if s.parent != "" {
					span.ParentSpanId = []byte(s.parent)
				}
				spans = append(spans, traceql.Span{Span: span})
			}
			var got []string
			found, err := q.Select(t.Context(), spans, traceql.Trace{})
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range found {
				got = append(got, spans[i].GetName())
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}
