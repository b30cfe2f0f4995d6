package otlpjson

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// signal returns a word for what OTLP's other signals have in a document, by its
// field, or "".
func signal(field string) string {
	switch field {
	case "resourceLogs", "scopeLogs":
		return "log lines"
	case "resourceMetrics", "scopeMetrics":
		return "metrics"
	case "resourceProfiles", "scopeProfiles":
		return "profiles"
	}
	return ""
}

// form is a form of telemetry that is not OTLP's, recognised by fields of its
// documents, with what to do.
type form struct {
	fields   []string
	what, do string
}

// forms lists what is recognised. The first that fits counts.
func forms() []form {
	console := "let the program send its spans with its OTLP exporter, to the lab or to a Collector with the exporter file"
	jaeger := form{what: "Jaeger's JSON", do: "ask Jaeger for it as OTLP (/api/v3/traces/ID)"}
	return []form{
		{[]string{"schema", "data"}, "a data frame of Grafana, which is a table",
			"save the trace itself, from Tempo's API (/api/traces/ID) or with dicelab export"},
		{[]string{"status", "data"}, "an answer of the API of Prometheus or Loki", "ask Tempo for the trace (/api/traces/ID)"},
		{[]string{"data"}, jaeger.what, jaeger.do},
		{[]string{"spans", "processes"}, jaeger.what, jaeger.do},
		{[]string{"traceID", "spans"}, jaeger.what, jaeger.do},
		{[]string{"traceId", "id"}, "Zipkin's JSON", "send it to a Collector with the receiver zipkin, which writes it as OTLP"},
		{[]string{"traceId", "spanId"}, "a span of OTLP by itself", `put it into {"resourceSpans":[{"scopeSpans":[{"spans":[…]}]}]}`},
		{[]string{"context", "start_time"}, "what Python's ConsoleSpanExporter prints", console},
		{[]string{"SpanContext", "StartTime"}, "what Go's stdouttrace prints", console},
		{[]string{"traceEvents"}, "Chrome's trace event format, which has no trace IDs", "open it in a browser's performance tools"},
		{[]string{"traces", "metrics"}, "the result of a search in Tempo", "ask for one trace of it (/api/traces/ID)"},
		{[]string{"log", "stream"}, "Docker's log file", "take its lines out first: jq -r .log"},
	}
}

// notTraces returns an error with what a document without spans seems to be.
func notTraces(names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("it is an empty object: want %s", keySpans)
	}
	for _, name := range names {
		if what := signal(name); what != "" {
			return &signalError{name, what}
		}
	}
	for _, f := range forms() {
		if !slices.ContainsFunc(f.fields, func(name string) bool { return !slices.Contains(names, name) }) {
			return fmt.Errorf("it is %s, and not OTLP JSON, which has %s: %s", f.what, keySpans, f.do)
		}
	}
	slices.Sort(names)
	return fmt.Errorf("it has %.200q and no %s: want OTLP JSON", names[:min(len(names), 20)], keySpans)
}

// signalError reports a document of another signal.
type signalError struct{ field, what string }

// Error implements error.
func (e *signalError) Error() string {
	return fmt.Sprintf("it has %s (%s) where a file of traces has %s", e.field, e.what, keySpans)
}

// noDocument returns an error for what begins with neither an object nor a list:
// rest is the input from there on, as far as it is known.
func noDocument(rest []byte) error {
	line, _, _ := bytes.Cut(bytes.TrimLeft(rest, " \t\r\n"), []byte("\n"))
	if at := bytes.IndexByte(line, '{'); at > 0 && bytes.Contains(line[at:], []byte(`"resource`)) {
		return fmt.Errorf("its line begins with other text, %.60q, before the JSON: leave that out, as with: sed 's/^[^{]*//'", line[:at])
	}
	return nil
}

// notText says what input that is not JSON seems to be, by its first bytes: it
// continues an error. It is "" for what is not recognised.
func notText(head []byte) string {
	text := strings.TrimLeft(string(head), " \t\r\n")
	inside := strings.TrimLeft(strings.TrimPrefix(text, "{"), " \t\r\n")
	switch {
	case text == "":
		return ""
	case strings.HasPrefix(text, "<"):
		return ": it looks like a page (HTML or XML)"
	case text[0] < ' ' || strings.ContainsRune(text, 0):
		return ": it is binary; if a Collector wrote it, set its exporter's format to json"
	case strings.HasPrefix(text, "Activity."):
		return ": it looks like what .NET's console exporter prints; use its OTLP exporter"
	case strings.HasPrefix(text, "ResourceSpans #") || strings.Contains(text, "\nResourceSpans #"):
		return ": it looks like what a Collector's exporter debug prints; use its exporter file"
	case len(text) > len(inside) && text[0] == '{' && inside != "" && (inside[0] >= 'a' && inside[0] <= 'z'):
		return ": it looks like what JavaScript's ConsoleSpanExporter prints; use its OTLP exporter"
	}
	return ""
}
