package traceql_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/embedded/traceql"
)

func text(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

func id(bytes int, last ...byte) []byte { return append(make([]byte, bytes-len(last)), last...) }

// subject returns a trace of one span that has everything.
func subject() *traceql.Trace {
	span := &tracepb.Span{
		TraceId: []byte("\x1a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c"), SpanId: id(8, 0x22),
		Name: "GET /roll", Kind: tracepb.Span_SPAN_KIND_SERVER, StartTimeUnixNano: 1_000_000_000, EndTimeUnixNano: 1_250_000_000,
		Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "broke"},
		Attributes: []*commonpb.KeyValue{
			{Key: "die.type", Value: text("risky")},
			{Key: "die.result", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 7}}},
			{Key: "die.error", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}},
			{Key: "ratio", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 0.5}}},
			{Key: "headers", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{text("a"), text("b")}}}}},
			{Key: "with space", Value: text("yes")},
			{Key: "both", Value: text("span")},
		},
		Events: []*tracepb.Span_Event{
			{Name: "retry", TimeUnixNano: 1_000_000_001},
			{Name: "exception", TimeUnixNano: 1_002_000_000, Attributes: []*commonpb.KeyValue{{Key: "exception.type", Value: text("x")}}},
		},
		Links: []*tracepb.Span_Link{{TraceId: id(16, 0x0a, 0xf7), SpanId: id(8, 5), Attributes: []*commonpb.KeyValue{{Key: "why", Value: text("linked")}}}},
	}
	return &traceql.Trace{
		Spans: []traceql.Span{{
			Span:     span,
			Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{Key: "service.name", Value: text("dice-roller")}, {Key: "both", Value: text("resource")}}},
			Scope:    &commonpb.InstrumentationScope{Name: "lib", Version: "1.2", Attributes: []*commonpb.KeyValue{{Key: "language", Value: text("go")}}},
		}},
		Duration: 2 * time.Second, RootName: "POST /roll", RootServiceName: "streamlit-frontend",
	}
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
		{query: `{span.die.result>=7.0}`, want: false},
		{query: `{span.die.result<7.5}`, want: false},
		{query: `{span.die.result>-1}`, want: true},
		{query: `{span.die.result="7"}`, want: false},
		{query: `{span.die.result!="7"}`, want: false},
		{query: `{span.die.error=true}`, want: true},
		{query: `{span.die.error!=true}`, want: false},
		{query: `{span.die.error=false}`, want: false},
		{query: `{span.ratio=0.5}`, want: true},
		{query: `{span.ratio<1}`, want: false},
		{query: `{span.ratio + 0 < 1}`, want: true},
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
		{query: `{true}`, want: true},
		{query: `{!true || 1 = 2}`, want: false},
		{query: `{span.die.error}`, want: true},
		{query: `{!span.die.error}`, want: false},
		{query: `{!span.none}`, want: false},
		{query: `{span.none != nil}`, want: false},
		{query: `{span.none = nil && nil != span.both}`, want: true},
		{query: `{span.die.result = nil}`, want: false},
		{query: `{nil = nil}`, want: false},
		{query: `{span.die.result * 2 + 1 = 15}`, want: true},
		{query: `{-span.die.result = -7 && 2 ^ 3 ^ 0 = 2}`, want: true},
		{query: `{span.die.result % 4 = 3 && span.die.result / 2 = 3}`, want: true},
		{query: `{span.die.result > 10 * 1024}`, want: false},
		{query: `{span.die.result / 0 = 1}`, want: false},
		{query: `{7 = span.die.result && 8 > span.die.result}`, want: true},
		{query: `{duration = 250000000}`, want: true},
		{query: `{duration > 0.25s - 1}`, want: true},
		{query: `{span.both != resource.both}`, want: true},
		{query: `{span.die.result < maxInt && span.die.result > minInt}`, want: true},
		{query: `{statusMessage = "broke" && span:statusMessage =~ "b.*"}`, want: true},
		{query: `{span:id = "22" && trace:id = "1af7651916cd43dd8448eb211c80319c" && span:parentID = ""}`, want: true},
		{query: `{event:name = "exception" && event.exception.type = "x" && event:timeSinceStart > 1ms}`, want: true},
		{query: `{event:name = "retry"}`, want: true},
		{query: `{event.none != nil}`, want: false},
		{query: `{link:traceID = "0af7" && link:spanID = "5" && link.why = "linked"}`, want: true},
		{query: `{instrumentation:name = "lib" && instrumentation:version = "1.2" && instrumentation.language = "go"}`, want: true},
		{query: `{nestedSetParent < 0 && nestedSetLeft = 1 && nestedSetRight = 2 && span:childCount = 0}`, want: true},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			if got := len(find(t, tt.query, subject())) > 0; got != tt.want {
				t.Errorf("matches: %v, want %v", got, tt.want)
			}
		})
	}
}

func find(t *testing.T, query string, trace *traceql.Trace) []traceql.Spanset {
	t.Helper()
	q, err := traceql.Parse(query)
	if err != nil {
		t.Fatal(err)
	}
	found, err := q.Select(t.Context(), trace)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// family returns this trace, where a letter is a name, and the numbers are durations in s:
//
//	a1 ─┬─ b2 ─┬─ c3
//	    │      └─ d4
//	    ├─ b5
//	    └─ e6 ── c7
//	x8 (its parent is missing)
func family() *traceql.Trace {
	trace := &traceql.Trace{}
	for i, s := range []string{"a:0", "b:1", "c:2", "d:2", "b:1", "e:1", "c:6", "x:99"} {
		name, parent, _ := strings.Cut(s, ":")
		span := &tracepb.Span{SpanId: id(8, byte(i+1)), Name: name, EndTimeUnixNano: uint64(i+1) * 1e9}
		var p byte
		if _, err := fmt.Sscan(parent, &p); err != nil {
			panic(err)
		}
		if p > 0 {
			span.ParentSpanId = id(8, p)
		}
		trace.Spans = append(trace.Spans, traceql.Span{Span: span})
	}
	return trace
}

// found writes spansets as the numbers of their spans and their attributes.
func found(sets []traceql.Spanset) string {
	var texts []string
	for _, set := range sets {
		var parts []string
		for _, i := range set.Spans {
			parts = append(parts, fmt.Sprint(i+1))
		}
		for _, a := range set.Attributes {
			parts = append(parts, a.Name+"="+a.Value.String())
		}
		texts = append(texts, strings.Join(parts, " "))
	}
	return strings.Join(texts, "; ")
}

func TestPipelines(t *testing.T) {
	for _, tt := range []struct{ query, want string }{
		{`{name="a"} > {}`, "2 5 6"},
		{`{name="b"} >> {}`, "3 4"},
		{`{name="a"} >> {name="c"}`, "3 7"},
		{`{name="c"} < {}`, "2 6"},
		{`{name="c"} << {}`, "1 2 6"},
		{`{name="c"} ~ {}`, "4"},
		{`{name="b"} ~ {name="b"}`, "2 5"},
		{`{name="b"} !> {name=~"c|d"}`, "7"},
		{`{name="b"} !>> {}`, "1 2 5 6 7 8"},
		{`{} !< {}`, "3 4 5 7 8"},
		{`{name="c"} !<< {name=~"a|b|e"}`, "5"},
		{`{name="b"} !~ {name=~"b|e"}`, ""},
		{`{name="d"} !~ {name="c"}`, "7"},
		{`{name="b"} &> {name="c"}`, "2 3"},
		{`{name="a"} &>> {name="c"}`, "1 3 7"},
		{`{name="c"} &< {}`, "3 7 2 6"},
		{`{name="d"} &<< {name="a"}`, "4 1"},
		{`{name="d"} &~ {name="c"}`, "4 3"},
		{`{name="c"} && {name="d"}`, "3 7 4"},
		{`{name="c"} && {name="none"}`, ""},
		{`{name="none"} || {name="d"}`, "4"},
		{`{name="a"} > {name="b"} > {name="d"}`, "4"},
		{`({name="d"} || {name="e"}) > {}`, "7"},
		{`{name="b"} || {name="a"} > {name="e"}`, "2 5 6"},
		{`{name="c"} | count() > 1`, "3 7 count()=2"},
		{`{name="c"} | count() > 1 | max(duration) < 7s`, ""},
		{`{} | avg(duration) = 4.5s`, "1 2 3 4 5 6 7 8 avg(duration)=4.5s"},
		{`{name="b"} | min(duration) > 1 | sum(duration) = 7s`, "2 5 min(duration)=2s sum(duration)=7s"},
		{`{name="b"} | max(duration * 2 + 1) > 1`, "2 5 max((duration * 2) + 1)=1.0000000001e+10"},
		{`{name="b"} | max(.none) > 0`, ""},
		{`{name=~"b|c"} | by(name) | count() = 2`, "2 5 by(name)=b count()=2; 3 7 by(name)=c count()=2"},
		{`{name=~"b|c"} | by(name) | max(duration) = 7s | coalesce()`, "3 7"},
		{`by(span:childCount) | {name="b"}`, "2 by(span:childCount)=2; 5 by(span:childCount)=0"},
		{`({name="c"} | count() > 1 | {duration > 3s}) && ({name="b"})`, "7 2 5"},
		{`({} | by(name) | coalesce()) > {name="d"}`, "4"},
		{`{nestedSetParent < 0}`, "1"},
		{`{nestedSetLeft = 3 || nestedSetRight = 14 || nestedSetParent = 10}`, "1 3 7"},
		{`{name="x" && nestedSetParent = 0}`, "8"},
		{`{} | select(name, .a) | count() = 8 with (most_recent=true)`, "1 2 3 4 5 6 7 8 count()=8"},
	} {
		t.Run(tt.query, func(t *testing.T) {
			if got := found(find(t, tt.query, family())); got != tt.want {
				t.Errorf("found %s, want %s", got, tt.want)
			}
		})
	}
}

// A result shows the fields whose conditions hold, and those that are selected.
func TestMatchedFields(t *testing.T) {
	for _, tt := range []struct{ query, want string }{
		{`{}`, ""},
		{`{status=error || span.die.type="fair" || name="x" || span.die.result>1}`, "status=error .die.result=7"},
		{`{span.headers!="b"}`, "headers=a"},
		{`{span.headers=~"a|b"}`, "headers=[`a`, `b`]"},
		{`{} | select(span.die.type, resource.service.name, duration, span.none)`, "die.type=risky service.name=dice-roller duration=250ms"},
		{`{span.none=nil && span.both!=nil}`, "none=nil both=span"},
		{`{span.die.result + 1 > 2} | by(kind) | max(span.ratio) > 0`, "die.result=7 kind=server ratio=0.5"},
	} {
		t.Run(tt.query, func(t *testing.T) {
			q, err := traceql.Parse(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			fields, err := q.MatchedFields(t.Context(), subject(), 0)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range fields {
				got = append(got, f.Field.Name+"="+f.Value.String())
			}
			if diff := cmp.Diff(strings.ReplaceAll(tt.want, " .", " "), strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Errors name the place.
func TestErrors(t *testing.T) {
	for _, tt := range []struct{ query, want string }{
		{``, "line 1, col 1: the query is empty"},
		{`true`, "line 1, col 1: syntax error: unexpected true: expected a spanset"},
		{`{ .a < }`, "line 1, col 8: syntax error: unexpected }"},
		{`{ .a < 3`, "line 1, col 9: syntax error: the query ends too early: expected }"},
		{"{\n (.a < 3 }", "line 2, col 10: syntax error: unexpected }: expected )"},
		{`{ attribute = 4 }`, `line 1, col 3: "attribute" is not a field`},
		{`{ .a == 4 }`, "line 1, col 7: syntax error: unexpected =: expected a field"},
		{`{ span. }`, "line 1, col 3: syntax error: the name of an attribute is missing after span."},
		{`{ . }`, "the name of an attribute is missing"},
		{`{ .a = "x }`, `line 1, col 8: syntax error: a text has no closing "`},
		{`{ .a = 5x }`, "line 1, col 8: syntax error: 5x is neither a number nor a duration"},
		{`{ parent.a = 1 }`, "line 1, col 3: parent. is not supported, neither here nor by Tempo"},
		{`{ status }`, "line 1, col 3: { status } is a status: a condition is true or false"},
		{`{ 1 + 1 }`, "is a whole number"},
		{`{ 1 = "foo" }`, "line 1, col 5: { … = … }: = cannot combine a whole number with a text"},
		{`{ status > ok }`, "> cannot be applied to a status"},
		{`{ 1 =~ 2 }`, "=~ cannot be applied to a whole number"},
		{`{ name =~ name }`, "=~ compares with a text"},
		{`{ name =~ "[" }`, "line 1, col 8: regular expression: error parsing regexp"},
		{`{ !"foo" }`, "line 1, col 3: ! cannot be applied to a text"},
		{`{ -true }`, "- cannot be applied to a boolean"},
		{`{ 1 / 0 = 1 }`, "1 / 0 has no result"},
		{`{ status = nil }`, "line 1, col 10: status = nil never holds"},
		{`{ resource.service.name = nil }`, "never holds"},
		{`{ .a > nil }`, "nil is compared with = or !="},
		{`{} + {}`, "line 1, col 4: syntax error: unexpected +"},
		{`{} | count()`, "line 1, col 13: syntax error: the query ends too early: count() must be compared"},
		{`{} | count() > 1 + 1`, "Tempo supports no arithmetic here"},
		{`{} | max(name) > 1`, "line 1, col 10: max needs a number or a duration of the span"},
		{`{} | sum(3) > 1`, "sum needs a number or a duration of the span"},
		{`{} | by(1)`, "by(1) is the same for all spans"},
		{`{} | select()`, "expected the name of a field"},
		{`coalesce() | {}`, "a pipeline cannot begin with coalesce()"},
		{`({} | by(name)) > {}`, "line 1, col 17: > relates one spanset to another"},
		{`{} | rate()`, "line 1, col 6: | rate(…) makes a query for metrics"},
		{`{} with (a=name)`, "the value of the hint a must be a constant"},
		{`{ trace:status = error }`, `"trace:status" is not a field`},
	} {
		t.Run(tt.query, func(t *testing.T) {
			_, err := traceql.Parse(tt.query)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// Whatever is parsed can be evaluated.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{ .a = 1 && !(span.b =~ "x" || -.c * 2 ^ 3 > 1h) } &>> ({} | by(name) | coalesce()) | avg(duration) > 1.5s | select(.a)`,
		`{nil = .a} | quantile_over_time(duration, .5, 1) by (resource."a b") | topk(3) > -1 with (sample=0.1)`,
		"{`a` < event.b} !~ {} | compare({status=error}, 3, 1, 2)",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, parse := range []func(string) (*traceql.Query, error){traceql.Parse, traceql.ParseMetric} {
			q, err := parse(query)
			if err != nil {
				continue
			}
			if _, err := q.Select(t.Context(), family()); err != nil {
				t.Fatal(err)
			}
			q.Candidates()
			if q.Metric == nil {
				continue
			}
			a := q.Metric.Aggregator(traceql.Range{From: time.Unix(0, 0), To: time.Unix(10, 0), Step: time.Second}, traceql.Limits{Series: 10, Points: 100, Exemplars: 3})
			for i := range subject().Spans {
				if err := a.Span(t.Context(), subject(), i, time.Unix(1, 0)); err != nil {
					t.Fatal(err)
				}
			}
			a.Series()
		}
	})
}
