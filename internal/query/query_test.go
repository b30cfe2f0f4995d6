package query_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"

	"github.com/google/go-cmp/cmp"
)

func now() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

const (
	traceFair   = "4bf92f3577b34da6a3ce929d0e0e4736"
	traceFailed = "5c0ffee577b34da6a3ce929d0e0e4711"
	traceZeros  = "00a1b2c377b34da6a3ce929d0e0e4755" // begins with zeros
)

// server answers with files of testdata, and keeps what it was asked.
type server struct {
	*httptest.Server
	asked *http.Request
}

func serve(t *testing.T, file string) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked = r
		http.ServeFile(w, r, "testdata/"+file)
	}))
	t.Cleanup(s.Close)
	return s
}

func tempo(t *testing.T, url string) *query.Tempo {
	t.Helper()
	c, err := query.NewTempo(query.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func loki(t *testing.T, url string) *query.Loki {
	t.Helper()
	c, err := query.NewLoki(query.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func prometheus(t *testing.T, url string) *query.Prometheus {
	t.Helper()
	c, err := query.NewPrometheus(query.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answer serves one body for every request.
func answer(t *testing.T, status int, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		if _, err := w.Write([]byte(body)); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestTrace(t *testing.T) {
	tr, err := tempo(t, serve(t, "trace.json").URL).Trace(t.Context(), traceFailed)
	if err != nil {
		t.Fatal(err)
	}
	type span struct{ Service, Name, Kind, Status, ID, Parent string }
	var got []span
	for _, s := range tr.Spans {
		got = append(got, span{s.Service, s.Name, s.Kind, s.Status, s.SpanID, s.ParentID})
	}
	f, r := contract.ServiceFrontend, contract.ServiceRoller
	want := []span{
		{f, "POST /roll", "server", "error", "0e0e4711000000a0", ""},
		{f, "roll_button_click", "internal", "error", "0e0e4711000000a1", "0e0e4711000000a0"},
		{f, "GET", "client", "error", "0e0e4711000000a2", "0e0e4711000000a1"},
		{r, "GET /roll", "server", "error", "0e0e4711000000a3", "0e0e4711000000a2"},
		{r, "roll", "internal", "error", "0e0e4711000000a4", "0e0e4711000000a3"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	server, roll := tr.Spans[3], tr.Spans[4]
	if got := server.Attributes.Get("http.response.status_code"); got != int64(500) {
		t.Errorf("status code is %v (%T)", got, got)
	}
	if got := server.Attributes.Get(contract.AttrDieError); got != true {
		t.Errorf("die.error is %v", got)
	}
	if got := server.Attributes.Text(contract.AttrTraceparent); got != `["00-`+traceFailed+`-0e0e4711000000a2-01"]` {
		t.Errorf("traceparent is %s", got)
	}
	if roll.StatusMessage != "the risky die failed" || len(roll.Events) != 1 || roll.Events[0].Name != "exception" ||
		roll.Events[0].Attributes.Text("exception.message") != "the risky die failed" {
		t.Errorf("roll is %+v", roll)
	}
	if want := now().Add(-95 * time.Second).Add(3500 * time.Microsecond); !roll.Start.Equal(want) || roll.Duration != 731*time.Millisecond {
		t.Errorf("roll starts at %s and takes %s", roll.Start, roll.Duration)
	}
	if roll.Scope != "dicelab/internal/telemetry 0.1.0" || roll.Resource.Text("service.namespace") != "dicelab" {
		t.Errorf("scope %q, resource %v", roll.Scope, roll.Resource)
	}
	if d := cmp.Diff([]string{f, r}, tr.Services()); d != "" {
		t.Error(d)
	}
}

func TestTraceWithoutLeadingZeros(t *testing.T) {
	url := answer(t, 200, `{"trace":{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"AKGyw3ezTaajzpKdDg5HVQ==","spanId":"APBnqgupArc="}]}]}]}}`)
	tr, err := tempo(t, url).Trace(t.Context(), strings.TrimLeft(traceZeros, "0"))
	if err != nil || tr.ID != traceZeros || len(tr.Spans) != 1 {
		t.Fatalf("got %v, %v", tr, err)
	}
}

func TestTraceUnknown(t *testing.T) {
	_, err := tempo(t, answer(t, 404, "trace not found")).Trace(t.Context(), traceFair)
	if !errors.Is(err, query.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	// Tempo answers 200 without spans where it knows none.
	empty := tempo(t, answer(t, 200, `{"trace":{},"metrics":{}}`))
	if _, err = empty.Trace(t.Context(), traceFair); !errors.Is(err, query.ErrNotFound) {
		t.Errorf("without spans: got %v", err)
	}
	if _, _, err = empty.Export(t.Context(), traceFair, 0); !errors.Is(err, query.ErrNotFound) {
		t.Errorf("without spans, as JSON: got %v", err)
	}
}

// The same span in each of the spellings that servers use.
func TestDecodeTraceSpellings(t *testing.T) {
	const spanJSON = `{"traceId":"%T","spanId":"%S","parentSpanId":"%P","name":"x","kind":%K,"startTimeUnixNano":%B,"endTimeUnixNano":%E,"status":{"code":%C},
		"attributes":[{"key":"i","value":{"intValue":%I}},{"key":"d","value":{"doubleValue":1.5}},{"key":"n","value":{"doubleValue":"NaN"}},{"key":"b","value":{"bytesValue":"AQI="}},{"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":{"boolValue":true}}]}}},{"key":"e","value":{}}]}`
	hex := strings.NewReplacer("%T", "4BF92F3577B34DA6A3CE929D0E0E4736", "%S", "00f067aa0ba902b7", "%P", "0000000000000000", "%K", "3", "%B", `"1700000000000000001"`, "%E", `"1700000000000001001"`, "%C", "2", "%I", `"-7"`)
	b64 := strings.NewReplacer("%T", "S/kvNXezTaajzpKdDg5HNg==", "%S", "APBnqgupArc=", "%P", "", "%K", `"SPAN_KIND_CLIENT"`, "%B", "1700000000000000001", "%E", "1700000000000001001", "%C", `"STATUS_CODE_ERROR"`, "%I", "-7")
	tests := []struct{ name, body string }{
		{"OTLP, hex and numbers", `{"resourceSpans":[{"scopeSpans":[{"spans":[` + hex.Replace(spanJSON) + `]}]}]}`},
		{"Tempo v1, base64 and names", `{"batches":[{"scopeSpans":[{"spans":[` + b64.Replace(spanJSON) + `]}]}]}`},
		{"Tempo v2", `{"trace":{"resourceSpans":[{"scopeSpans":[{"spans":[` + b64.Replace(spanJSON) + `]}]}]},"status":"COMPLETE"}`},
		{"Tempo of old", `{"batches":[{"instrumentationLibrarySpans":[{"spans":[` + b64.Replace(spanJSON) + `]}]}]}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tr, err := query.DecodeTrace(strings.NewReader(test.body), traceFair)
			if err != nil {
				t.Fatal(err)
			}
			if len(tr.Spans) != 1 {
				t.Fatalf("%d spans", len(tr.Spans))
			}
			s := tr.Spans[0]
			if s.SpanID != "00f067aa0ba902b7" || s.ParentID != "" || s.Kind != query.KindClient || s.Status != query.StatusError ||
				s.Start.UnixNano() != 1700000000000000001 || s.Duration != time.Microsecond || s.Service != "unknown_service" {
				t.Errorf("got %+v", s)
			}
			var texts []string
			for _, a := range s.Attributes {
				texts = append(texts, a.Key+"="+query.FormatValue(a.Value))
			}
			if d := cmp.Diff([]string{"i=-7", "d=1.5", "n=NaN", "b=0102", `m={"k":true}`, "e="}, texts); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestDecodeTraceRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON":     `<html>`,
		"short ID":    `{"batches":[{"scopeSpans":[{"spans":[{"traceId":"abc","spanId":"00f067aa0ba902b7"}]}]}]}`,
		"bad time":    `{"batches":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"soon"}]}]}]}`,
		"bad integer": `{"batches":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"a","value":{"intValue":"x"}}]}]}]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := query.DecodeTrace(strings.NewReader(body), ""); err == nil || !strings.HasPrefix(err.Error(), "decoding") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSearch(t *testing.T) {
	s := serve(t, "search.json")
	res, err := tempo(t, s.URL).Search(t.Context(), query.Search{TraceQL: query.SpanFilter{Die: contract.DieRisky}.TraceQL(),
		Start: now().Add(-time.Hour), End: now().Add(time.Millisecond), Limit: 3, SpansPerSet: 1})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, f := range res.Traces {
		ids = append(ids, f.TraceID)
		if f.Text(contract.AttrDieType) != contract.DieRisky {
			t.Errorf("%s has die %q", f.TraceID, f.Text(contract.AttrDieType))
		}
	}
	// The second begins with zeros, which the server left out.
	if d := cmp.Diff([]string{traceFailed, traceZeros}, ids); d != "" {
		t.Error(d)
	}
	f := res.Traces[0]
	if f.Spans() != 5 || f.Errors() != 5 || f.Duration != 737*time.Millisecond || f.RootName != "POST /roll" || f.RootService != contract.ServiceFrontend {
		t.Errorf("got %+v", f)
	}
	for param, want := range map[string]string{"q": `{span.die.type="risky"}`, "limit": "3", "spss": "1", "start": "1772622000", "end": "1772625601"} {
		if got := s.asked.URL.Query().Get(param); got != want {
			t.Errorf("%s was %v, want %s", param, got, want)
		}
	}
}

func TestTagValues(t *testing.T) {
	// Tempo lists the empty name of spans without a service.
	got, err := tempo(t, answer(t, 200, `{"tagValues":[{"type":"string","value":"b"},{"type":"string"},{"type":"int","value":"7"}]}`)).TagValues(t.Context(), "span.x")
	if d := cmp.Diff([]string{"7", "b"}, got); err != nil || d != "" {
		t.Error(err, d)
	}
}

func TestLogs(t *testing.T) {
	s := serve(t, "lines.json")
	res, err := loki(t, s.URL).QueryRange(t.Context(), query.LogQuery{
		LogQL: query.LogFilter{TraceID: traceFailed}.LogQL(), Start: now().Add(-time.Hour), End: now()})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range res.Lines {
		got = append(got, strings.Join([]string{l.Service(), l.Level(), l.Message(), l.TraceID()[:8], l.SpanID()}, " "))
	}
	want := []string{
		"streamlit-frontend ERROR Backend request failed 5c0ffee5 0e0e4711000000a1",
		"dice-roller ERROR Risky die failed 5c0ffee5 0e0e4711000000a4",
		"dice-roller INFO Roll request received 5c0ffee5 0e0e4711000000a3",
		"streamlit-frontend INFO Button clicked 5c0ffee5 0e0e4711000000a1",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	l := res.Lines[1]
	if l.Field(contract.FieldStatus) != "500" || l.Metadata[contract.FieldTraceID] != traceFailed || l.Labels[contract.FieldTraceID] != "" ||
		l.Labels[contract.StreamContainer] != "dice-roller-stage2" {
		t.Errorf("got %+v", l)
	}
	if got := s.asked.Header.Get("X-Loki-Response-Encoding-Flags"); got != "categorize-labels" {
		t.Errorf("asked with flags %q", got)
	}
}

// A server without categorize-labels merges metadata into the labels.
func TestLogsMerged(t *testing.T) {
	url := answer(t, 200, `{"status":"success","data":{"resultType":"streams","result":[{"stream":{"service_name":"x","trace_id":"ab","detected_level":"info"},"values":[["1700000000000000001","plain text"]]}]}}`)
	res, err := loki(t, url).QueryRange(t.Context(), query.LogQuery{LogQL: "{}", Start: now(), End: now()})
	if err != nil {
		t.Fatal(err)
	}
	l := res.Lines[0]
	if l.TraceID() != "000000000000000000000000000000ab" || l.Message() != "plain text" || l.Fields != nil || l.Time.UnixNano() != 1700000000000000001 || l.SpanID() != "" {
		t.Errorf("got %+v", l)
	}
}

func TestLogMatrix(t *testing.T) {
	res, err := loki(t, serve(t, "matrix.json").URL).QueryRange(t.Context(), query.LogQuery{LogQL: `sum(rate({service_name=~".+"}[1m]))`,
		Start: now().Add(-time.Minute), End: now(), Step: 20 * time.Second})
	if err != nil || res.Type != "matrix" || len(res.Series) != 1 || len(res.Series[0].Points) != 5 {
		t.Fatalf("got %+v, %v", res, err)
	}
}

func TestParseFields(t *testing.T) {
	tests := []struct {
		name, line string
		want       []query.Field
	}{
		{"in their order", `{"b":"x","a":1.50,"c":{"d":[1]},"e":null,"f":true}`, []query.Field{{Key: "b", Value: "x"}, {Key: "a", Value: "1.50"}, {Key: "c", Value: `{"d":[1]}`}, {Key: "e", Value: "null"}, {Key: "f", Value: "true"}}},
		{"plain text", `level=info`, nil},
		{"a list", `[1]`, nil},
		{"broken", `{"a":`, nil},
		{"with more after it", `{"a":1} x`, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if d := cmp.Diff(test.want, query.ParseFields(test.line)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPrometheus(t *testing.T) {
	res, err := prometheus(t, serve(t, "vector.json").URL).Query(t.Context(), "sum by (job) (rate(http_requests_total[1m]))", now())
	if err != nil || res.Type != "vector" || len(res.Series) != 2 || res.Series[0].Labels["job"] != contract.ServiceFrontend {
		t.Errorf("got %+v, %v", res, err)
	}
	p := prometheus(t, serve(t, "matrix.json").URL)
	res, err = p.QueryRange(t.Context(), "up", now().Add(-time.Minute), now(), 15*time.Second)
	if err != nil || res.Type != "matrix" || len(res.Series[0].Points) != 5 || !res.Series[0].Points[4].Time.Equal(now()) {
		t.Errorf("got %+v, %v", res, err)
	}
	if _, err = p.QueryRange(t.Context(), "up", now(), now().Add(-time.Minute), time.Second); err == nil {
		t.Error("a range that ends before it starts was sent")
	}
	xs, err := prometheus(t, serve(t, "exemplars.json").URL).Exemplars(t.Context(), `http_request_duration_seconds_bucket{job="dice-roller"}`, now().Add(-time.Hour), now())
	if err != nil || len(xs) != 2 || xs[0].TraceID != traceFair || xs[0].Value != .418 || xs[0].Series["job"] != contract.ServiceRoller ||
		!xs[0].Time.Equal(now().Add(-40*time.Second)) {
		t.Errorf("got %+v, %v", xs, err)
	}
	targets, err := prometheus(t, serve(t, "targets.json").URL).Targets(t.Context())
	if err != nil || len(targets) != 2 || targets[1].Job != contract.ServiceRoller || targets[1].Health != "down" ||
		!strings.Contains(targets[1].LastError, "connection refused") || targets[0].LastDuration != 4200*time.Microsecond ||
		!targets[0].LastScrape.Equal(now().Add(-1200*time.Millisecond)) {
		t.Errorf("got %+v, %v", targets, err)
	}
	p = prometheus(t, answer(t, 200, `{"status":"success","data":["dice-roller","streamlit-frontend"]}`))
	values, err := p.LabelValues(t.Context(), "job")
	if err != nil || !slices.Equal(values, []string{contract.ServiceRoller, contract.ServiceFrontend}) {
		t.Errorf("got %v, %v", values, err)
	}
	p = prometheus(t, answer(t, 200, `{"status":"success","data":{"version":"3.16.0","revision":"abc","goVersion":"go1.26"}}`))
	info, err := p.BuildInfo(t.Context())
	if err != nil || info.Version != "3.16.0" {
		t.Errorf("got %v, %v", info, err)
	}
}

func TestPrometheusResults(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"scalar", `{"data":{"resultType":"scalar","result":[1700000000.5,"+Inf"]}}`, "+Inf at 1700000000500"},
		{"vector with NaN", `{"data":{"resultType":"vector","result":[{"metric":{},"value":[1,"NaN"]}]}}`, "NaN at 1000"},
		{"string", `{"data":{"resultType":"string","result":[1,"hello"]}}`, "hello"},
		{"native histogram", `{"data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}}`, "a native histogram is not shown: ask for a quantile or a count of it"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			res, err := prometheus(t, answer(t, 200, test.body)).Query(t.Context(), "x", time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			got := res.Text + strings.Join(res.Warnings, "")
			for _, s := range res.Series {
				got += strings.TrimSpace(query.FormatValue(s.Points[0].Value)) + " at " + query.FormatValue(s.Points[0].Time.UnixMilli())
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	const closed = "http://127.0.0.1:1" // tcpmux: no program listens there
	tests := []struct {
		name, url string
		want      []string
		status    int
	}{
		{"JSON of Prometheus", answer(t, 400, `{"status":"error","errorType":"bad_data","error":"parse error: x"}`), []string{"asking Prometheus at http://", "/api/v1/query?query=up", "400 Bad Request", "parse error: x"}, 400},
		{"text", answer(t, 500, "boom\n"), []string{"500", "boom", "look at the output of Prometheus"}, 500},
		{"token", answer(t, 401, ""), []string{"401", "no explanation given", "token"}, 401},
		{"starting", answer(t, 503, "not ready"), []string{"503", "not ready", "starting"}, 503},
		{"another server", answer(t, 200, "<html>hello"), []string{"decoding the answer", "<html>", "is the address of Prometheus"}, 200},
		{"nobody", closed, []string{"connection refused", "check that Prometheus runs and listens at " + closed}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := prometheus(t, test.url).Query(t.Context(), "up", time.Time{})
			var qe *query.Error
			if !errors.As(err, &qe) || qe.Status != test.status || qe.Unreachable() != (test.status == 0) {
				t.Fatalf("got %#v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestBodyIsBounded(t *testing.T) {
	c, err := query.NewPrometheus(query.Config{URL: answer(t, 200, strings.Repeat(" ", 101)), MaxBody: 100})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.BuildInfo(t.Context()); err == nil || !strings.Contains(err.Error(), "longer than 100 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestHeadersAndPrefix(t *testing.T) {
	var path, tenant string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		path, tenant = r.URL.Path, r.Header.Get("X-Scope-OrgID")
	}))
	t.Cleanup(s.Close)
	c, err := query.NewTempo(query.Config{URL: s.URL + "/tempo/", Header: http.Header{"x-scope-orgid": {"team"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.TagValues(t.Context(), "span.a b"); err == nil {
		t.Error("an empty answer was accepted")
	}
	if path != "/tempo/api/v2/search/tag/span.a b/values" || tenant != "team" {
		t.Errorf("asked %q for tenant %q", path, tenant)
	}
}

func TestNewRefusesURL(t *testing.T) {
	for _, u := range []string{"", "localhost:3200", "ftp://x", "http://", "http://a b"} {
		if _, err := query.NewTempo(query.Config{URL: u}); err == nil || !strings.HasPrefix(err.Error(), "parsing the URL of Tempo") {
			t.Errorf("%q: got %v", u, err)
		}
	}
}

func TestParseIDs(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"as it is", traceFair, traceFair},
		{"leading zeros missing", "a1b2c377b34da6a3ce929d0e0e4755", traceZeros},
		{"capitals and space", " 4BF92F3577B34DA6A3CE929D0E0E4736\n", traceFair},
		{"zeros", "0000", ""},
		{"empty", "", ""},
		{"no hex", "xyz", ""},
		{"too long", traceFair + "0", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := query.ParseTraceID(test.in)
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	if got, err := query.ParseSpanID("F067aa0ba902b7"); got != "00f067aa0ba902b7" || err != nil {
		t.Errorf("span: got %q, %v", got, err)
	}
}

func TestFilters(t *testing.T) {
	tests := []struct{ name, got, want string }{
		{"every trace", query.SpanFilter{}.TraceQL(), `{}`},
		{"several conditions", query.SpanFilter{Service: "dice-roller", Die: "risky", Min: 100 * time.Millisecond}.TraceQL(),
			`{resource.service.name="dice-roller" && span.die.type="risky" && traceDuration>=100ms}`},
		{"durations in one unit", query.SpanFilter{Name: `a"b`, Status: query.StatusError, Min: 1500 * time.Millisecond, Max: 2 * time.Minute}.TraceQL(),
			`{name="a\"b" && status=error && traceDuration>=1500ms && traceDuration<=2m}`},
		{"every line", query.LogFilter{}.LogQL(), `{service_name=~".+"}`},
		{"lines of a span's service", query.LogFilter{Service: "dice-roller", TraceID: "ab"}.LogQL(), `{service_name="dice-roller"} | trace_id="ab"`},
		{"level and text", query.LogFilter{Level: "ERROR", Text: `say "x"`}.LogQL(),
			`{service_name=~".+"} |= "say \"x\"" | level=~"(?i)(err|error|crit|critical|fatal|ftl|panic|alert|emerg|emergency|50|60)" ` +
				`or detected_level=~"(?i)(err|error|crit|critical|fatal|ftl|panic|alert|emerg|emergency|50|60)"`},
		{"fields", query.LogFilter{Service: "a", Fields: []query.FieldCondition{{Key: "http.route", Value: `/"x"`, InLine: true}, {Key: "pod", Value: "p", Not: true}}}.LogQL(),
			`{service_name="a"} | json http_route="[\"http.route\"]" | http_route="/\"x\"" | pod!="p"`},
		{"attributes", query.SpanFilter{Conditions: []query.Condition{{Attribute: "span.http.status", Op: ">=", Value: "500"}, {Attribute: "span.user id", Op: "=", Value: "7"},
			{Attribute: "name", Op: "=~", Value: "GET.*"}, {Attribute: "tenant", Op: "=", Value: "a b"}, {Attribute: "resource.x", Op: "!="}, {Attribute: "duration", Op: ">", Value: "1s"}}}.TraceQL(),
			`{span.http.status >= 500 && (span."user id" = 7 || span."user id" = "7") && name =~ "GET.*" && .tenant = "a b" && resource.x != nil && duration > 1s}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.got != test.want {
				t.Errorf("got  %s\nwant %s", test.got, test.want)
			}
		})
	}
}

func FuzzDecodeTrace(f *testing.F) {
	f.Add([]byte(`{"trace":{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"x"}}]},"scopeSpans":[{"spans":[{"traceId":"S/kvNXezTaajzpKdDg5HNg==","spanId":"APBnqgupArc=","parentSpanId":"APBnqgupArc=","startTimeUnixNano":"5","endTimeUnixNano":"1"}]}]}]}}`))
	f.Add([]byte(`{"batches":[{"scopeSpans":[{"spans":[{"spanId":"0000000000000001","parentSpanId":"0000000000000002"},{"spanId":"0000000000000002","parentSpanId":"0000000000000001","endTimeUnixNano":18446744073709551615}]}]}]}`))
	f.Add([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"a","value":{"arrayValue":{"values":[{"intValue":"1"},{}]}}}],"links":[{"traceId":"","spanId":""}],"events":[{}]}]}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		tr, err := query.DecodeTrace(bytes.NewReader(body), "")
		if err != nil {
			return
		}
		tree := tr.Tree()
		n := 0
		tree.Walk(func(node *query.Node) bool {
			n++
			if node.SelfTime < 0 || node.SelfTime > node.Duration {
				t.Errorf("self time %s of %s", node.SelfTime, node.Duration)
			}
			for _, a := range node.Attributes {
				_ = query.FormatValue(a.Value)
			}
			return true
		})
		if n != tree.Spans || n+tree.Redundant != len(tr.Spans) {
			t.Errorf("the tree shows %d, counts %d and dropped %d of %d spans", n, tree.Spans, tree.Redundant, len(tr.Spans))
		}
	})
}

func FuzzParseFields(f *testing.F) {
	f.Add(`{"a":"b","c":[1,{"d":null}]}`)
	f.Add(`{"a":1}}`)
	f.Fuzz(func(t *testing.T, line string) {
		for _, field := range query.ParseFields(line) {
			if field.Value == "" && !strings.Contains(line, `""`) {
				t.Errorf("%q: %q has no value", line, field.Key)
			}
		}
	})
}

// What answers something else than HTTP has been reached.
func TestGarbageIsNotUnreachable(t *testing.T) {
	for name, tt := range map[string]struct {
		bytes       string
		unreachable bool
	}{
		"another protocol": {"SSH-2.0-OpenSSH_9.6\r\n", false},
		"half the headers": {"HTTP/1.1 200 OK\r\nContent-", false},
		"redirects":        {"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false},
		"nothing":          {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					_, err = conn.Write([]byte(tt.bytes))
					err = errors.Join(err, conn.Close())
				}
				if err != nil {
					t.Error(err)
				}
			}))
			defer server.Close()
			_, err := tempo(t, server.URL).Trace(t.Context(), strings.Repeat("ab", 16))
			failed, ok := errors.AsType[*query.Error](err)
			if !ok || failed.Unreachable() != tt.unreachable || failed.Status != 0 {
				t.Fatalf("error %v, want one of status 0 that is unreachable: %v", err, tt.unreachable)
			}
			if hint := strings.Contains(failed.Hint, "and not of something else"); hint == tt.unreachable {
				t.Errorf("hint %q", failed.Hint)
			}
		})
	}
}
