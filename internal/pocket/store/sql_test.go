package store_test

import (
	"database/sql"
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
	"dicelab/internal/pocket/store"
)

func sqlDocument(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/sql.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readOnly opens a store's file as the sqlite3 shell does.
func readOnly(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, store.FileName)+"?mode=ro")
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

// ask gives the rows of an answer, values as text, with a bar between.
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

// The document lists the columns that the views have, in their order.
func TestSQLDocumentColumns(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, store.Options{})
	db := readOnly(t, dir)
	for _, view := range []string{"spans", "logs"} {
		_, section, ok := strings.Cut(sqlDocument(t), "\n### "+view+"\n")
		if !ok {
			t.Fatalf("docs/sql.md has no section %s", view)
		}
		section, _, _ = strings.Cut(section, "\n#")
		var documented []string
		for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(section, -1) {
			documented = append(documented, m[1])
		}
		if diff := cmp.Diff(ask(t, db, "SELECT name FROM pragma_table_info(?)", view), documented); diff != "" {
			t.Errorf("columns of %s, the view's and the document's (-view +document):\n%s", view, diff)
		}
	}
}

// sqlRoll is a roll in the store of the test of the document's queries.
type sqlRoll struct {
	trace  string
	minute int // after the first
	ms     int // of the roller's work
	die    string
	rolled int64 // 0: failed
	silent bool  // the roller does not log its failure
	cut    bool  // the front end's spans are missing
}

func (r sqlRoll) store(t *testing.T, s *store.Store, base time.Time) {
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
	die, status := str(contract.AttrDieType, r.die), integer("http.response.status_code", 200)
	clicked := []*commonpb.KeyValue{die, integer(contract.AttrRollValue, r.rolled)}
	if r.rolled == 0 {
		clicked, status = clicked[:1], integer("http.response.status_code", 500)
	}
	batches := []*tracepb.ResourceSpans{from(contract.ServiceRoller, "r", span(server, call, contract.SpanRollerRoll, tracepb.Span_SPAN_KIND_SERVER, 4, die, status))}
	if !r.cut {
		batches = append(batches, from(contract.ServiceFrontend, "f", span(root, "", contract.SpanFrontendRoll, tracepb.Span_SPAN_KIND_SERVER, 0),
			span(click, root, contract.SpanButtonClick, tracepb.Span_SPAN_KIND_INTERNAL, 1, clicked...),
			span(call, click, contract.SpanClient, tracepb.Span_SPAN_KIND_CLIENT, 2)))
	}
	if err := s.AppendSpans(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
	logged := func(ms int, service, level, message, span string) store.Line {
		return store.Line{Time: at.Add(time.Duration(ms) * time.Millisecond), Stream: labels(service, level), Text: fmt.Sprintf(`{"message":%q}`, message),
			Metadata: map[string]string{contract.FieldTraceID: r.trace, contract.FieldSpanID: span}}
	}
	lines := []store.Line{logged(1, contract.ServiceFrontend, contract.LevelInfo, contract.MsgButtonClicked, click)}
	if r.rolled == 0 && !r.silent {
		lines = append(lines, logged(5, contract.ServiceRoller, contract.LevelError, contract.MsgRiskyFailed, server))
	}
	if err := s.AppendLines(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
}

// Each query of the document is run, while the store is open, and answers right.
func TestSQLDocumentQueries(t *testing.T) {
	dir := t.TempDir()
	// SQLite's 'now' is not the test's, so the last rolls are recent ones.
	base := time.Now().UTC().Truncate(time.Minute).Add(-time.Hour)
	s := open(t, dir, store.Options{Now: time.Now})
	const fast, slow, failed, worst, late = "00000000000000000000000000000001", "4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000003",
		"00000000000000000000000000000004", "00000000000000000000000000000005"
	for _, r := range []sqlRoll{
		{trace: fast, minute: 0, ms: 10, die: contract.DieFair, rolled: 3},
		{trace: slow, minute: 0, ms: 900, die: contract.DieFair, rolled: 6},
		{trace: failed, minute: 1, ms: 50, die: contract.DieRisky, silent: true},
		{trace: worst, minute: 1, ms: 70, die: contract.DieRisky},
		{trace: late, minute: 58, ms: 20, die: contract.DieRisky, cut: true},
	} {
		r.store(t, s, base)
	}
	stamp := func(minute, ms int) string {
		return base.Add(time.Duration(minute)*time.Minute + time.Duration(ms)*time.Millisecond).Format("2006-01-02T15:04:05.000000000Z")
	}
	minute := func(n int) string { return stamp(n, 0)[:16] }
	// The spans of a roll that takes n ms are n+8, n+6, n+4 and n ms long.
	want := map[string][]string{
		"Errors of the last ten minutes, by service and span.": {"dice-roller | GET /roll | 1"},
		"The five slowest rolls, and what they rolled.": {slow + " | " + stamp(0, 1) + " | 906 | fair | 6", worst + " | " + stamp(1, 1) + " | 76 | risky | <nil>",
			failed + " | " + stamp(1, 1) + " | 56 | risky | <nil>", fast + " | " + stamp(0, 1) + " | 16 | fair | 3"},
		"The share of failed rolls, by die.": {"fair | 2 | 0 | 0", "risky | 3 | 3 | 1"},
		"The 95th percentile of duration, by span name": {
			"POST /roll | 4 | 908", "roll_button_click | 4 | 906", "GET | 4 | 904", "GET /roll | 5 | 900"},
		"What both services logged in the slowest failed trace.": {
			stamp(1, 1) + " | streamlit-frontend | INFO | Button clicked | 00000000000000a2", stamp(1, 5) + " | dice-roller | ERROR | Risky die failed | 00000000000000a4"},
		"The time between the services": {
			fast + " | 4", failed + " | 4", worst + " | 4", slow + " | 4"},
		"Rolls a minute, and how many of them failed.":     {minute(0) + " | 2 | 0", minute(1) + " | 2 | 2"},
		"Spans whose parent is not stored":                 {late + " | dice-roller | GET /roll | 00000000000000a3"},
		"Failed rolls of which the roller logged no error": {failed + " | " + stamp(1, 4) + " | 500"},
		"Where the time of one trace goes": {
			"streamlit-frontend | POST /roll | 908 | 2", "streamlit-frontend | roll_button_click | 906 | 2", "streamlit-frontend | GET | 904 | 4", "dice-roller | GET /roll | 900 | 900"},
	}
	db := readOnly(t, dir)
	found := 0
	for _, m := range regexp.MustCompile("(?s)\n\\*\\*([^*]+)\\*\\*[^\n]*\n\n```sql\n(.*?)```").FindAllStringSubmatch(sqlDocument(t), -1) {
		found++
		got := ask(t, db, m[2])
		if strings.HasPrefix(m[1], "The time between") {
			slices.Sort(got) // they are alike
		}
		if diff := cmp.Diff(want[m[1]], got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", m[1], diff)
		}
	}
	if found != len(want) {
		t.Errorf("the document has %d queries, the test knows %d", found, len(want))
	}
	for _, m := range regexp.MustCompile(`store\.db "(.*)"`).FindAllStringSubmatch(sqlDocument(t), -1) {
		if got := ask(t, db, m[1]); len(got) != 3 || !strings.HasPrefix(got[0], stamp(58, 5)) {
			t.Errorf("%s answers %q", m[1], got)
		}
	}
}

// What the document calls cheap finds its way by an index.
func TestSQLCheapQueries(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, store.Options{})
	db := readOnly(t, dir)
	for query, want := range map[string]string{
		"SELECT * FROM logs WHERE trace_id = '4bf92f3577b34da6a3ce929d0e0e4736'": "SEARCH r USING INDEX log_trace (trace_id=?)",
		"SELECT * FROM spans WHERE part >= 7":                                    "SEARCH p USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
		"SELECT * FROM logs WHERE line >= 7":                                     "SEARCH r USING INTEGER PRIMARY KEY (rowid>?)",
		"WITH one(id) AS (VALUES ('4bf92f3577b34da6a3ce929d0e0e4736')) SELECT l.text FROM one JOIN logs l ON l.trace_id = one.id": "SEARCH r USING INDEX log_trace (trace_id=?)",
	} {
		plan := ask(t, db, "EXPLAIN QUERY PLAN "+query)
		if !strings.Contains(strings.Join(plan, "\n"), want) || slices.ContainsFunc(plan, func(step string) bool {
			return strings.HasSuffix(step, "| SCAN p") || strings.HasSuffix(step, "| SCAN r")
		}) {
			t.Errorf("%s:\n%s\nwant %s", query, strings.Join(plan, "\n"), want)
		}
	}
	for _, step := range ask(t, db, "EXPLAIN QUERY PLAN SELECT * FROM logs ORDER BY line DESC LIMIT 3") {
		if strings.Contains(step, "TEMP B-TREE") {
			t.Errorf("the last lines are sorted for: %s", step)
		}
	}
}
