package loki_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/collect"
	"dicelab/internal/embedded/embeddedtest"
	"dicelab/internal/embedded/loki"
	"dicelab/internal/embedded/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, embeddedtest.EngineGoroutines()...) }

// now is the time of every test: 2026-03-01T12:00:00Z, 1772366400 s.
func now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

const (
	traceA = "0af7651916cd43dd8448eb211c80319c"
	traceB = "1bf7651916cd43dd8448eb211c80319d"
)

// rolls are the lines of two rolls and a panic: at 1, 2, 3, 4 and 5 seconds
// before now.
func rolls() []store.Line {
	stream := func(service, level string) map[string]string {
		s := map[string]string{"container_name": service + "-stage2", "service_name": service, "job": service, "level": level}
		if level == "" {
			delete(s, "level")
		}
		return s
	}
	ids := func(trace, span string) map[string]string {
		return map[string]string{"trace_id": trace, "span_id": span}
	}
	ago := func(seconds int) time.Time { return now().Add(-time.Duration(seconds) * time.Second) }
	return []store.Line{
		{Time: ago(5), Stream: stream("streamlit-frontend", "INFO"), Metadata: ids(traceA, "a000000000000001"), Text: `{"level":"INFO","message":"Button clicked","trace_id":"` + traceA + `"}`},
		{Time: ago(4), Stream: stream("dice-roller", "INFO"), Metadata: ids(traceA, "a000000000000002"), Text: `{"level":"INFO","message":"Roll completed","die_type":"fair","roll_value":4}`},
		{Time: ago(3), Stream: stream("dice-roller", "ERROR"), Metadata: ids(traceB, "b000000000000001"), Text: `{"level":"ERROR","message":"Risky die failed","die_type":"risky","status":500}`},
		{Time: ago(2), Stream: stream("dice-roller", "INFO"), Metadata: ids(traceB, "b000000000000002"), Text: `{"level":"INFO","message":"Roll completed","die_type":"risky","roll_value":7}`},
		{Time: ago(1), Stream: stream("dice-roller", ""), Text: "panic: <boom> & \"quotes\""},
	}
}

// spy is a store that records its queries.
type spy struct {
	loki.Store
	asked []store.LineQuery
}

func (s *spy) Lines(ctx context.Context, q store.LineQuery, yield func(store.Line) bool) error {
	s.asked = append(s.asked, q)
	return s.Store.Lines(ctx, q, yield)
}

// serve returns the URL of the API over a new store with these lines, and the store.
func serve(t *testing.T, lines ...store.Line) (string, *spy) {
	t.Helper()
	db, err := store.Open(t.Context(), t.TempDir(), store.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.AppendLines(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
	s := &spy{Store: db}
	server := httptest.NewServer(loki.NewHandler(s, loki.Options{Version: "1.2.3", Now: now}))
	t.Cleanup(func() {
		server.Client().CloseIdleConnections()
		server.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return server.URL, s
}

// get requests a path with parameters.
func get(t *testing.T, base, path string, params url.Values, header ...string) (status int, contentType, body string) {
	t.Helper()
	return do(t, http.MethodGet, base+path+"?"+params.Encode(), "", header...)
}

func do(t *testing.T, method, target, body string, header ...string) (int, string, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(text)
}

// wantJSON compares two documents as values, without statistics.
func wantJSON(t *testing.T, want, got string) {
	t.Helper()
	if diff := cmp.Diff(decode(t, want), decode(t, got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func decode(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("decoding %s: %v", text, err)
	}
	if document, ok := v.(map[string]any); ok {
		if data, ok := document["data"].(map[string]any); ok {
			delete(data, "stats")
		}
	}
	return v
}

func TestQueryRange(t *testing.T) {
	const (
		roller    = `"container_name":"dice-roller-stage2","service_name":"dice-roller","job":"dice-roller"`
		completed = `"{\"level\":\"INFO\",\"message\":\"Roll completed\",\"die_type\":\"risky\",\"roll_value\":7}"`
		failed    = `"{\"level\":\"ERROR\",\"message\":\"Risky die failed\",\"die_type\":\"risky\",\"status\":500}"`
		fair      = `"{\"level\":\"INFO\",\"message\":\"Roll completed\",\"die_type\":\"fair\",\"roll_value\":4}"`
		idsA      = `"trace_id":"` + traceA + `","span_id":"a000000000000002"`
		idsB1     = `"trace_id":"` + traceB + `","span_id":"b000000000000001"`
		idsB2     = `"trace_id":"` + traceB + `","span_id":"b000000000000002"`
		// what | json adds, each as it is spelled in an answer
		parsedB1 = `"level_extracted":"ERROR","message":"Risky die failed","die_type":"risky","status":"500"`
	)
	apart := []string{"X-Loki-Response-Encoding-Flags", "categorize-labels"}
	for _, test := range []struct {
		name   string
		params url.Values
		header []string
		want   string
	}{
		{
			name:   "the canonical query: metadata is part of the stream",
			params: url.Values{"query": {`{service_name="dice-roller"} | trace_id="` + traceB + `"`}},
			want: `{"status":"success","data":{"resultType":"streams","result":[
				{"stream":{` + roller + `,"level":"ERROR",` + idsB1 + `},"values":[["1772366397000000000",` + failed + `]]},
				{"stream":{` + roller + `,"level":"INFO",` + idsB2 + `},"values":[["1772366398000000000",` + completed + `]]}]}}`,
		},
		{
			name:   "labels by kind",
			params: url.Values{"query": {`{service_name="dice-roller"} | json | status>=500`}}, header: apart,
			want: `{"status":"success","data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":[
				{"stream":{` + roller + `,"level":"ERROR"},"values":[["1772366397000000000",` + failed + `,
					{"structuredMetadata":{` + idsB1 + `},"parsed":{` + parsedB1 + `}}]]}]}}`,
		},
		{
			name:   "labels by kind, of a line that has none",
			params: url.Values{"query": {`{service_name="dice-roller"} |= "panic"`}}, header: apart,
			want: `{"status":"success","data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":[
				{"stream":{` + roller + `},"values":[["1772366399000000000","panic: <boom> & \"quotes\"",{}]]}]}}`,
		},
		{
			name:   "newest first, lines of one stream together",
			params: url.Values{"query": {`{service_name="dice-roller", level="INFO"}`}}, header: apart,
			want: `{"status":"success","data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":[
				{"stream":{` + roller + `,"level":"INFO"},"values":[
					["1772366398000000000",` + completed + `,{"structuredMetadata":{` + idsB2 + `}}],
					["1772366396000000000",` + fair + `,{"structuredMetadata":{` + idsA + `}}]]}]}}`,
		},
		{
			name:   "oldest first, limited",
			params: url.Values{"query": {`{service_name="dice-roller"}`}, "direction": {"forward"}, "limit": {"1"}},
			want: `{"status":"success","data":{"resultType":"streams","result":[
				{"stream":{` + roller + `,"level":"INFO",` + idsA + `},"values":[["1772366396000000000",` + fair + `]]}]}}`,
		},
		{
			name: "the start counts, the end does not; three spellings of time",
			params: url.Values{"query": {`{service_name="dice-roller"} | json | __error__=""`}, "direction": {"FORWARD"},
				"start": {"1772366397.000"}, "end": {"2026-03-01T13:59:58+02:00"}},
			want: `{"status":"success","data":{"resultType":"streams","result":[
				{"stream":{` + roller + `,"level":"ERROR",` + idsB1 + `,` + parsedB1 + `},"values":[["1772366397000000000",` + failed + `]]}]}}`,
		},
		{
			name:   "since",
			params: url.Values{"query": {`{service_name="dice-roller"}`}, "since": {"1500ms"}},
			want: `{"status":"success","data":{"resultType":"streams","result":[
				{"stream":{` + roller + `},"values":[["1772366399000000000","panic: <boom> & \"quotes\""]]}]}}`,
		},
		{
			name:   "a line that is not JSON",
			params: url.Values{"query": {`{service_name="dice-roller"} | json | __error__!=""`}},
			want: `{"status":"success","data":{"resultType":"streams","result":[
				{"stream":{` + roller + `,"__error__":"JSONParserErr","__error_details__":"Value looks like object, but can't find closing '}' symbol"},
				 "values":[["1772366399000000000","panic: <boom> & \"quotes\""]]}]}}`,
		},
		{
			name:   "nothing found",
			params: url.Values{"query": {`{service_name="nobody"}`}},
			want:   `{"status":"success","data":{"resultType":"streams","result":[]}}`,
		},
		{
			// the start moves back to :54 and the end on to 12:00:00, multiples of 3 s
			name: "a matrix: points are at multiples of the step",
			params: url.Values{"query": {`sum by (service_name, die_type) (count_over_time({job=~".+"} | json | __error__="" [2s]))`},
				"start": {"1772366395"}, "end": {"1772366399"}, "step": {"3"}},
			want: `{"status":"success","data":{"resultType":"matrix","result":[
				{"metric":{"die_type":"fair","service_name":"dice-roller"},"values":[[1772366397,"1"]]},
				{"metric":{"die_type":"risky","service_name":"dice-roller"},"values":[[1772366397,"1"]]}]}}`,
		},
		{
			name: "rate, in steps of half a second",
			params: url.Values{"query": {`sum(rate({service_name="streamlit-frontend"}[3s]))`},
				"start": {"1772366397"}, "end": {"1772366398.5"}, "step": {"500ms"}},
			want: `{"status":"success","data":{"resultType":"matrix","result":[
				{"metric":{},"values":[[1772366397,"0.3333333333333333"],[1772366397.5,"0.3333333333333333"]]}]}}`,
		},
		{
			name:   "a matrix of nothing",
			params: url.Values{"query": {`rate({service_name="nobody"}[5m])`}},
			want:   `{"status":"success","data":{"resultType":"matrix","result":[]}}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			base, _ := serve(t, rolls()...)
			status, contentType, body := get(t, base, "/loki/api/v1/query_range", test.params, test.header...)
			if status != http.StatusOK || contentType != "application/json; charset=UTF-8" {
				t.Fatalf("status %d, %s: %s", status, contentType, body)
			}
			wantJSON(t, test.want, body)
		})
	}
}

func TestStats(t *testing.T) {
	base, _ := serve(t, rolls()...)
	_, _, body := get(t, base, "/loki/api/v1/query_range", url.Values{"query": {`{service_name="dice-roller"} |= "Roll"`}, "limit": {"1"}})
	var got struct{ Data struct{ Stats any } }
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	// the index leaves the panic out, the newest roll fills the limit
	want := map[string]any{"summary": map[string]any{"totalBytesProcessed": 77., "totalLinesProcessed": 1., "totalPostFilterLines": 1.,
		"totalEntriesReturned": 1., "execTime": 0.}}
	if diff := cmp.Diff(want, got.Data.Stats); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestInstantQuery(t *testing.T) {
	base, _ := serve(t, rolls()...)
	for _, test := range []struct {
		name   string
		params url.Values
		want   string
	}{
		{"now", url.Values{"query": {`sum by (level) (count_over_time({service_name="dice-roller"}[1h]))`}},
			`{"status":"success","data":{"resultType":"vector","result":[
				{"metric":{"level":"ERROR"},"value":[1772366400,"1"]},
				{"metric":{"level":"INFO"},"value":[1772366400,"2"]},
				{"metric":{},"value":[1772366400,"1"]}]}}`},
		{"then", url.Values{"query": {`sum(count_over_time({service_name="dice-roller"}[1h]))`}, "time": {"1772366397250000000"}},
			`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1772366397.25,"2"]}]}}`},
		{"nothing", url.Values{"query": {`sum(count_over_time({service_name="dice-roller"}[1h]))`}, "time": {"1772360000"}},
			`{"status":"success","data":{"resultType":"vector","result":[]}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, _, body := get(t, base, "/loki/api/v1/query", test.params)
			if status != http.StatusOK {
				t.Fatalf("status %d: %s", status, body)
			}
			wantJSON(t, test.want, body)
			status, _, form := do(t, http.MethodPost, base+"/loki/api/v1/query", test.params.Encode(), "Content-Type", "application/x-www-form-urlencoded")
			if status != http.StatusOK {
				t.Fatalf("as a form: status %d: %s", status, form)
			}
			wantJSON(t, test.want, form)
		})
	}
}

func TestIndexIsUsed(t *testing.T) {
	base, s := serve(t, rolls()...)
	equal := func(name, value string) store.LineFilter {
		return store.LineFilter{Label: name, Op: "=", Values: []string{value}}
	}
	for _, test := range []struct {
		query string
		where []store.LineFilter
	}{
		{`{service_name="dice-roller"} | trace_id="` + traceB + `"`, []store.LineFilter{equal("trace_id", traceB)}},
		{`{service_name="dice-roller"} | trace_id="` + traceB + `" | span_id="b000000000000001" | json`,
			[]store.LineFilter{equal("trace_id", traceB), equal("span_id", "b000000000000001")}},
		{`{service_name="dice-roller"} | json | trace_id="` + traceB + `"`, nil},
		{`{service_name="dice-roller"} |= "rare"`, []store.LineFilter{{Op: "|=", Values: []string{"rare"}}}},
		{`{service_name="dice-roller"}`, nil},
	} {
		t.Run(test.query, func(t *testing.T) {
			s.asked = nil
			if status, _, body := get(t, base, "/loki/api/v1/query_range", url.Values{"query": {test.query}}); status != http.StatusOK {
				t.Fatalf("status %d: %s", status, body)
			}
			if len(s.asked) != 1 {
				t.Fatalf("%d queries to the store, want 1", len(s.asked))
			}
			q := s.asked[0]
			if diff := cmp.Diff(test.where, q.Where); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if want := now().Add(-time.Hour); !q.From.Equal(want) || !q.To.Equal(now()) {
				t.Errorf("from %v to %v, want %v to %v", q.From, q.To, want, now())
			}
		})
	}
}

// TestCollectedLinesAreFound tests the whole way: a line that a service writes is read,
// stored and found by its trace, unchanged.
func TestCollectedLinesAreFound(t *testing.T) {
	base, db := serve(t)
	c := collect.New(db, collect.Options{Now: now})
	ran := make(chan error, 1)
	go func() { ran <- c.Run(t.Context()) }()
	const line = `{"timestamp":"2026-03-01T11:59:59.000006Z","level":"INFO","message":"Roll completed","logger":"dice-roller",` +
		`"trace_id":"` + traceA + `","span_id":"a000000000000002","die_type":"fair","roll_value":4}`
	read := c.Read(contract.ServiceRoller, strings.NewReader(line+"\npanic: boom\n"))
	if err := errors.Join(read, c.Close(t.Context()), <-ran); err != nil {
		t.Fatal(err)
	}
	_, _, body := get(t, base, "/loki/api/v1/query_range", url.Values{"query": {`{service_name="dice-roller"} | trace_id="` + traceA + `"`}},
		"X-Loki-Response-Encoding-Flags", "categorize-labels")
	text, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	wantJSON(t, `{"status":"success","data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":[
		{"stream":{"container_name":"dice-roller-stage2","service_name":"dice-roller","job":"dice-roller","level":"INFO"},
		 "values":[["1772366399000006000",`+string(text)+`,{"structuredMetadata":{"trace_id":"`+traceA+`","span_id":"a000000000000002"}}]]}]}}`, body)
}

func TestLabels(t *testing.T) {
	base, _ := serve(t, rolls()...)
	for _, test := range []struct {
		name, path string
		params     url.Values
		want       string
	}{
		{"labels", "/loki/api/v1/labels", nil, `{"status":"success","data":["container_name","job","level","service_name"]}`},
		{"labels of a selector", "/loki/api/v1/labels", url.Values{"query": {`{level="WARNING"}`}}, `{"status":"success"}`},
		{"values", "/loki/api/v1/label/service_name/values", nil, `{"status":"success","data":["dice-roller","streamlit-frontend"]}`},
		{"values of a selector", "/loki/api/v1/label/level/values", url.Values{"query": {`{job="streamlit-frontend"}`}}, `{"status":"success","data":["INFO"]}`},
		{"values in a range", "/loki/api/v1/label/level/values", url.Values{"start": {"1772366397"}, "end": {"1772366397"}}, `{"status":"success","data":["ERROR"]}`},
		{"values of a name that nothing has", "/loki/api/v1/label/trace_id/values", nil, `{"status":"success"}`},
		{"series", "/loki/api/v1/series", url.Values{"match[]": {`{service_name="dice-roller", level=~".+"}`, `{job="nobody"}`}},
			`{"status":"success","data":[
				{"container_name":"dice-roller-stage2","service_name":"dice-roller","job":"dice-roller","level":"ERROR"},
				{"container_name":"dice-roller-stage2","service_name":"dice-roller","job":"dice-roller","level":"INFO"}]}`},
		{"all series", "/loki/api/v1/series", url.Values{"start": {"1772366397"}, "end": {"1772366397"}},
			`{"status":"success","data":[{"container_name":"dice-roller-stage2","service_name":"dice-roller","job":"dice-roller","level":"ERROR"}]}`},
		{"no series", "/loki/api/v1/series", url.Values{"match[]": {`{job="nobody"}`}}, `{"status":"success","data":[]}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, _, body := get(t, base, test.path, test.params)
			if status != http.StatusOK {
				t.Fatalf("status %d: %s", status, body)
			}
			wantJSON(t, test.want, body)
		})
	}
}

func TestReadyAndVersion(t *testing.T) {
	base, _ := serve(t)
	if status, _, body := get(t, base, "/ready", nil); status != http.StatusOK || body != "ready\n" {
		t.Errorf("status %d, %q", status, body)
	}
	_, _, body := get(t, base, "/loki/api/v1/status/buildinfo", nil)
	var got map[string]string
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got["goVersion"], "go1.") {
		t.Errorf("goVersion %q", got["goVersion"])
	}
	delete(got, "goVersion")
	want := map[string]string{"version": "1.2.3", "revision": "", "branch": "dicelab", "buildUser": "", "buildDate": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
