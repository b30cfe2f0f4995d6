package sqlexport_test

import (
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/contract"
	"dicelab/internal/otlpjson"
	"dicelab/internal/query"
	"dicelab/internal/sqlexport"
)

func document(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/sql.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readOnly opens a file as the sqlite3 shell does.
func readOnly(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// ask returns the rows of an answer, values as text, with a bar between.
func ask(t *testing.T, db *sql.DB, query string, args ...any) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, query)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for rows.Next() {
		values, texts := make([]any, len(columns)), make([]string, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		for i := range values {
			texts[i] = fmt.Sprint(*values[i].(*any))
		}
		list = append(list, strings.Join(texts, " | "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// written returns a file with the given content.
func written(t *testing.T, add func(*sqlexport.File)) *sql.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lab.db")
	f, err := sqlexport.Create(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	add(f)
	if err := f.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return readOnly(t, path)
}

// The document lists the columns that the tables have, in their order.
func TestDocumentColumns(t *testing.T) {
	db := written(t, func(*sqlexport.File) {})
	for _, table := range ask(t, db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'") {
		if table == "resource_attributes" || table == "stream_labels" {
			continue // the document has them in a sentence
		}
		_, section, ok := strings.Cut(document(t), "\n### "+table+"\n")
		if !ok {
			t.Errorf("docs/sql.md has no section %s", table)
			continue
		}
		section, _, _ = strings.Cut(section, "\n#")
		var documented []string
		for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(section, -1) {
			documented = append(documented, m[1])
		}
		if diff := cmp.Diff(ask(t, db, "SELECT name FROM pragma_table_xinfo(?)", table), documented); diff != "" {
			t.Errorf("columns of %s, the table's and the document's (-table +document):\n%s", table, diff)
		}
	}
}

// roll is a roll in the file of the test of the document's queries.
type roll struct {
	trace  string
	minute int // after the first
	ms     int // of the roller's work
	die    string
	rolled int64 // 0: failed
	silent bool  // the roller does not log its failure
	cut    bool  // the front end's spans are missing
}

var base = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r roll) write(t *testing.T, f *sqlexport.File) {
	t.Helper()
	const (
		root, click, call, server = "00000000000000a1", "00000000000000a2", "00000000000000a3", "00000000000000a4"
	)
	at := base.Add(time.Duration(r.minute) * time.Minute)
	span := func(id, parent, name string, kind tracepb.Span_SpanKind, inset int, attributes ...*commonpb.KeyValue) *tracepb.Span {
		sp := &tracepb.Span{TraceId: unhex(t, r.trace), SpanId: unhex(t, id), ParentSpanId: unhex(t, parent), Name: name, Kind: kind, Attributes: attributes,
			StartTimeUnixNano: uint64(at.Add(time.Duration(inset) * time.Millisecond).UnixNano()), EndTimeUnixNano: uint64(at.Add(time.Duration(r.ms+8-inset) * time.Millisecond).UnixNano())}
		if r.rolled == 0 {
			sp.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR}
		}
		return sp
	}
	die, status := text(contract.AttrDieType, r.die), number("http.response.status_code", 200)
	clicked := []*commonpb.KeyValue{die, number(contract.AttrRollValue, r.rolled)}
	if r.rolled == 0 {
		clicked, status = clicked[:1], number("http.response.status_code", 500)
	}
	trace := sqlexport.Trace{Trace: otlpjson.Trace{ID: r.trace, Data: []*tracepb.ResourceSpans{
		batch(contract.ServiceRoller, span(server, call, contract.SpanRollerRoll, tracepb.Span_SPAN_KIND_SERVER, 4, die, status))}}}
	if !r.cut {
		trace.Data = append(trace.Data, batch(contract.ServiceFrontend, span(root, "", contract.SpanFrontendRoll, tracepb.Span_SPAN_KIND_SERVER, 0),
			span(click, root, contract.SpanButtonClick, tracepb.Span_SPAN_KIND_INTERNAL, 1, clicked...),
			span(call, click, contract.SpanClient, tracepb.Span_SPAN_KIND_CLIENT, 2)))
	}
	if _, err := f.AddTrace(t.Context(), trace); err != nil {
		t.Fatal(err)
	}
	logged := func(ms int, service, level, message, span string) {
		err := f.AddLine(t.Context(), query.LogLine{Time: at.Add(time.Duration(ms) * time.Millisecond), Text: fmt.Sprintf(`{"message":%q,"trace_id":%q}`, message, r.trace),
			Labels: map[string]string{contract.StreamService: service, contract.StreamLevel: level}, Metadata: map[string]string{contract.FieldTraceID: r.trace, contract.FieldSpanID: span}})
		if err != nil {
			t.Fatal(err)
		}
	}
	logged(1, contract.ServiceFrontend, contract.LevelInfo, contract.MsgButtonClicked, click)
	if r.rolled == 0 && !r.silent {
		logged(5, contract.ServiceRoller, contract.LevelError, contract.MsgRiskyFailed, server)
	}
}

// Each query of the document is run, and its answer is right.
func TestDocumentQueries(t *testing.T) {
	const fast, slow, failed, worst, late = "00000000000000000000000000000001", "4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000003",
		"00000000000000000000000000000004", "00000000000000000000000000000005"
	db := written(t, func(f *sqlexport.File) {
		for _, r := range []roll{
			{trace: fast, minute: 0, ms: 10, die: contract.DieFair, rolled: 3},
			{trace: slow, minute: 0, ms: 900, die: contract.DieFair, rolled: 6},
			{trace: failed, minute: 1, ms: 50, die: contract.DieRisky, silent: true},
			{trace: worst, minute: 1, ms: 70, die: contract.DieRisky},
			{trace: late, minute: 58, ms: 20, die: contract.DieRisky, cut: true},
		} {
			r.write(t, f)
		}
	})
	stamp := func(minute, ms int) string {
		return base.Add(time.Duration(minute)*time.Minute + time.Duration(ms)*time.Millisecond).Format("2006-01-02T15:04:05.000000000Z")
	}
	minute := func(n int) string { return stamp(n, 0)[:16] }
	// The spans of a roll that takes n ms are n+8, n+6, n+4 and n ms long.
	want := map[string][]string{
		"Errors of the last ten minutes of the file, by service and span.": {"dice-roller | GET /roll | 1"},
		"The five slowest rolls, and what they rolled.": {slow + " | " + stamp(0, 1) + " | 906 | fair | 6", worst + " | " + stamp(1, 1) + " | 76 | risky | <nil>",
			failed + " | " + stamp(1, 1) + " | 56 | risky | <nil>", fast + " | " + stamp(0, 1) + " | 16 | fair | 3"},
		"The share of failed rolls, by die.": {"fair | 2 | 0 | 0", "risky | 3 | 3 | 1"},
		"The 95th percentile of duration, by span name": {
			"POST /roll | 4 | 908", "roll_button_click | 4 | 906", "GET | 4 | 904", "GET /roll | 5 | 900"},
		"Spans that have an attribute": {
			failed + " | dice-roller | GET /roll | 50", worst + " | dice-roller | GET /roll | 70", late + " | dice-roller | GET /roll | 20"},
		"What both services logged in the slowest failed trace.": {
			stamp(1, 1) + " | streamlit-frontend | INFO | Button clicked | 00000000000000a2", stamp(1, 5) + " | dice-roller | ERROR | Risky die failed | 00000000000000a4"},
		"Spans that failed, and what called them": {
			"dice-roller | GET /roll | streamlit-frontend | GET | 2", "streamlit-frontend | GET | streamlit-frontend | roll_button_click | 2",
			"streamlit-frontend | roll_button_click | streamlit-frontend | POST /roll | 2"},
		"The time between the services": {
			fast + " | 4", failed + " | 4", worst + " | 4", slow + " | 4"},
		"Rolls a minute, and how many of them failed.":     {minute(0) + " | 2 | 0", minute(1) + " | 2 | 2"},
		"Spans whose parent is not in the file":            {late + " | dice-roller | GET /roll | 00000000000000a3"},
		"Failed rolls of which the roller logged no error": {failed + " | " + stamp(1, 4) + " | 500"},
		"Where the time of one trace goes": {
			"streamlit-frontend | POST /roll | 908 | 2", "streamlit-frontend | roll_button_click | 906 | 2", "streamlit-frontend | GET | 904 | 4", "dice-roller | GET /roll | 900 | 900"},
	}
	found := 0
	for _, m := range regexp.MustCompile("(?s)\n\\*\\*([^*]+)\\*\\*[^\n]*\n(?:[^\n]+\n)*\n```sql\n(.*?)```").FindAllStringSubmatch(document(t), -1) {
		found++
		got, title := ask(t, db, m[2]), strings.ReplaceAll(m[1], "\n", " ")
		if strings.HasPrefix(title, "The time between") {
			slices.Sort(got) // they are alike
		}
		if diff := cmp.Diff(want[title], got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", title, diff)
		}
	}
	if found != len(want) {
		t.Errorf("the document has %d queries, the test knows %d", found, len(want))
	}
	for _, m := range regexp.MustCompile(`lab\.db "(.*)"`).FindAllStringSubmatch(document(t), -1) {
		if got := ask(t, db, m[1]); len(got) != 3 || !strings.HasPrefix(got[0], stamp(58, 5)) {
			t.Errorf("%s answers %q", m[1], got)
		}
	}
}

// What the document calls fast finds its way by an index.
func TestFastQueries(t *testing.T) {
	db := written(t, func(*sqlexport.File) {})
	for query, want := range map[string]string{
		"SELECT * FROM logs WHERE trace_id = '4bf92f3577b34da6a3ce929d0e0e4736'":                                                  "INDEX logs_trace (trace_id=?)",
		"SELECT * FROM spans WHERE trace_id = '4bf92f3577b34da6a3ce929d0e0e4736'":                                                 "INDEX spans_trace (trace_id=?)",
		"SELECT * FROM spans WHERE name = 'GET' ORDER BY duration_ms DESC LIMIT 5":                                                "INDEX spans_name (name=?)",
		"SELECT * FROM spans WHERE status = 'error' AND start >= '2026-03-01'":                                                    "INDEX spans_error (start>?)",
		"SELECT s.* FROM span_attributes a JOIN spans s ON s.id = a.span WHERE a.key = 'user.id' AND a.value = 'u1'":              "PRIMARY KEY (key=? AND value=?)",
		"SELECT c.* FROM spans s JOIN spans c ON c.trace_id = s.trace_id AND c.parent = s.id WHERE s.trace_id = '4bf9'":           "INDEX spans_trace (trace_id=?)",
		"SELECT c.name FROM spans c JOIN spans p ON p.id = c.parent WHERE c.trace_id = '4bf92f3577b34da6a3ce929d0e0e4736'":        "INTEGER PRIMARY KEY (rowid=?)",
		"WITH one(id) AS (VALUES ('4bf92f3577b34da6a3ce929d0e0e4736')) SELECT l.text FROM one JOIN logs l ON l.trace_id = one.id": "INDEX logs_trace (trace_id=?)",
	} {
		plan := strings.Join(ask(t, db, "EXPLAIN QUERY PLAN "+query), "\n")
		if !strings.Contains(plan, want) || strings.Contains(plan, "SCAN s") || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s:\n%s\nwant %s", query, plan, want)
		}
	}
}
