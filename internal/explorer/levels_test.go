package explorer_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestLevels checks that the level and the message of a line are recognised however its
// program spells them, and that colours for terminals are left out.
func TestLevels(t *testing.T) {
	l := start(t)
	lines := []struct{ text, level, message string }{
		{`{"level":30,"msg":"pino"}`, "INFO", "pino"},
		{`{"level":50,"msg":"pino"}`, "ERROR", "pino"},
		{`{"Level":"Information","Message":"Serilog"}`, "INFO", "Serilog"},
		{`{"severity":"ERROR","message":"Google"}`, "ERROR", "Google"},
		{`{"lvl":"warn","msg":"lvl"}`, "WARNING", "lvl"},
		{`{"log.level":"error","message":"ECS"}`, "ERROR", "ECS"},
		{`{"level":3,"short_message":"GELF"}`, "ERROR", "GELF"},
		{`{"level":"fatal","message":"fatal"}`, "CRITICAL", "fatal"},
		{`{"level":"crit","message":"crit"}`, "CRITICAL", "crit"},
		{`{"level":"verbose","message":"other"}`, "TRACE", "other"},
		{`{"level":"Odd","message":"unknown"}`, "ODD", "unknown"},
		{`level=error msg="logfmt"`, "ERROR", `level=error msg="logfmt"`},
		{`2026-01-01 10:00:00 ERROR plain text`, "ERROR", `2026-01-01 10:00:00 ERROR plain text`},
		{`[WARN] plain text`, "WARNING", `[WARN] plain text`},
		{`no ERRORS here, for INFORMATION`, "–", `no ERRORS here, for INFORMATION`},
		{"\x1b[31mERROR\x1b[0m \x1b[1;32mdisk\x1b[m full \x1b[38;5;208m90%\x1b[0m \x1b]8;;http://a\x1b\\link\x1b]8;;\x07", "ERROR", "ERROR disk full 90% link"},
		{"{\"level\":\"INFO\",\"message\":\"\\u001b[31mred\\u001b[0m alarm\"}", "INFO", "red alarm"},
	}
	var values [][2]string
	for i, line := range lines {
		values = append(values, [2]string{strconv.FormatInt(now().Add(time.Duration(i)-time.Minute).UnixNano(), 10), line.text})
	}
	body, err := json.Marshal(map[string]any{"streams": []any{map[string]any{"stream": map[string]string{"service_name": "levels"}, "values": values}}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(l.loki.URL+"/loki/api/v1/push", "application/json", bytes.NewReader(body))
	if err != nil || resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp, err)
	}
	defer resp.Body.Close()
	rows := page(t, l.handler, "/logs?q="+url.QueryEscape(`{service_name="levels"}`), 200).all("details.log")
	if len(rows) != len(lines) {
		t.Fatalf("%d rows of %d lines", len(rows), len(lines))
	}
	for i, line := range lines {
		row := rows[len(rows)-1-i] // the newest comes first
		got := []string{row.one(t, ".log-level").text(), row.one(t, ".log-message").text()}
		if d := cmp.Diff([]string{line.level, line.message}, got); d != "" {
			t.Errorf("%q: %s", line.text, d)
		}
	}
}
