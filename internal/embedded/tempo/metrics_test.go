package tempo_test

import (
	"context"
	"fmt"
	"math/rand/v2"
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

	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/tempo"
)

func metric(t *testing.T, h http.Handler, path, query string, params ...string) *httptest.ResponseRecorder {
	t.Helper()
	v := url.Values{"q": {query}}
	for i := 0; i < len(params); i += 2 {
		v.Set(params[i], params[i+1])
	}
	return get(t, h, path+"?"+v.Encode())
}

func TestMetrics(t *testing.T) {
	h := serve(t)
	at := func(seconds int) string { return fmt.Sprint(epoch + seconds) }
	// samples are values at 4 s before the epoch, and each second after that.
	samples := func(values ...float64) string {
		var list []string
		for i, v := range values {
			value := "" // of 0, as in protobuf's JSON
			if v != 0 {
				value = fmt.Sprintf(`,"value":%v`, v)
			}
			list = append(list, fmt.Sprintf(`{"timestampMs":"%d000"%s}`, epoch-1+i, value))
		}
		return strings.Join(list, ",")
	}
	answer := func(series ...string) string {
		return `{"series":[` + strings.Join(series, ",") + `],"metrics":{"completedJobs":1,"totalJobs":1}}`
	}
	for _, test := range []struct{ query, want string }{
		{`{name="none"} | rate()`, answer(`{"labels":[{"key":"__name__","value":{"stringValue":"rate"}}],"samples":[` + samples(0, 0, 0, 0) + `]}`)},
		{`{name="none"} | rate() by (name)`, answer()},
		{`{status=error} | count_over_time()`, answer(`{"labels":[{"key":"__name__","value":{"stringValue":"count_over_time"}}],"samples":[` + samples(0, 0, 0, 1) + `]}`)},
		{`{status=error} | count_over_time() by (status, kind, span.http.response.status_code, span.none)`,
			answer(`{"labels":[{"key":"status","value":{"stringValue":"error"}},{"key":"kind","value":{"stringValue":"server"}},{"key":"span.http.response.status_code","value":{"intValue":"500"}}],` +
				`"samples":[` + samples(0, 0, 0, 1) + `]}`)},
		{`{status=error} | rate() by (span.none)`,
			answer(`{"labels":[{"key":"span.none","value":{"stringValue":"nil"}}],"samples":[` + samples(0, 0, 0, 1) + `]}`)},
	} {
		rec := metric(t, h, "/api/metrics/query_range", test.query+" with (exemplars=false)", "start", at(-1), "end", at(2), "step", "1s")
		if rec.Code != http.StatusOK {
			t.Errorf("%s: %d %s", test.query, rec.Code, rec.Body)
			continue
		}
		equalJSON(t, rec.Body.Bytes(), test.want)
	}
	rec := metric(t, h, "/api/metrics/query_range", `{status=error} | max_over_time(duration)`, "start", at(1), "end", at(2), "step", "1s")
	equalJSON(t, rec.Body.Bytes(), answer(`{"labels":[{"key":"__name__","value":{"stringValue":"max_over_time"}}],"samples":[{"timestampMs":"1800000002000","value":0.48}],
		"exemplars":[{"labels":[{"key":"trace:id","value":{"stringValue":"1af7651916cd43dd8448eb211c80319c"}},{"key":"span:id","value":{"stringValue":"0000000000000022"}},
		{"key":"name","value":{"stringValue":"GET /roll"}}],"value":0.48,"timestampMs":"1800000001010"}]}`))
	rec = metric(t, h, "/api/metrics/query", `{status=error} | rate() by (resource.service.name)`, "start", at(0), "end", at(4))
	equalJSON(t, rec.Body.Bytes(), answer(`{"labels":[{"key":"resource.service.name","value":{"stringValue":"dice-roller"}}],"value":0.25}`))
	for _, test := range []struct{ query, params, want string }{
		{`{}`, "", "line 1, col 3: a query for metrics ends with a function such as | rate()"},
		{`{} | quantile_over_time(duration, 2)`, "", "a quantile is a number from 0 to 1"},
		{`{} | quantile_over_time(duration)`, "", "expected ,"},
		{`{} | rate() by (a.b)`, "", "not a field"},
		{`{} | rate() by (.a, .b, .c, .d, .e, .f)`, "", "by 5 fields at most"},
		{`{} | rate() | topk(0)`, "", "topk takes a whole number above 0"},
		{`{} | rate() | count()`, "", "after a metric come topk(n)"},
		{`{} | compare({status=error}) > 1`, "", "cannot follow compare"},
		{`{} | topk(5)`, "", "expected a spanset"},
		{`{} | rate()`, "step=0", "invalid step"},
		{`{} | rate()`, "step=1ms", "at most 11000 are allowed"},
		{`{} | rate()`, "since=x", "invalid since"},
		{`{} | rate()`, "start=x", "invalid start"},
		{`{} | rate()`, "start=20&end=10", "start must be before end"},
	} {
		rec := get(t, h, "/api/metrics/query_range?"+test.params+"&q="+url.QueryEscape(test.query))
		if rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), test.want) {
			t.Errorf("%s %s: %d %s, want %s", test.query, test.params, rec.Code, rec.Body, test.want)
		}
	}
	if rec := get(t, h, "/api/search?q="+url.QueryEscape(`{} | rate()`)); rec.Code != http.StatusBadRequest {
		t.Errorf("a search by a query for metrics: %d %s", rec.Code, rec.Body)
	}
}

// readingSpans is a store that reads each span that it counts.
type readingSpans struct{ tempo.Store }

func (s readingSpans) CountSpans(ctx context.Context, q store.SpanCount, yield func([]any, time.Time, int)) (bool, error) {
	q.Where, q.Exact = nil, false
	return s.Store.CountSpans(ctx, q, yield)
}

// The index counts the same spans as reading every span.
func TestCountsPushedDown(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s, err := store.Open(t.Context(), t.TempDir(), store.Options{Now: func() time.Time { return time.Unix(epoch, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for range 10 {
		if err := s.AppendSpans(t.Context(), randomSpans(r, 100)); err != nil {
			t.Fatal(err)
		}
	}
	handler := func(s tempo.Store) http.Handler {
		h, err := tempo.NewHandler(s, tempo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	pushed, read := handler(s), handler(readingSpans{s})
	for range 150 {
		query := randomMetric(r)
		params := []string{"start", fmt.Sprint(epoch - 3600 + r.IntN(1800)), "end", fmt.Sprint(epoch - r.IntN(1800)), "step", []string{"60", "7", "300s", "2h"}[r.IntN(4)]}
		path := []string{"/api/metrics/query_range", "/api/metrics/query"}[r.IntN(2)]
		got, want := metric(t, pushed, path, query, params...), metric(t, read, path, query, params...)
		if got.Code != http.StatusOK || got.Body.String() != want.Body.String() {
			t.Fatalf("%s %v: %d (-read +counted)\n%.3000s", query, params, got.Code, cmp.Diff(strings.Split(want.Body.String(), "{\"labels"), strings.Split(got.Body.String(), "{\"labels")))
		}
	}
}

func randomSpans(r *rand.Rand, n int) (batches []*tracepb.ResourceSpans) {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	value := func(list bool) *commonpb.AnyValue {
		switch r.IntN(12) {
		case 0, 1, 2:
			return integer("", []int64{200, 404, 500, -3}[r.IntN(4)]).Value
		case 3, 4:
			return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: []float64{200, 1.5, -3, 1e20}[r.IntN(4)]}}
		case 5:
			return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: r.IntN(2) == 0}}
		case 6:
			if list {
				return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{str("", "GET").Value}}}}
			}
		}
		return str("", one("GET", "get x", "", "200", "true", "a\nb", "é")).Value
	}
	for range 4 {
		b := &tracepb.ResourceSpans{Resource: &resourcepb.Resource{}, ScopeSpans: []*tracepb.ScopeSpans{{}}}
		switch r.IntN(8) {
		case 0:
		case 1:
			b.Resource.Attributes = append(b.Resource.Attributes, integer("service.name", 7))
		default:
			b.Resource.Attributes = append(b.Resource.Attributes, str("service.name", one("shop", "cart", "")))
		}
		if r.IntN(2) == 0 {
			b.Resource.Attributes = append(b.Resource.Attributes, &commonpb.KeyValue{Key: "m", Value: value(false)})
		}
		for range n / 4 {
			s := span(fairTrace, fmt.Sprintf("%016x", r.Uint64()|1), one("", "0000000000000001"), one("GET", "POST /x", "", "a\nb", strings.Repeat("n", 9_000)), tracepb.Span_SpanKind(r.IntN(6)), 0, r.IntN(200))
			s.StartTimeUnixNano = uint64(epoch*1_000_000_000) - uint64(r.IntN(3_600))*1_000_000_000
			if r.IntN(2) == 0 {
				s.StartTimeUnixNano += uint64(r.IntN(1_000_000_000))
			}
			s.EndTimeUnixNano = s.StartTimeUnixNano + uint64(r.IntN(200))*1_000_000
			s.Status = &tracepb.Status{Code: tracepb.Status_StatusCode(r.IntN(4))}
			if r.IntN(3) > 0 {
				s.Attributes = append(s.Attributes, &commonpb.KeyValue{Key: "m", Value: value(false)})
			}
			if r.IntN(3) > 0 { // lists are in conditions alone: counting by them is refused
				s.Attributes = append(s.Attributes, &commonpb.KeyValue{Key: "l", Value: value(true)})
			}
			b.ScopeSpans[0].Spans = append(b.ScopeSpans[0].Spans, s)
		}
		batches = append(batches, b)
	}
	return batches
}

func randomMetric(r *rand.Rand) string {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	text := func() string { return one(`"GET"`, `"get x"`, `""`, `"200"`, `"true"`, "`a\nb`", `"é"`, `"none"`) }
	var conditions []string
	for range r.IntN(3) {
		attribute := one("span.m", "resource.m", ".m", "span.l", ".l", "span.none", ".none")
		conditions = append(conditions, one(
			attribute+one("=", "!=", "<", ">=")+text(),
			attribute+one("=~", "!~")+one(`"GET|get.*"`, `".*"`, `".+"`, `"2.."`, `"(?i)get"`, `"a.b"`),
			attribute+one("=", "!=", "<", "<=", ">", ">=")+one("200", "404", "-3", "1", "9007199254740993"),
			attribute+one("=", "<")+one("1.5", "200.0"),
			attribute+one("=", "!=")+one("true", "false"),
			"name"+one("=", "!=", "<")+one(`"GET"`, `""`, `"POST /x"`),
			"name"+one("=~", "!~")+one(`"GET|P.*"`, `".*"`, `"a.b"`),
			"resource.service.name"+one("=", "!=")+one(`"shop"`, `""`, `"none"`),
			"resource.service.name"+one("=~", "!~")+one(`"sh.*"`, `".+"`),
			"resource.service.name=7",
			".service.name"+one("=", "!=")+one(`"shop"`, `""`, "7"),
			"status"+one("=", "!=")+one("error", "ok", "unset"),
			"kind"+one("=", "!=")+one("server", "client", "unspecified"),
			"duration"+one("=", "!=", "<", "<=", ">", ">=")+one("50ms", "100ms", "0s"),
			"nestedSetParent"+one("<0", "=-1", "<=-1"),
			attribute+one(" != nil", " = nil"),
			"("+attribute+" = 200 || name = `GET` && kind = client)",
		))
	}
	query := "{" + strings.Join(conditions, one(" && ", " && ", " || ")) + "} | " + one("rate()", "count_over_time()", "max_over_time(duration)", "min_over_time(span.m)", "max_over_time(.l)",
		"quantile_over_time(duration, .5, .9)", "histogram_over_time(.m)")
	if n := r.IntN(4); n > 0 {
		var by []string
		for range n {
			by = append(by, one("name", "status", "kind", "resource.service.name", "span.m", "resource.m", ".m", "span.none", ".service.name"))
		}
		query += " by (" + strings.Join(by, ", ") + ")"
	}
	return query + " with (exemplars=false)"
}
