package sqlexport_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/embedded"
	"dicelab/internal/embedded/embeddedtest"
	"dicelab/internal/query"
	"dicelab/internal/sqlexport"
)

func post(t *testing.T, url, kind string, body []byte) {
	t.Helper()
	resp, err := http.Post(url, kind, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("%s: status %d: %s %v", url, resp.StatusCode, answer, err)
	}
}

func sendSpans(t *testing.T, stack embeddedtest.Stack, batches ...*tracepb.ResourceSpans) {
	t.Helper()
	body, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: batches})
	if err != nil {
		t.Fatal(err)
	}
	post(t, stack.OTLP+"/v1/traces", "application/x-protobuf", body)
}

type pushed struct {
	Stream map[string]string `json:"stream"`
	Values [][]any           `json:"values"`
}

func sendLines(t *testing.T, stack embeddedtest.Stack, streams ...pushed) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"streams": streams})
	if err != nil {
		t.Fatal(err)
	}
	post(t, stack.Loki+"/loki/api/v1/push", "application/json", body)
}

// export exports an hour until a minute from now. A warning is an error of the test.
func export(t *testing.T, stack embeddedtest.Stack, path string) (sqlexport.Counts, error) {
	t.Helper()
	tempo, err := query.NewTempo(query.Config{URL: stack.Tempo})
	if err != nil {
		t.Fatal(err)
	}
	loki, err := query.NewLoki(query.Config{URL: stack.Loki})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	return sqlexport.Export(t.Context(), sqlexport.Options{Tempo: tempo, Loki: loki, From: now.Add(-time.Hour), To: now.Add(time.Minute), Path: path,
		Warn: func(text string) { t.Errorf("warning: %s", text) }})
}

func rootSpan(n uint64, at time.Time, took time.Duration) *tracepb.Span {
	id := binary.BigEndian.AppendUint64([]byte("trace no"), n+1)
	return &tracepb.Span{TraceId: id, SpanId: id[8:], Name: "root", Kind: tracepb.Span_SPAN_KIND_SERVER,
		StartTimeUnixNano: uint64(at.UnixNano()), EndTimeUnixNano: uint64(at.Add(took).UnixNano())}
}

// What OTLP and push brought in stands in the tables, value by value.
func TestExport(t *testing.T) {
	stack := embeddedtest.Start(t, embedded.Options{})
	at := time.Now().UTC().Truncate(time.Second).Add(-10 * time.Minute)
	parent, child := rootSpan(0, at, 5*time.Millisecond), rootSpan(1, at.Add(time.Millisecond), 1500*time.Microsecond)
	child.TraceId, child.ParentSpanId, child.Name, child.Kind, child.TraceState = parent.TraceId, parent.SpanId, "child", tracepb.Span_SPAN_KIND_CLIENT, "a=b"
	child.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "it broke"}
	child.Attributes = []*commonpb.KeyValue{text("text", "a \"b\" <c>"), number("whole", 1<<62+1),
		{Key: "share", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 2}}},
		{Key: "yes", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}},
		{Key: "raw", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{0, 255}}}},
		{Key: "list", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{text("", "x").Value, number("", 7).Value}}}}}}
	child.Events = []*tracepb.Span_Event{{TimeUnixNano: uint64(at.UnixNano()) + 1, Name: "happened", Attributes: []*commonpb.KeyValue{text("why", "so")}}}
	child.Links = []*tracepb.Span_Link{{TraceId: rootSpan(7, at, 0).TraceId, SpanId: []byte("span two"), Attributes: []*commonpb.KeyValue{number("n", 1)}}}
	sendSpans(t, stack, batch("shop", parent), batch("cart", child))
	trace := hex.EncodeToString(parent.TraceId)
	ns := func(offset int) string { return strconv.FormatInt(at.UnixNano()+int64(offset), 10) }
	long := strings.Repeat("long ", 10_000)
	sendLines(t, stack,
		pushed{map[string]string{"service_name": "shop", "level": "info"}, [][]any{
			{ns(1), "plain", map[string]string{"trace_id": trace, "span_id": "0000000000000001", "k": "v"}}, {ns(3), long}}},
		pushed{map[string]string{"other": "label", "service_name": "none"}, [][]any{{ns(2), `{"level":"error","message":"m"}`}}})

	path := filepath.Join(t.TempDir(), "lab.db")
	counts, err := export(t, stack, path)
	if err != nil {
		t.Fatal(err)
	}
	if want := (sqlexport.Counts{Traces: 1, Spans: 2, Lines: 3}); counts != want {
		t.Errorf("counts are %+v, want %+v", counts, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	db := readOnly(t, path)
	stamp := func(offset int) string {
		return at.Add(time.Duration(offset)).Format("2006-01-02T15:04:05.000000000Z") + " | " + ns(offset)
	}
	for question, want := range map[string][]string{
		"SELECT * FROM traces": {trace + " | " + stamp(0) + " | 5 | shop | root | 2 | 1 | 0"},
		"SELECT s.trace_id, s.span_id, s.parent_id, p.name, s.start, s.start_ns, s.duration_ms, s.service, s.name, s.kind, s.status, s.status_message, s.scope, s.scope_version, s.trace_state " +
			"FROM spans s LEFT JOIN spans p ON p.id = s.parent ORDER BY s.start": {
			trace + " | 0000000000000001 |  | <nil> | " + stamp(0) + " | 5 | shop | root | server | unset |  | generated | 1 | ",
			trace + " | 0000000000000002 | 0000000000000001 | root | " + stamp(1e6) + " | 1.5 | cart | child | client | error | it broke | generated | 1 | a=b"},
		"SELECT attributes FROM spans WHERE name = 'child'": {
			`{"text":"a \"b\" <c>","whole":4611686018427387905,"share":2.0,"yes":true,"raw":"AP8=","list":["x",7]}`},
		"SELECT key, value, typeof(value) FROM span_attributes": {`list | ["x",7] | text`, "raw | AP8= | text", "share | 2 | real", `text | a "b" <c> | text`,
			"whole | 4611686018427387905 | integer", "yes | 1 | integer"},
		"SELECT r.service, r.attributes FROM resources r ORDER BY 1": {`cart | {"service.name":"cart","host.name":"cart-0"}`, `shop | {"service.name":"shop","host.name":"shop-0"}`},
		"SELECT key, value FROM resource_attributes":                 {"host.name | cart-0", "host.name | shop-0", "service.name | cart", "service.name | shop"},
		"SELECT s.name, e.time, e.time_ns, e.name, e.attributes FROM events e JOIN spans s ON s.id = e.span": {
			"child | " + stamp(1) + ` | happened | {"why":"so"}`},
		"SELECT s.name, l.trace_id, l.span_id, l.trace_state, l.attributes FROM links l JOIN spans s ON s.id = l.span": {
			`child | 7472616365206e6f0000000000000008 | 7370616e2074776f |  | {"n":1}`},
		"SELECT time, time_ns, service, level, trace_id, span_id, text FROM logs ORDER BY time": {
			stamp(1) + " | shop | INFO | " + trace + " | 0000000000000001 | plain", stamp(2) + ` | none | ERROR | <nil> | <nil> | {"level":"error","message":"m"}`,
			stamp(3) + " | shop | INFO | <nil> | <nil> | " + long},
		"SELECT metadata ->> '$.k' FROM logs WHERE trace_id IS NOT NULL":                          {"v"},
		"SELECT labels ->> '$.other' FROM logs l JOIN streams s ON s.id = l.stream ORDER BY time": {"<nil>", "label", "<nil>"},
		"SELECT value FROM stream_labels WHERE key = 'other'":                                     {"label"},
		"PRAGMA integrity_check": {"ok"},
	} {
		if diff := cmp.Diff(want, ask(t, db, question)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", question, diff)
		}
	}
	if _, err := export(t, stack, path); !errors.Is(err, sqlexport.ErrExists) {
		t.Errorf("the second time: %v, want %v", err, sqlexport.ErrExists)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("beside the file: %v, %v", left, err)
	}
}

// What is more than one answer has is read in pieces: more traces in a second, and
// more lines in a millisecond, than a page.
func TestExportPages(t *testing.T) {
	const traces, lines = 1500, 12_000
	stack := embeddedtest.Start(t, embedded.Options{})
	at := time.Now().UTC().Truncate(time.Second).Add(-10 * time.Minute)
	var spans []*tracepb.Span
	for n := range uint64(traces) {
		spans = append(spans, rootSpan(n, at.Add(time.Duration(n)*time.Microsecond), time.Duration(1+n%700)*time.Microsecond))
	}
	sendSpans(t, stack, batch("shop", spans...))
	for n := 0; n < lines; n += 2000 {
		streams := []pushed{{Stream: map[string]string{"service_name": "shop"}}, {Stream: map[string]string{"service_name": "cart"}}}
		for i := range 2000 {
			streams[i%2].Values = append(streams[i%2].Values, []any{strconv.FormatInt(at.UnixNano()+int64(n+i), 10), fmt.Sprintf("line %d", n+i)})
		}
		sendLines(t, stack, streams...)
	}
	path := filepath.Join(t.TempDir(), "lab.db")
	counts, err := export(t, stack, path)
	if err != nil {
		t.Fatal(err)
	}
	if want := (sqlexport.Counts{Traces: traces, Spans: traces, Lines: lines}); counts != want {
		t.Errorf("counts are %+v, want %+v", counts, want)
	}
	db := readOnly(t, path)
	for question, want := range map[string]string{
		"SELECT count(*), count(DISTINCT trace_id) FROM spans":                                       "1500 | 1500",
		"SELECT count(*), count(DISTINCT text), min(time) = min(time_ns) FROM logs":                  "12000 | 12000 | 0",
		"SELECT count(*) FROM logs a JOIN logs b ON b.line = a.line + 1 WHERE b.time_ns < a.time_ns": "0",
	} {
		if got := ask(t, db, question); len(got) != 1 || got[0] != want {
			t.Errorf("%s answers %q, want %q", question, got, want)
		}
	}
}

// An export that is stopped leaves nothing.
func TestExportStopped(t *testing.T) {
	stack := embeddedtest.Start(t, embedded.Options{})
	sendSpans(t, stack, batch("shop", rootSpan(0, time.Now().Add(-time.Minute), time.Second)))
	tempo, err := query.NewTempo(query.Config{URL: stack.Tempo})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	_, err = sqlexport.Export(ctx, sqlexport.Options{Tempo: tempo, From: time.Now().Add(-time.Hour), To: time.Now(), Path: filepath.Join(dir, "lab.db"),
		Progress: func(sqlexport.Counts) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
}
