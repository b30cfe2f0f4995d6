package explorer_test

import (
	"strings"
	"testing"
)

// TestFileForms checks that the page shows what is complete of a file and says what is
// not, and that it names files of other programs.
func TestFileForms(t *testing.T) {
	l := start(t)
	saved := strings.TrimSpace(download(t, l, traceFair))
	p := send(t, l.handler, map[string]string{"file": `{"resourceLogs":[]}` + "\n" + saved + "\n" + `{"resourceSpans":[{"res`}, 200)
	contains(t, p.text(), "Not shown: the end of the last document, in line ", " is missing from the file: the spans that are complete are read",
		"Not shown: the log lines (resourceLogs) of 1 document: only traces are read")
	if got := len(p.all("details.span")); got != 5 {
		t.Errorf("%d spans", got)
	}
	for file, want := range map[string]string{
		`{"data":[{"traceID":"1","spans":[]}]}`: "it is Jaeger's JSON, and not OTLP JSON, which has resourceSpans: ask Jaeger for it as OTLP (/api/v3/traces/ID)",
		`[{"traceId":"1","id":"2"}]`:            "it is Zipkin's JSON",
		`[{"schema":{},"data":{}}]`:             "it is a data frame of Grafana",
	} {
		contains(t, send(t, l.handler, map[string]string{"file": file}, 400).one(t, ".notice").text(), "trace.json", want)
	}
}
