package conformance_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/embedded/conformance"
)

// TestNormalise checks that exactly the values are normalised that may differ between two
// servers with the same data.
func TestNormalise(t *testing.T) {
	base := time.Unix(1_700_000_000, 0)
	const (
		search = "/api/search"
		trace  = "/api/v2/traces/1"
		lines  = "/loki/api/v1/query_range"
	)
	tests := []struct {
		name         string
		server, path string
		show         string
		status       int
		contentType  string // default application/json
		head         string // default status and content type
		body, want   string // want without status and content type; of JSON without white space
	}{
		{name: "nanoseconds", server: conformance.Loki, path: lines, body: `{"data":{"result":["1700000001500000000","1700000061000000000","1600000000000000000"]}}`,
			want: `{"data":{"result":["1600000000000000000","<now>","@1.5s"]}}`},
		{name: "seconds", server: conformance.Prometheus, body: `{"data":{"result":[1700000001.5,1700000060,1700000060.5,17000000015,7]}}`,
			want: `{"data":{"result":["<now>","@1.5s","@1m0s",17000000015,7]}}`},
		{name: "RFC 3339", server: conformance.Prometheus, body: `{"data":{"activeAt":"2023-11-14T22:13:21Z","other":"2023-01-01T00:00:00Z"}}`,
			want: `{"data":{"activeAt":"@1s","other":"2023-01-01T00:00:00Z"}}`},
		{name: "trace IDs, order, statistics", server: conformance.Tempo, path: search,
			body: `{"traces":[{"traceID":"b1","startTimeUnixNano":"1700000010000000000"},{"traceID":"a1","startTimeUnixNano":"1700000009000000000"}],"metrics":{"completedJobs":1},"status":"PARTIAL"}`,
			want: `{"status":"PARTIAL","traces":[{"startTimeUnixNano":"@9s","traceID":"000000000000000000000000000000a1"},` +
				`{"startTimeUnixNano":"@10s","traceID":"000000000000000000000000000000b1"}]}`},
		{name: "the span set that is there twice", server: conformance.Tempo, path: search,
			body: `{"traces":[{"spanSet":{"matched":1},"spanSets":[{"matched":1}]},{"spanSet":{"matched":1},"spanSets":[{"matched":2}]}]}`,
			want: `{"traces":[{"spanSet":{"matched":1},"spanSets":[{"matched":2}]},{"spanSets":[{"matched":1}]}]}`},
		{name: "a digest of a search", server: conformance.Tempo, path: search, show: conformance.ShowDigest,
			body: `{"traces":[{"spanSets":[{"matched":3,"spans":[{"spanID":"1"},{"spanID":"2"}]}]}]}`, want: `{"traces":[{"spanSets":[{"matched":3,"spans":2}]}]}`},
		{name: "a count", server: conformance.Tempo, path: search, show: conformance.ShowCount, body: `{"traces":[{},{}]}`, want: `{"traces":2}`},
		{name: "batches", server: conformance.Tempo, path: trace,
			body: `{"trace":{"resourceSpans":[` +
				`{"resource":{"attributes":[{"key":"b"},{"key":"a"}]},"scopeSpans":[{"scope":{"name":"s"},"spans":[{"spanId":"2"}]}]},` +
				`{"resource":{"attributes":[{"key":"a"},{"key":"b"}]},"scopeSpans":[{"scope":{"name":"s"},"spans":[{"spanId":"1","attributes":[{"key":"z"},{"key":"y"}]}]}]},` +
				`{"resource":{},"scopeSpans":[{"scope":{"name":"s"},"spans":[{"spanId":"3"}]}]}]}}`,
			want: `{"trace":{"resourceSpans":[` +
				`{"resource":{"attributes":[{"key":"a"},{"key":"b"}]},"scopeSpans":[{"scope":{"name":"s"},"spans":[{"attributes":[{"key":"y"},{"key":"z"}],"spanId":"1"},{"spanId":"2"}]}]},` +
				`{"resource":{},"scopeSpans":[{"scope":{"name":"s"},"spans":[{"spanId":"3"}]}]}]}}`},
		{name: "a digest of a trace", server: conformance.Tempo, path: trace, show: conformance.ShowDigest,
			body: `{"trace":{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"},{"name":"b"}]}]},{"scopeSpans":[{"spans":[{"name":"b"}]}]}]}}`,
			want: `{"trace":{"resourceSpans":{"a":1,"b":2}}}`},
		{name: "order of lines stays", server: conformance.Loki, path: lines, body: `{"data":{"result":[{"stream":{"b":"1"},"values":[["2"],["1"]]},{"stream":{"a":"1"}}],"stats":{"a":1}}}`,
			want: `{"data":{"result":[{"stream":{"a":"1"}},{"stream":{"b":"1"},"values":[["2"],["1"]]}]}}`},
		{name: "a version", server: conformance.Loki, path: "/loki/api/v1/status/buildinfo", body: `{"version":"3.7.8","revision":""}`, want: `{"revision":"<text>","version":"<text>"}`},
		{name: "an error", server: conformance.Loki, path: lines, status: 400, contentType: "text/plain", head: "400", body: "parse error at line 1, col 7: syntax error", want: "parse error at line 1, col 7"},
		{name: "an error of Prometheus", server: conformance.Prometheus, status: 400, body: `{"errorType":"bad_data","error":"1:1: parse error"}`, want: `{"error":"1:1: parse error","errorType":"bad_data"}`},
		{name: "the address that is scraped", server: conformance.Prometheus, body: `{"data":{"result":[{"metric":{"instance":"127.0.0.1:9"}}]}}`, want: `{"data":{"result":[{"metric":{"instance":"<endpoint>"}}]}}`},
		{name: "targets", server: conformance.Prometheus, body: `{"data":{"activeTargets":[{"health":"up","discoveredLabels":{},"globalUrl":"","lastScrape":"","lastScrapeDuration":1}]}}`,
			want: `{"data":{"activeTargets":[{"health":"up"}]}}`},
		{name: "rules", server: conformance.Prometheus, body: `{"data":{"groups":[{"name":"g","file":"f","evaluationTime":1,"rules":[{"name":"r","lastEvaluation":"","evaluationTime":1}]}]}}`,
			want: `{"data":{"groups":[{"name":"g","rules":[{"name":"r"}]}]}}`},
		{name: "status alone", server: conformance.Prometheus, show: conformance.ShowStatus, contentType: "text/plain", body: "up 1", want: ""},
		{name: "text", server: conformance.Tempo, path: "/ready", contentType: "text/plain", body: "ready\n", want: "ready"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.status == 0 {
				tt.status = 200
			}
			if tt.contentType == "" {
				tt.contentType = "application/json"
			}
			if tt.head == "" {
				tt.head = fmt.Sprint(tt.status, " ", tt.contentType)
			}
			got, err := conformance.Normalise(conformance.Query{Name: tt.name, Server: tt.server, Path: tt.path, Show: tt.show},
				conformance.Answer{Status: tt.status, ContentType: tt.contentType, Body: []byte(tt.body)}, base, "127.0.0.1:9")
			if err != nil {
				t.Fatal(err)
			}
			head, body, _ := strings.Cut(got, "\n")
			if want := tt.head; want != head {
				t.Errorf("head %q, want %q", head, want)
			}
			if diff := cmp.Diff(decoded(t, tt.want), decoded(t, body)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

// decoded returns JSON without its white space, and any other text unchanged.
func decoded(t *testing.T, text string) (v any) {
	t.Helper()
	if !strings.HasPrefix(text, "{") {
		return strings.TrimSuffix(text, "\n")
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}
