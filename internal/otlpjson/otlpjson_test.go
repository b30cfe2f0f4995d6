package otlpjson_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"dicelab/internal/otlpjson"
)

const (
	traceA, traceB = "00f067aa0ba902b7a3ce929d0e0e4736", "4bf92f3577b34da6a3ce929d0e0e4736"
	one            = `"startTimeUnixNano": "1700000000000000001"`
)

func read(t *testing.T, text string) *otlpjson.Document {
	t.Helper()
	doc, err := otlpjson.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func marshal(t *testing.T, trace otlpjson.Trace) string {
	t.Helper()
	var text strings.Builder
	if err := trace.Write(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func span(trace, id string, start int) string {
	return fmt.Sprintf(`{"traceId":%q,"spanId":"%016s","name":%[2]q,"startTimeUnixNano":"%d"}`, trace, id, start)
}

func batch(key, service, scope string, spans ...string) string {
	return fmt.Sprintf(`{%q:[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":%q}}]},"scopeSpans":[{"scope":{"name":%q},"spans":[%s]}]}]}`,
		key, service, scope, strings.Join(spans, ","))
}

// A trace is written as the specification's JSON encoding has it: IDs in hex,
// names in camelCase, enumerations as numbers, 64-bit numbers as text.
func TestMarshal(t *testing.T) {
	got := marshal(t, read(t, `{"resource_spans_are_not": 1, "resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "`+strings.ToUpper(traceA)+`", "spanId": "00000000000000ff",
		"parentSpanId": "0000000000000000", "name": "<x>", "kind": "SPAN_KIND_SERVER", `+one+`, "status": {"code": "STATUS_CODE_ERROR"},
		"attributes": [{"key": "i", "value": {"intValue": 7}}], "links": [{"traceId": "`+traceB+`", "spanId": "00000000000000fe"}]}]}]}]}`).Traces[0])
	want := `{
  "resourceSpans": [
    {
      "scopeSpans": [
        {
          "spans": [
            {
              "traceId": "00f067aa0ba902b7a3ce929d0e0e4736",
              "spanId": "00000000000000ff",
              "name": "<x>",
              "kind": 2,
              "startTimeUnixNano": "1700000000000000001",
              "attributes": [
                {
                  "key": "i",
                  "value": {
                    "intValue": "7"
                  }
                }
              ],
              "links": [
                {
                  "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
                  "spanId": "00000000000000fe"
                }
              ],
              "status": {
                "code": 2
              }
            }
          ]
        }
      ]
    }
  ]
}
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whatever order and grouping a store answers in, the document is the same.
func TestOrderIsTheSpans(t *testing.T) {
	a, b, c, d, e := span(traceA, "a", 10), span(traceA, "b", 20), span(traceA, "c", 20), span(traceA, "d", 30), span(traceA, "e", 20)
	want := marshal(t, read(t, batch("resourceSpans", "x", "s", a, c, e)+batch("resourceSpans", "y", "s", b, d)).Traces[0])
	for name, text := range map[string]string{
		"another order":           batch("resourceSpans", "y", "s", d, b) + batch("resourceSpans", "x", "s", e, c, a),
		"a resource in pieces":    batch("batches", "x", "s", e, c) + "\n" + batch("batches", "y", "s", b, d) + "\n" + batch("batches", "x", "s", a),
		"an answer of Tempo's":    `{"trace":` + batch("resourceSpans", "x", "s", e, c, a) + `}{"trace":` + batch("resourceSpans", "y", "s", b, d) + `}`,
		"scopes before resources": strings.NewReplacer(`"resource":{`, `"scopeSpans":[{"spans":[`+e+`,`+c+`,`+a+`],"scope":{"name":"s"}}],"resource":{`).Replace(batch("resourceSpans", "x", "s")) + batch("resourceSpans", "y", "s", b, d),
		"names before OTLP 1.0":   strings.NewReplacer(`"scopeSpans"`, `"instrumentationLibrarySpans"`, `"scope"`, `"instrumentationLibrary"`).Replace(batch("resourceSpans", "x", "s", a, c, e) + batch("resourceSpans", "y", "s", b, d)),
		"with a byte order mark":  "\ufeff" + batch("resourceSpans", "x", "s", a, c, e) + batch("resourceSpans", "y", "s", b, d),
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, marshal(t, read(t, text).Traces[0])); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTracesOfADocument(t *testing.T) {
	doc := read(t, batch("resourceSpans", "x", "s", span(traceB, "b", 2_000_000_000), span(traceA, "a", 1_000_000_000))+
		batch("resourceSpans", "", "s", span(traceB, "c", 3_000_000_000)))
	type trace struct {
		ID             string
		Spans          int
		Services       []string
		Oldest, Newest time.Time
	}
	var got []trace
	for _, tr := range doc.Traces {
		got = append(got, trace{tr.ID, tr.Spans, tr.Services, tr.Oldest, tr.Newest})
	}
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	if diff := cmp.Diff([]trace{{traceA, 1, []string{"x"}, at(1), at(1)}, {traceB, 2, []string{"x", ""}, at(2), at(3)}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPartialAnswer(t *testing.T) {
	inner := batch("resourceSpans", "x", "s", span(traceA, "a", 1))
	for text, want := range map[string]bool{
		`{"trace":` + inner + `,"status":"PARTIAL","message":"too large"}`: true,
		`{"trace":` + inner + `,"status":1}`:                               true,
		`{"trace":` + inner + `,"status":"COMPLETE","metrics":{}}`:         false,
	} {
		if doc := read(t, text); doc.Partial != want || len(doc.Notes) != 0 {
			t.Errorf("%s: partial %v, notes %v", text, doc.Partial, doc.Notes)
		}
	}
	for _, text := range []string{`{"trace":{},"status":"COMPLETE"}`, `{"trace":null}`, `{"batches":[]}`} {
		if doc, err := otlpjson.ReadAnswer(strings.NewReader(text), otlpjson.Options{}); err != nil || len(doc.Traces) != 0 {
			t.Errorf("%s: %+v, %v", text, doc, err)
		}
	}
}

func TestRefused(t *testing.T) {
	spans := func(text string) string { return `{"resourceSpans":[{"scopeSpans":[{"spans":[` + text + `]}]}]}` }
	const place = ` (resourceSpans[0].scopeSpans[0].spans[0]): `
	for _, tt := range []struct{ name, text, want string }{
		{"empty", " \n", "it is empty"},
		{"gzip", "\x1f\x8b\x08", "it is compressed: unpack it with gunzip first"},
		{"a page", "<html>", "it is not JSON: line 1, column 1: "},
		{"line of a second document", batch("resourceSpans", "x", "s") + "\n\n  {]", "it is not JSON: line 3, column 4: "},
		{"a list of nothing", `[{}]`, "it is an empty object: want resourceSpans"},
		{"an empty list", `[]`, "there is no span in it"},
		{"lists, too deep", `[[[{}]]]`, "want a document of OTLP JSON, an object with resourceSpans: want an object, got [{}]"},
		{"nothing in it", `{}`, "it is an empty object: want resourceSpans"},
		{"something else", `{"b":1,"a":2}`, `it has ["a" "b"] and no resourceSpans`},
		{"metrics", `{"resourceMetrics":[]}`, "it has resourceMetrics (metrics) where"},
		{"old and without spans", `{"resourceSpans":[{"instrumentationLibrarySpans":[]}]}`, "there is no span in it"},
		{"no list of old", `{"resourceSpans":[{"instrumentationLibrarySpans":7}]}`, "resourceSpans[0].instrumentationLibrarySpans: want a list, got 7"},
		{"no list", `{"resourceSpans":{}}`, "resourceSpans: want a list, got {}"},
		{"resource", `{"resourceSpans":[{"resource":[]}]}`, "resourceSpans[0]: unexpected token ["},
		{"no IDs", spans(`{"name":"x"}`), `span "x"` + place + `traceId is "": want 32 hex digits that are not all zero`},
		{"zeros", spans(`{"traceId":"` + traceA + `","spanId":"0000000000000000"}`), `span ""` + place + `spanId is "0000000000000000": want 16 hex digits that are not all zero`},
		{"not hex", spans(`{"traceId":"zz` + traceA[2:] + `","spanId":"00000000000000ff"}`), `span ""` + place + `traceId is "zz` + traceA[2:] + `": want 32 hex digits`},
		{"parent", spans(`{"traceId":"` + traceA + `","spanId":"00000000000000ff","parentSpanId":"ff"}`), `span ""` + place + `parentSpanId is "ff": want 16 hex digits`},
		{"link", spans(`{"traceId":"` + traceA + `","spanId":"00000000000000ff","links":[{"traceId":"` + traceB + `","spanId":"f"}]}`), `span ""` + place},
		{"link's trace", spans(`{"traceId":"` + traceA + `","spanId":"00000000000000ff","links":[{"traceId":"ff","spanId":"00000000000000ff"}]}`), `span ""` + place + `links[0].traceId is "ff": want 32 hex digits`},
		{"attribute", spans(`{"attributes":[{"key":"a","value":{"intValue":"many"}}]}`), `span ""` + place + `invalid value for int64 field intValue: "many"`},
		{"not UTF-8", spans(`{"name":"` + "\xff" + `"}`), "invalid UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := otlpjson.Read(strings.NewReader(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v, want %q", doc, err, tt.want)
			}
		})
	}
}

// What is read and written is read as the same, and written as the same.
func FuzzRead(f *testing.F) {
	f.Add([]byte(batch("resourceSpans", "x", "s", span(traceA, "a", 1), span(traceB, "b", 2))))
	f.Add([]byte(`{"trace":` + batch("batches", "x", "s", span(traceA, "a", 1)) + `,"status":"PARTIAL"}`))
	f.Add([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"APBnqgupArejzpKdDg5HNg==","spanId":"APBnqgupArc=","kind":3,"attributes":[{"key":"d","value":{"doubleValue":"NaN"}}]}]}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, err := otlpjson.Read(bytes.NewReader(body))
		if err != nil {
			return
		}
		for _, trace := range doc.Traces {
			text := marshal(t, trace)
			if !json.Valid([]byte(text)) {
				t.Fatalf("not JSON: %s", text)
			}
			again := read(t, text)
			if len(again.Traces) != 1 || len(again.Notes) != 0 || marshal(t, again.Traces[0]) != text {
				t.Fatalf("read again: %+v", again)
			}
			if diff := cmp.Diff(trace, again.Traces[0], protocmp.Transform(), cmp.FilterValues(func(a, b float64) bool { return a != a && b != b }, cmp.Comparer(func(float64, float64) bool { return true }))); diff != "" {
				t.Errorf("read again (-want +got):\n%s", diff)
			}
		}
	})
}
