package main_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/contract"
)

// tables returns queries for what is in a file, without the numbers of rows.
func tables() []string {
	return []string{
		`SELECT * FROM traces`,
		`SELECT s.trace_id, s.span_id, s.parent_id, p.span_id, p.kind, s.start, s.start_ns, s.duration_ms, s.service, s.name,
		   s.kind, s.status, s.status_message, s.attributes, r.attributes, s.scope, s.scope_version, s.trace_state
		 FROM spans s JOIN resources r ON r.id = s.resource LEFT JOIN spans p ON p.id = s.parent`,
		`SELECT s.span_id, e.time, e.time_ns, e.name, e.attributes FROM events e JOIN spans s ON s.id = e.span`,
		`SELECT s.span_id, l.trace_id, l.span_id, l.trace_state, l.attributes FROM links l JOIN spans s ON s.id = l.span`,
		`SELECT l.time, l.time_ns, l.service, l.level, l.trace_id, l.span_id, l.text, l.metadata, s.labels
	 FROM logs l JOIN streams s ON s.id = l.stream`,
		`SELECT s.span_id, a.key, a.value FROM span_attributes a JOIN spans s ON s.id = a.span`,
	}
}

// exported exports a file and returns what is in it, and the line that is printed.
func exported(t *testing.T, args ...string) (content []string, printed string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lab.db")
	export := exec.Command("dicelab", append([]string{"export", "--sqlite", path}, args...)...)
	export.Env = append(os.Environ(), envBook+"="+t.TempDir())
	out, err := export.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, query := range tables() {
		rows, err := db.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, places := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				places[i] = &values[i]
			}
			if err := rows.Scan(places...); err != nil {
				t.Fatal(err)
			}
			content = append(content, fmt.Sprint(values...))
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(content)
	return content, strings.TrimPrefix(string(out), path)
}

// An export from the data directory has what one over the APIs has, while the lab
// runs and when it has ended: also of spans that come in several exports, or twice,
// and lines that were pushed twice.
func TestExportDataDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := startLab(t, dir, nil, "--max-delay", "0s", "--error-rate", "0")
	for range 3 {
		if a := l.roll(t, contract.DieFair); a.Status != http.StatusOK {
			t.Fatalf("answer %+v", a)
		}
	}
	post := func(url, kind string, body []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		resp, err := l.client.Post(url, kind, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			t.Fatalf("%s: status %d", url, resp.StatusCode)
		}
	}
	at := time.Now().Add(-10 * time.Second)
	number := &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 1.5}}
	span := func(id, parent string, inset time.Duration, kind tracepb.Span_SpanKind) *tracepb.Span {
		start := uint64(at.Add(inset).UnixNano())
		return &tracepb.Span{
			TraceId: []byte("trace 0123456789"), SpanId: []byte(id), ParentSpanId: []byte(parent), Name: id, Kind: kind,
			StartTimeUnixNano: start, EndTimeUnixNano: start + 1e6,
			Events:     []*tracepb.Span_Event{{TimeUnixNano: start, Name: "e"}},
			Links:      []*tracepb.Span_Link{{TraceId: []byte("trace 0123456780"), SpanId: []byte("span one")}},
			Attributes: []*commonpb.KeyValue{{Key: "n", Value: number}},
		}
	}
	const (
		internal = tracepb.Span_SPAN_KIND_INTERNAL
		client   = tracepb.Span_SPAN_KIND_CLIENT
		server   = tracepb.Span_SPAN_KIND_SERVER
	)
	for _, spans := range [][]*tracepb.Span{ // a client's and a server's span share an ID, as Zipkin's do
		{span("span two", "span one", 2, client), span("span two", "span two", 3, server)},
		{span("span one", "", 1, internal), span("span two", "span one", 2, client)},
		{span("orphan 1", "missing1", 0, internal)},
	} {
		scopes := []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "scope"}, Spans: spans}}
		batches := []*tracepb.ResourceSpans{{Resource: &resourcepb.Resource{}, ScopeSpans: scopes}}
		body, err := proto.Marshal(&coltracepb.ExportTraceServiceRequest{ResourceSpans: batches})
		post(l.url(t, "otlp http")+"/v1/traces", "application/x-protobuf", body, err)
	}
	ns := strconv.FormatInt(at.UnixNano(), 10)
	for _, text := range []string{"once", "again", "again"} {
		body, err := json.Marshal(map[string]any{"streams": []map[string]any{{
			"stream": map[string]string{"service_name": "other"}, "values": [][]any{{ns, text, map[string]string{"k": "v"}}}}}})
		post(l.url(t, "loki")+"/loki/api/v1/push", "application/json", body, err)
	}
	l.works(t) // what the services send has arrived
	var want []string
	eventually(t, "an export over the APIs that has every line", func() error {
		want, _ = exported(t, "--tempo-url", l.url(t, "tempo"), "--loki-url", l.url(t, "loki"))
		got, printed := exported(t, "--data", dir)
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("the files differ (-APIs +journals):\n%s", diff)
		}
		if !strings.HasSuffix(printed, ", from "+dir+"\n") {
			return fmt.Errorf("printed %q", printed)
		}
		return nil
	})
	l.stop(t)
	kept, _ := exported(t, "--data", dir)
	for _, row := range want { // what was logged at the end came later
		if !slices.Contains(kept, row) {
			t.Errorf("once the lab has ended, this is missing: %s", row)
		}
	}
	text := strings.Join(want, "\n")
	if n := strings.Count(text, "again"); n != 1 {
		t.Errorf("the line that was pushed twice is there %d times", n)
	}
}
