package otlpjson_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/otlpjson"
)

// TestForeign checks that files of other programs are named for what they are, with
// what to do.
func TestForeign(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"Jaeger", `{"data":[{"traceID":"1","spans":[],"processes":{}}],"total":0}`, "it is Jaeger's JSON, and not OTLP JSON, which has resourceSpans: ask Jaeger for it as OTLP (/api/v3/traces/ID)"},
		{"one trace of Jaeger's", `[{"traceID":"1","spans":[],"processes":{}}]`, "it is Jaeger's JSON"},
		{"Zipkin", `[{"traceId":"1","id":"2","timestamp":1}]`, "it is Zipkin's JSON, and not OTLP JSON, which has resourceSpans: send it to a Collector with the receiver zipkin"},
		{"Zipkin's search", `[[{"traceId":"1","id":"2"}]]`, "it is Zipkin's JSON"},
		{"Grafana", `[{"schema":{"fields":[]},"data":{"values":[]}}]`, "it is a data frame of Grafana, which is a table"},
		{"Prometheus", `{"status":"success","data":{"result":[]}}`, "it is an answer of the API of Prometheus or Loki"},
		{"Tempo's search", `{"traces":[],"metrics":{}}`, "it is the result of a search in Tempo"},
		{"Python", `{"name":"a","context":{},"start_time":"x"}`, "it is what Python's ConsoleSpanExporter prints"},
		{"Go", `{"Name":"a","SpanContext":{},"StartTime":"x"}`, "it is what Go's stdouttrace prints"},
		{"JavaScript", "{\n  resource: {", "it is not JSON: line 2, column 3: invalid character 'r' at start of value: it looks like what JavaScript's ConsoleSpanExporter prints; use its OTLP exporter"},
		{".NET", "Activity.TraceId:  00", "it looks like what .NET's console exporter prints"},
		{"Collector's debug", "info ResourceSpans\nResourceSpans #0\n", "it looks like what a Collector's exporter debug prints; use its exporter file"},
		{"protobuf", "\x00\x00\x01\x02", "it is binary; if a Collector wrote it, set its exporter's format to json"},
		{"page", "<html>", "it looks like a page (HTML or XML)"},
		{"Chrome", `{"traceEvents":[]}`, "it is Chrome's trace event format"},
		{"Docker", `{"log":"{}","stream":"stdout","time":"x"}`, "it is Docker's log file, and not OTLP JSON, which has resourceSpans: take its lines out first: jq -r .log"},
		{"a span", `{"traceId":"1","spanId":"2","name":"x"}`, "it is a span of OTLP by itself"},
		{"text before", `2024-03-09T16:00:00Z stdout F {"resourceSpans":[]}`, `its line begins with other text, "2024-03-09T16:00:00Z stdout F ", before the JSON: leave that out`},
		{"log lines", `{"resourceLogs":[]}`, "it has resourceLogs (log lines) where"},
		{"Java's log lines", `{"resource":{},"scopeLogs":[]}`, "it has scopeLogs (log lines) where"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := otlpjson.Read(strings.NewReader(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v, want %q", doc, err, tt.want)
			}
		})
	}
}

// TestForms checks the forms of OTLP JSON that are read, and what is said of what
// they have besides traces.
func TestForms(t *testing.T) {
	one := batch("resourceSpans", "x", "s", span(traceA, "a", 1))
	two := batch("resourceSpans", "y", "s", span(traceB, "b", 2))
	bare := strings.TrimSuffix(strings.TrimPrefix(one, `{"resourceSpans":[`), `]}`)
	utf := func(order binary.AppendByteOrder, mark ...byte) string {
		for _, u := range utf16.Encode([]rune(one)) {
			mark = order.AppendUint16(mark, u)
		}
		return string(mark)
	}
	torn := two[:strings.LastIndex(two, "]}]}")]
	const tornNote = "the end of the last document, in line 2, is missing from the file: the spans that are complete are read"
	for _, tt := range []struct {
		name, text string
		traces     []string // "spans of services"
		notes      []string
	}{
		{"a list of documents", "[" + one + "," + two + "]", []string{"1 span of x", "1 span of y"}, nil},
		{"Java's logging exporter", bare + "\n" + bare, []string{"2 spans of x"}, nil},
		{"protobuf's names", strings.NewReplacer("resourceSpans", "resource_spans", "scopeSpans", "scope_spans").Replace(one), []string{"1 span of x"}, nil},
		{"Jaeger's API 3", `{"result":` + one + `}`, []string{"1 span of x"}, nil},
		{"UTF-16, little-endian", utf(binary.LittleEndian, 0xff, 0xfe), []string{"1 span of x"}, nil},
		{"UTF-16, big-endian", utf(binary.BigEndian, 0xfe, 0xff), []string{"1 span of x"}, nil},
		{"three signals", `{"resourceLogs":[]}` + "\n" + one + "\n" + `{"resourceMetrics":[{}]}` + "\n" + `{"resourceLogs":[]}`, []string{"1 span of x"},
			[]string{"the log lines (resourceLogs) of 2 documents: only traces are read", "the metrics (resourceMetrics) of 1 document: only traces are read"}},
		{"two signals in one document", `{"resourceLogs":[],` + one[1:], []string{"1 span of x"}, []string{"the log lines (resourceLogs) of 1 document: only traces are read"}},
		{"torn before a span", one + "\n" + `{"resourceSpans":[{"reso`, []string{"1 span of x"}, []string{tornNote}},
		{"torn after a span", one + "\n" + torn, []string{"1 span of x", "1 span of y"}, []string{tornNote}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc := read(t, tt.text)
			var got []string
			for _, tr := range doc.Traces {
				got = append(got, tr.String())
			}
			if diff := cmp.Diff([][]string{tt.traces, tt.notes}, [][]string{got, doc.Notes}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := otlpjson.Read(strings.NewReader(one[:len(one)-5])); err == nil || !strings.Contains(err.Error(), "it ends in the middle of a JSON document") {
		t.Errorf("a single torn document: %v", err)
	}
}
