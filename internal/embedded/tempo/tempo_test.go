package tempo_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/embeddedtest"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/tempo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, embeddedtest.EngineGoroutines()...) }

const (
	fairTrace   = "00f7651916cd43dd8448eb211c80319c" // leading zeros
	riskyTrace  = "1af7651916cd43dd8448eb211c80319c"
	orphanTrace = "2bf7651916cd43dd8448eb211c80319c"
)

// epoch is the start of the first trace; the others follow a second apart.
const epoch = 1_800_000_000

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func str(k, v string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: k, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}}
}

func integer(k string, v int64) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: k, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: v}}}
}

func batch(service string, spans ...*tracepb.Span) *tracepb.ResourceSpans {
	return &tracepb.ResourceSpans{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{str(store.AttrServiceName, service)}},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "lab"}, Spans: spans}},
	}
}

func span(trace, id, parent, name string, kind tracepb.Span_SpanKind, startMs, ms int, attributes ...*commonpb.KeyValue) *tracepb.Span {
	start := uint64(epoch*1_000_000_000) + uint64(startMs)*1_000_000
	s := &tracepb.Span{TraceId: unhex(trace), SpanId: unhex(id), Name: name, Kind: kind,
		StartTimeUnixNano: start, EndTimeUnixNano: start + uint64(ms)*1_000_000, Attributes: attributes}
	if parent != "" {
		s.ParentSpanId = unhex(parent)
	}
	return s
}

// rolls returns three traces: a fair roll, a risky one that failed, and the roller's half of
// one whose front end has sent nothing.
func rolls() []*tracepb.ResourceSpans {
	const server, client, internal = tracepb.Span_SPAN_KIND_SERVER, tracepb.Span_SPAN_KIND_CLIENT, tracepb.Span_SPAN_KIND_INTERNAL
	die := func(d string) *commonpb.KeyValue { return str(contract.AttrDieType, d) }
	failed := span(riskyTrace, "0000000000000022", "0000000000000021", contract.SpanRollerRoll, server, 1010, 480, die(contract.DieRisky), integer("http.response.status_code", 500))
	failed.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "broke"}
	return []*tracepb.ResourceSpans{
		batch(contract.ServiceFrontend,
			span(fairTrace, "0000000000000011", "", contract.SpanFrontendRoll, server, 0, 100),
			span(fairTrace, "0000000000000012", "0000000000000011", contract.SpanButtonClick, internal, 1, 90, die(contract.DieFair), integer(contract.AttrRollValue, 4)),
			span(riskyTrace, "0000000000000021", "", contract.SpanFrontendRoll, server, 1000, 500)),
		batch(contract.ServiceRoller,
			span(fairTrace, "0000000000000013", "0000000000000012", contract.SpanRollerRoll, server, 5, 80, die(contract.DieFair), integer("http.response.status_code", 200)),
			failed,
			span(orphanTrace, "0000000000000033", "0000000000000032", contract.SpanRollerRoll, server, 2000, 50, die(contract.DieFair))),
	}
}

func serve(t *testing.T) http.Handler {
	t.Helper()
	s, err := store.Open(t.Context(), t.TempDir(), store.Options{Now: func() time.Time { return time.Unix(epoch, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.AppendSpans(t.Context(), rolls()); err != nil {
		t.Fatal(err)
	}
	h, err := tempo.NewHandler(s, tempo.Options{Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(t *testing.T, h http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

func equalJSON(t *testing.T, body []byte, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(body, &g); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

const orphanBatch = `{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"dice-roller"}}]},
	"scopeSpans":[{"scope":{"name":"lab"},"spans":[{"traceId":"K/dlGRbNQ92ESOshHIAxnA==","spanId":"AAAAAAAAADM=","parentSpanId":"AAAAAAAAADI=",
	"name":"GET /roll","kind":"SPAN_KIND_SERVER","startTimeUnixNano":"1800000002000000000","endTimeUnixNano":"1800000002050000000",
	"attributes":[{"key":"die.type","value":{"stringValue":"fair"}}],"status":{}}]}]}`

func TestTrace(t *testing.T) {
	h := serve(t)
	rec := get(t, h, "/api/traces/"+orphanTrace)
	if ct := rec.Header().Get("Content-Type"); rec.Code != 200 || ct != "application/json" {
		t.Fatalf("status %d, type %s: %s", rec.Code, ct, rec.Body)
	}
	equalJSON(t, rec.Body.Bytes(), `{"batches":[`+orphanBatch+`]}`)
	equalJSON(t, get(t, h, "/api/v2/traces/"+orphanTrace).Body.Bytes(), `{"trace":{"resourceSpans":[`+orphanBatch+`]},"metrics":{}}`)

	// Leading zeros may be missing.
	long, short := get(t, h, "/api/traces/"+fairTrace), get(t, h, "/api/traces/"+strings.TrimLeft(fairTrace, "0"))
	if long.Code != 200 || long.Body.String() != short.Body.String() {
		t.Errorf("status %d; with and without leading zeros:\n%s\n%s", long.Code, long.Body, short.Body)
	}

	// As in Tempo, a trace that is not known is an empty one in version 2.
	equalJSON(t, get(t, h, "/api/v2/traces/ffff").Body.Bytes(), `{"trace":{},"metrics":{}}`)

	orphan := rolls()[1].ScopeSpans[0].Spans[2]
	orphan.Status = &tracepb.Status{}
	want := []*tracepb.ResourceSpans{batch(contract.ServiceRoller, orphan)}
	for path, prefix := range map[string]int{"/api/traces/": 0, "/api/v2/traces/": 3} {
		rec := get(t, h, path+orphanTrace, "Accept", "application/protobuf")
		if ct := rec.Header().Get("Content-Type"); rec.Code != 200 || ct != "application/protobuf" {
			t.Fatalf("status %d, type %s", rec.Code, ct)
		}
		var got tracepb.TracesData
		if err := proto.Unmarshal(rec.Body.Bytes()[prefix:], &got); err != nil { // field 1 and a length of two bytes come first
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.ResourceSpans, protocmp.Transform()); diff != "" {
			t.Errorf("%s as protobuf (-want +got):\n%s", path, diff)
		}
	}
}

func search(params ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		v.Set(params[i], params[i+1])
	}
	return "/api/search?" + v.Encode()
}

func TestSearchJSON(t *testing.T) {
	rec := get(t, serve(t), search("q", `{resource.service.name="dice-roller" && span.die.type=~"risky|fair" && name="GET /roll" && status!=ok && kind=server && duration>1ms && .http.response.status_code>0}`))
	if rec.Code != 200 {
		t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
	equalJSON(t, rec.Body.Bytes(), `{"traces":[
		{"traceID":"1af7651916cd43dd8448eb211c80319c","rootServiceName":"streamlit-frontend","rootTraceName":"POST /roll","startTimeUnixNano":"1800000001000000000","durationMs":500,
		 "serviceStats":{"streamlit-frontend":{"spanCount":1},"dice-roller":{"spanCount":1,"errorCount":1}},
		 "spanSet":{"matched":1,"spans":[{"spanID":"0000000000000022","name":"GET /roll","startTimeUnixNano":"1800000001010000000","durationNanos":"480000000","attributes":[
			{"key":"service.name","value":{"stringValue":"dice-roller"}},{"key":"die.type","value":{"stringValue":"risky"}},{"key":"status","value":{"stringValue":"error"}},{"key":"kind","value":{"stringValue":"server"}},{"key":"http.response.status_code","value":{"intValue":"500"}}]}]},
		 "spanSets":[{"matched":1,"spans":[{"spanID":"0000000000000022","name":"GET /roll","startTimeUnixNano":"1800000001010000000","durationNanos":"480000000","attributes":[
			{"key":"service.name","value":{"stringValue":"dice-roller"}},{"key":"die.type","value":{"stringValue":"risky"}},{"key":"status","value":{"stringValue":"error"}},{"key":"kind","value":{"stringValue":"server"}},{"key":"http.response.status_code","value":{"intValue":"500"}}]}]}]},
		{"traceID":"00f7651916cd43dd8448eb211c80319c","rootServiceName":"streamlit-frontend","rootTraceName":"POST /roll","startTimeUnixNano":"1800000000000000000","durationMs":100,
		 "serviceStats":{"streamlit-frontend":{"spanCount":2},"dice-roller":{"spanCount":1}},
		 "spanSet":{"matched":1,"spans":[{"spanID":"0000000000000013","name":"GET /roll","startTimeUnixNano":"1800000000005000000","durationNanos":"80000000","attributes":[
			{"key":"service.name","value":{"stringValue":"dice-roller"}},{"key":"die.type","value":{"stringValue":"fair"}},{"key":"status","value":{"stringValue":"unset"}},{"key":"kind","value":{"stringValue":"server"}},{"key":"http.response.status_code","value":{"intValue":"200"}}]}]},
		 "spanSets":[{"matched":1,"spans":[{"spanID":"0000000000000013","name":"GET /roll","startTimeUnixNano":"1800000000005000000","durationNanos":"80000000","attributes":[
			{"key":"service.name","value":{"stringValue":"dice-roller"}},{"key":"die.type","value":{"stringValue":"fair"}},{"key":"status","value":{"stringValue":"unset"}},{"key":"kind","value":{"stringValue":"server"}},{"key":"http.response.status_code","value":{"intValue":"200"}}]}]}]}
	],"metrics":{"inspectedTraces":2,"completedJobs":1,"totalJobs":1}}`)
}

type found struct {
	Traces []struct {
		TraceID         string
		RootServiceName string
		SpanSets        []struct {
			Matched int
			Spans   []struct{ SpanID string }
		}
	}
	Status, Message string
}

func TestSearch(t *testing.T) {
	h := serve(t)
	all := []string{orphanTrace, riskyTrace, fairTrace}
	tests := []struct {
		name   string
		target string
		want   []string
	}{
		{name: "everything, newest first", target: search("q", "{}"), want: all},
		{name: "without q", target: "/api/search", want: all},
		{name: "limit", target: search("q", "{}", "limit", "2"), want: all[:2]},
		{name: "service", target: search("q", `{resource.service.name="streamlit-frontend"}`), want: all[1:]},
		{name: "unknown service", target: search("q", `{resource.service.name="nobody"}`)},
		{name: "not a service", target: search("q", `{resource.service.name!="streamlit-frontend"}`), want: all},
		{name: "service by expression", target: search("q", `{resource.service.name=~"stream.*"}`), want: all[1:]},
		{name: "service as any attribute", target: search("q", `{.service.name="streamlit-frontend"}`), want: all[1:]},
		{name: "name", target: search("q", `{name="roll_button_click"}`), want: all[2:]},
		{name: "name in order", target: search("q", `{name>"r"}`), want: all[2:]},
		{name: "status", target: search("q", `{status=error}`), want: all[1:2]},
		{name: "status and die", target: search("q", `{status=error && span.die.type="risky"}`), want: all[1:2]},
		{name: "conditions hold on one span", target: search("q", `{status=error && resource.service.name="streamlit-frontend"}`)},
		{name: "die", target: search("q", `{span.die.type="fair"}`), want: []string{orphanTrace, fairTrace}},
		{name: "not a die", target: search("q", `{span.die.type!="fair"}`), want: all[1:2]},
		{name: "duration", target: search("q", `{duration>=100ms}`), want: all[1:]},
		{name: "duration in a range", target: search("q", `{duration>85ms && duration<=100ms}`), want: all[2:]},
		{name: "not a duration", target: search("q", `{duration!=50ms && kind=server}`), want: all[1:]},
		{name: "kind", target: search("q", `{kind=internal}`), want: all[2:]},
		{name: "number", target: search("q", `{span.roll.value=4}`), want: all[2:]},
		{name: "either", target: search("q", `{status=error || kind=internal}`), want: all[1:]},
		{name: "trace duration", target: search("q", `{traceDuration<200ms}`), want: []string{orphanTrace, fairTrace}},
		{name: "root", target: search("q", `{rootServiceName="streamlit-frontend" && rootName="POST /roll"}`), want: all[1:]},
		{name: "child", target: search("q", `{name="POST /roll"} > {name="roll_button_click"}`), want: all[2:]},
		{name: "child of another service", target: search("q", `{resource.service.name="streamlit-frontend"} > {resource.service.name="dice-roller"}`), want: all[1:]},
		{name: "descendant", target: search("q", `{rootName="POST /roll" && kind=server} >> {kind=server && span.http.response.status_code=200}`), want: all[2:]},
		{name: "no child", target: search("q", `{name="roll_button_click"} > {name="POST /roll"}`)},
		{name: "below a parent that is missing", target: search("q", `{} > {}`), want: all[1:]},
		{name: "three deep", target: search("q", `{kind=server} > {kind=internal} > {kind=server}`), want: all[2:]},
		{name: "count", target: search("q", `{} | count() > 2`), want: all[2:]},
		{name: "count in a range", target: search("q", `{} | count() >= 1 | count() < 3`), want: all[:2]},
		{name: "count below", target: search("q", `{name="POST /roll"} >> {} | count() = 2`), want: all[2:]},
		{name: "from", target: search("q", "{}", "start", "1800000001"), want: all[:2]},
		{name: "until, the second included", target: search("q", "{}", "end", "1800000000"), want: all[2:]},
		{name: "tags", target: search("tags", `service.name=dice-roller name="GET /roll" http.response.status_code=500`), want: all[1:2]},
		{name: "tag status", target: search("tags", "status.code=error"), want: all[1:2]},
		{name: "tag root", target: search("tags", `root.service.name=streamlit-frontend root.name="POST /roll"`), want: all[1:]},
		{name: "trace durations", target: search("minDuration", "60ms", "maxDuration", "0.2s"), want: all[2:]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := get(t, h, tt.target)
			if rec.Code != 200 {
				t.Fatalf("status %d: %s", rec.Code, rec.Body)
			}
			var f found
			if err := json.Unmarshal(rec.Body.Bytes(), &f); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, tr := range f.Traces {
				got = append(got, tr.TraceID)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("traces (-want +got):\n%s", diff)
			}
			if f.Status != "" {
				t.Errorf("status %s %s: nothing was left out", f.Status, f.Message)
			}
		})
	}
}

// A search whose conditions are in no index ends, and reports that it has not read
// everything.
func TestSearchIsBounded(t *testing.T) {
	s, err := store.Open(t.Context(), t.TempDir(), store.Options{Now: func() time.Time { return time.Unix(epoch, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	// The oldest trace is one that the query would find; more are before it than
	// a search looks at.
	spans := []*tracepb.Span{
		span(fairTrace, "0000000000000001", "", "parent", tracepb.Span_SPAN_KIND_SERVER, 0, 1),
		span(fairTrace, "0000000000000002", "0000000000000001", "child", tracepb.Span_SPAN_KIND_SERVER, 0, 1),
	}
	const traces = 5000
	for i := range traces {
		spans = append(spans, span(fmt.Sprintf("%032x", i+1), "0000000000000001", "", "single", tracepb.Span_SPAN_KIND_SERVER, i+1, 1))
	}
	if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{batch(contract.ServiceRoller, spans...)}); err != nil {
		t.Fatal(err)
	}
	h, err := tempo.NewHandler(s, tempo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for query, traces := range map[string]int{`{} > {}`: 0, `{} | count() > 1`: 0, `{} > {name="child"}`: 1, `{name="parent"} > {} | count() = 1`: 1} {
		var f found
		if err := json.Unmarshal(get(t, h, search("q", query)).Body.Bytes(), &f); err != nil {
			t.Fatal(err)
		}
		if partial := f.Status == "PARTIAL"; len(f.Traces) != traces || partial != (traces == 0) {
			t.Errorf("%s: %d traces, status %q, want %d", query, len(f.Traces), f.Status, traces)
		}
	}
}

func TestSearchSpans(t *testing.T) {
	h := serve(t)
	for _, tt := range []struct {
		spss  string
		spans int
	}{{"1", 1}, {"", 3}, {"0", 3}, {"10", 3}} {
		var f found
		if err := json.Unmarshal(get(t, h, search("q", `{traceDuration=100ms}`, "spss", tt.spss)).Body.Bytes(), &f); err != nil {
			t.Fatal(err)
		}
		if len(f.Traces) != 1 || f.Traces[0].SpanSets[0].Matched != 3 || len(f.Traces[0].SpanSets[0].Spans) != tt.spans {
			t.Errorf("spss=%q: %+v, want 3 matched and %d shown", tt.spss, f, tt.spans)
		}
	}
}

func TestSearchWithoutRoot(t *testing.T) {
	var f found
	if err := json.Unmarshal(get(t, serve(t), search("q", `{}`, "limit", "1")).Body.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Traces) != 1 || f.Traces[0].TraceID != orphanTrace || f.Traces[0].RootServiceName != "<root span not yet received>" {
		t.Errorf("got %+v", f)
	}
}

func TestTags(t *testing.T) {
	h := serve(t)
	tests := []struct{ target, want string }{
		{target: "/api/v2/search/tags", want: `{"scopes":[{"name":"intrinsic","tags":["duration","event:name","event:timeSinceStart","instrumentation:name","instrumentation:version",
			"kind","link:spanID","link:traceID","name","rootName","rootServiceName","span:duration","span:id","span:kind","span:name","span:parentID","span:status","span:statusMessage",
			"status","statusMessage","trace:duration","trace:id","trace:rootName","trace:rootService","traceDuration"]},
			{"name":"resource","tags":["service.name"]},{"name":"span","tags":["die.type","http.response.status_code","roll.value"]}],"metrics":{}}`},
		{target: "/api/v2/search/tags?scope=resource&start=1&end=2", want: `{"scopes":[{"name":"resource","tags":["service.name"]}],"metrics":{}}`},
		{target: "/api/search/tags", want: `{"tagNames":["die.type","http.response.status_code","roll.value","service.name"],"metrics":{}}`},
		{target: "/api/v2/search/tags?scope=span&q=" + url.QueryEscape(`{status=error}`), want: `{"scopes":[{"name":"span","tags":["die.type","http.response.status_code"]}],"metrics":{}}`},
		{target: "/api/v2/search/tag/span.die.type/values?q=" + url.QueryEscape(`{status=error && name=}`), want: `{"tagValues":[{"type":"string","value":"risky"}],"metrics":{}}`},
		{target: "/api/v2/search/tag/rootName/values", want: `{"tagValues":[{"type":"string"},{"type":"string","value":"POST /roll"}],"metrics":{}}`},
		{target: "/api/v2/search/tag/duration/values?limit=5000", want: `{"tagValues":[],"metrics":{}}`},
		{target: "/api/search/tag/service.name/values", want: `{"tagValues":["dice-roller","streamlit-frontend"],"metrics":{}}`},
		{target: "/api/v2/search/tag/resource.service.name/values", want: `{"tagValues":[{"type":"string","value":"dice-roller"},{"type":"string","value":"streamlit-frontend"}],"metrics":{}}`},
		{target: "/api/v2/search/tag/.service.name/values?limit=1", want: `{"tagValues":[{"type":"string","value":"dice-roller"}],"metrics":{}}`},
		{target: "/api/v2/search/tag/span.service.name/values", want: `{"tagValues":[],"metrics":{}}`},
		{target: "/api/v2/search/tag/span.die.type/values", want: `{"tagValues":[{"type":"string","value":"fair"},{"type":"string","value":"risky"}],"metrics":{}}`},
		{target: "/api/v2/search/tag/span.http.response.status_code/values", want: `{"tagValues":[{"type":"int","value":"200"},{"type":"int","value":"500"}],"metrics":{}}`},
		{target: "/api/v2/search/tag/name/values", want: `{"tagValues":[{"type":"string","value":"GET /roll"},{"type":"string","value":"POST /roll"},{"type":"string","value":"roll_button_click"}],"metrics":{}}`},
		{target: "/api/v2/search/tag/status/values", want: `{"tagValues":[{"type":"keyword","value":"error"},{"type":"keyword","value":"ok"},{"type":"keyword","value":"unset"}],"metrics":{}}`},
	}
	for _, tt := range tests {
		t.Run(tt.target, func(t *testing.T) {
			rec := get(t, h, tt.target)
			if rec.Code != 200 {
				t.Fatalf("status %d: %s", rec.Code, rec.Body)
			}
			equalJSON(t, rec.Body.Bytes(), tt.want)
		})
	}
}

func TestErrors(t *testing.T) {
	h := serve(t)
	tests := []struct {
		name, target string
		status       int
		contains     string
	}{
		{name: "unknown trace", target: "/api/traces/ffff", status: 404, contains: "trace not found: ffff"},
		{name: "ID that is not hex", target: "/api/traces/xyz", status: 400, contains: `trace ID "xyz" is not hexadecimal`},
		{name: "ID that is too long", target: "/api/traces/0" + fairTrace, status: 400, contains: "has 33 digits"},
		{name: "ID zero", target: "/api/traces/0", status: 400, contains: "is zero"},
		{name: "query", target: search("q", `{status=fail}`), status: 400, contains: "parse error at line 1, col 9"},
		{name: "unsupported query", target: search("q", `{parent = nil}`), status: 400, contains: "line 1, col 2: parent is not supported, neither here nor by Tempo"},
		{name: "limit", target: search("limit", "0"), status: 400, contains: "invalid limit"},
		{name: "spss", target: search("spss", "x"), status: 400, contains: "invalid spss"},
		{name: "more spans than Tempo shows", target: search("spss", "101"), status: 400, contains: "it must be a number from 1 to 100"},
		{name: "start", target: search("start", "yesterday"), status: 400, contains: "invalid start"},
		{name: "start in milliseconds", target: search("start", "1800000000000"), status: 400, contains: "in whole seconds since 1970"},
		{name: "start after end", target: search("start", "2", "end", "1"), status: 400, contains: "start must be before end"},
		{name: "q and tags", target: search("q", "{}", "tags", "a=b"), status: 400, contains: "q cannot be used together with tags"},
		{name: "tags", target: search("tags", "nonsense"), status: 400, contains: "invalid tags"},
		{name: "minDuration", target: search("minDuration", "10"), status: 400, contains: "invalid minDuration"},
		{name: "tag scope", target: "/api/v2/search/tags?scope=log", status: 400, contains: "invalid scope"},
		{name: "values of no field", target: "/api/v2/search/tag/nonsense/values", status: 400, contains: "nonsense"},
		{name: "summary of metrics", target: "/api/metrics/summary", status: 400, contains: "GET /api/metrics/summary is not served by the embedded stack: start the lab with --stack=native"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := get(t, h, tt.target)
			if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.contains) {
				t.Errorf("status %d: %swant %d with %q", rec.Code, rec.Body, tt.status, tt.contains)
			}
		})
	}
}

// asked is a store that keeps the query of a search.
type asked struct {
	tempo.Store
	query *store.SearchQuery
}

func (a asked) Search(_ context.Context, q store.SearchQuery) (store.SearchResult, error) {
	*a.query = q
	return store.SearchResult{}, nil
}

// A search also reads traces that began a minute before its range, and may be under way when it
// begins. A range in the future has none.
func TestEarliestSpanOfSearch(t *testing.T) {
	now := time.Now().Unix()
	for _, tt := range []struct{ start, want int64 }{{now - 100, now - 160}, {now + 1000, now + 1000}} {
		var query store.SearchQuery
		h, err := tempo.NewHandler(asked{query: &query}, tempo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		get(t, h, fmt.Sprintf("/api/search?start=%d&end=%d", tt.start, tt.start+10))
		if got := query.From.Unix(); got != tt.want {
			t.Errorf("a range from %d reads spans from %d, want %d", tt.start, got, tt.want)
		}
	}
}

// stub is a store with one result.
type stub struct {
	tempo.Store
	result store.SearchResult
	err    error
}

func (s stub) Search(ctx context.Context, _ store.SearchQuery) (store.SearchResult, error) {
	if errors.Is(s.err, context.DeadlineExceeded) {
		<-ctx.Done()
		return store.SearchResult{}, ctx.Err()
	}
	return s.result, s.err
}

func (s stub) Health(context.Context) error { return s.err }

func TestStoreAnswers(t *testing.T) {
	tests := []struct {
		name, target string
		store        stub
		status       int
		want         string
	}{
		{name: "ready", target: "/ready", status: 200, want: "ready\n"},
		{name: "not ready", target: "/ready", store: stub{err: errors.New("disk full")}, status: 503, want: "not ready: disk full\n"},
		{name: "echo", target: "/api/echo", status: 200, want: "echo\n"},
		{name: "partial", target: "/api/search", store: stub{result: store.SearchResult{Partial: true, Inspected: 7}}, status: 200,
			want: `{"traces":[],"metrics":{"inspectedTraces":7,"totalJobs":1},"status":"PARTIAL","message":"only the newest traces, and of very large ones a part, were looked at: add a condition on resource.service.name, name, status or duration, or narrow the time range"}`},
		{name: "store fails", target: "/api/search", store: stub{err: errors.New("disk on fire")}, status: 500, want: "disk on fire\n"},
		{name: "timeout", target: "/api/search", store: stub{err: context.DeadlineExceeded}, status: 504,
			want: "the query took longer than 1ms: narrow its time range or add conditions on service, name or status\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var opts tempo.Options
			if errors.Is(tt.store.err, context.DeadlineExceeded) {
				opts.Timeout = time.Millisecond // on a busy machine any answer can take longer
			}
			h, err := tempo.NewHandler(tt.store, opts)
			if err != nil {
				t.Fatal(err)
			}
			rec := get(t, h, tt.target)
			if rec.Code != tt.status || rec.Body.String() != tt.want {
				t.Errorf("status %d: %s\nwant %d: %s", rec.Code, rec.Body, tt.status, tt.want)
			}
		})
	}
}

func TestBuildInfo(t *testing.T) {
	var info map[string]string
	if err := json.Unmarshal(get(t, serve(t), "/api/status/buildinfo").Body.Bytes(), &info); err != nil {
		t.Fatal(err)
	}
	if info["version"] != "3.0.3" || info["revision"] != "v1" || info["goVersion"] == "" {
		t.Errorf("build info %v", info)
	}
}

// waiting is a store that blocks until its caller gives up.
type waiting struct{ began chan struct{} }

func (w waiting) wait(ctx context.Context) error {
	w.began <- struct{}{}
	<-ctx.Done()
	return errors.New("interrupted (9)")
}

func (w waiting) Trace(ctx context.Context, _ store.TraceID) (store.Trace, error) {
	return store.Trace{}, w.wait(ctx)
}

func (w waiting) Search(ctx context.Context, _ store.SearchQuery) (store.SearchResult, error) {
	return store.SearchResult{}, w.wait(ctx)
}

func (w waiting) TagNames(ctx context.Context, _ store.Scope, _ int) ([]string, error) {
	return nil, w.wait(ctx)
}

func (w waiting) TagValues(ctx context.Context, _ store.Scope, _ string, _ int) ([]store.TagValue, error) {
	return nil, w.wait(ctx)
}

func (w waiting) Services(ctx context.Context, _ int) ([]string, error) {
	return nil, w.wait(ctx)
}

func (w waiting) Names(ctx context.Context, _ int) ([]string, error) {
	return nil, w.wait(ctx)
}

func (w waiting) SampleSpans(ctx context.Context, _, _ time.Time, _ []store.Condition, _ int, _ func(time.Time, store.Span)) error {
	return w.wait(ctx)
}

func (w waiting) CountSpans(ctx context.Context, _ store.SpanCount, _ func([]any, time.Time, int)) (bool, error) {
	return false, w.wait(ctx)
}

func (w waiting) Health(ctx context.Context) error { return w.wait(ctx) }

// Every query ends at its deadline, and when its client is gone.
func TestQueriesEnd(t *testing.T) {
	for _, target := range []string{
		"/api/traces/1", "/api/v2/traces/1", "/api/search", "/api/v2/search/tags",
		"/api/v2/search/tag/name/values", "/api/v2/search/tag/.a/values", "/ready",
	} {
		s := waiting{began: make(chan struct{}, 1)}
		late, err := tempo.NewHandler(s, tempo.Options{Timeout: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		status, text := http.StatusGatewayTimeout, "the query took longer than 1ms: narrow its time range or add conditions on service, name or status\n"
		if target == "/ready" {
			status, text = http.StatusServiceUnavailable, "not ready: interrupted (9)\n"
		}
		if rec := get(t, late, target); rec.Code != status || rec.Body.String() != text {
			t.Errorf("%s at its deadline: status %d: %s", target, rec.Code, rec.Body)
		}
		s.began = make(chan struct{})
		h, err := tempo.NewHandler(s, tempo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			<-s.began
			leave()
		}()
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil)) // returns
		if rec.Body.Len() > 0 {
			t.Errorf("%s, whose client has gone, is answered %s", target, rec.Body)
		}
	}
}

// Four queries run at once; one more waits until one of them has ended.
func TestQueriesTakeTurns(t *testing.T) {
	s := waiting{began: make(chan struct{})}
	h, err := tempo.NewHandler(s, tempo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{}, 9)
	var leave [5]context.CancelFunc
	for i := range leave {
		var ctx context.Context
		ctx, leave[i] = context.WithCancel(t.Context())
		go func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/traces/1", nil))
			ended <- struct{}{}
		}()
		if i < 4 {
			<-s.began
		}
	}
	if rec := get(t, h, "/api/echo"); rec.Code != http.StatusOK {
		t.Errorf("what asks nothing of the store waits: status %d", rec.Code)
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
		<-ended
	}
}

// huge is a store whose trace is larger than it reads.
type huge struct{ waiting }

func (huge) Trace(_ context.Context, id store.TraceID) (store.Trace, error) {
	return store.Trace{ID: id, Partial: true, Spans: []store.Span{
		{Span: span(fairTrace, "0000000000000001", "", "n", tracepb.Span_SPAN_KIND_SERVER, 0, 1), Source: &store.Source{Service: contract.ServiceRoller}},
	}}, nil
}

// A trace that is too large is an error in the API whose response cannot be marked as
// partial, and partial in the other.
func TestLargeTrace(t *testing.T) {
	h, err := tempo.NewHandler(huge{}, tempo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const message = "trace exceeds max size (max bytes: 16777216)"
	if rec := get(t, h, "/api/traces/"+fairTrace); rec.Code != http.StatusUnprocessableEntity || rec.Body.String() != message+": /api/v2/traces gives the part that came first\n" {
		t.Errorf("v1: status %d: %.200s", rec.Code, rec.Body)
	}
	var v2 struct {
		Trace struct {
			ResourceSpans []struct{ ScopeSpans []struct{ Spans []struct{} } }
		}
		Status, Message string
	}
	rec := get(t, h, "/api/v2/traces/"+fairTrace)
	if err := json.Unmarshal(rec.Body.Bytes(), &v2); err != nil {
		t.Fatal(err)
	}
	if n := len(v2.Trace.ResourceSpans[0].ScopeSpans[0].Spans); rec.Code != 200 || n != 1 || v2.Status != "PARTIAL" || v2.Message != message {
		t.Errorf("v2: status %d, %d spans, %q, %q", rec.Code, n, v2.Status, v2.Message)
	}
	rec = get(t, h, "/api/v2/traces/"+fairTrace, "Accept", "application/protobuf")
	tail := protowire.AppendString(protowire.AppendTag(protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 1), 4, protowire.BytesType), message)
	if rec.Code != 200 || !bytes.HasSuffix(rec.Body.Bytes(), tail) {
		t.Errorf("v2 in protobuf: status %d, it does not end with status and message", rec.Code)
	}
}

// The number of names of attributes is at most limit, and 10,000 otherwise.
func TestManyTags(t *testing.T) {
	s, err := store.Open(t.Context(), t.TempDir(), store.Options{Now: func() time.Time { return time.Unix(epoch, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := 0; i < 2000; i += 100 {
		var attributes []*commonpb.KeyValue
		for k := i; k < i+100; k++ {
			attributes = append(attributes, integer(fmt.Sprintf("k%04d", k), 1))
		}
		many := span(fairTrace, fmt.Sprintf("%016d", i), "", "n", tracepb.Span_SPAN_KIND_SERVER, 0, 1, attributes...)
		if err := s.AppendSpans(t.Context(), []*tracepb.ResourceSpans{batch(contract.ServiceRoller, many)}); err != nil {
			t.Fatal(err)
		}
	}
	h, err := tempo.NewHandler(s, tempo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{"?scope=span": 1197, "?scope=span&limit=7": 7, "?scope=span&limit=50000": 1197} {
		var tags struct {
			Scopes []struct {
				Name string
				Tags []string
			}
		}
		if err := json.Unmarshal(get(t, h, "/api/v2/search/tags"+query).Body.Bytes(), &tags); err != nil {
			t.Fatal(err)
		}
		if names := tags.Scopes[0].Tags; tags.Scopes[0].Name != "span" || len(names) != want || names[want-1] != fmt.Sprintf("k%04d", want-1) {
			t.Errorf("limit %q: %d names of %s, want %d", query, len(names), tags.Scopes[0].Name, want)
		}
	}
}
