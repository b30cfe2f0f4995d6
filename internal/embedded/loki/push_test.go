package loki_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/loki"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/streams"
)

// sink is a store that keeps pushed lines.
type sink struct {
	loki.Store
	lines []store.Line
}

func (s *sink) AppendLines(_ context.Context, lines []store.Line) error {
	s.lines = append(s.lines, lines...)
	return nil
}

// push sends a body and returns the stored lines.
func push(t *testing.T, body string, header ...string) (status int, text string, stored []store.Line) {
	t.Helper()
	var s sink
	server := httptest.NewServer(loki.NewHandler(&s, loki.Options{}))
	defer server.Close()
	status, _, text = do(t, http.MethodPost, server.URL+"/loki/api/v1/push", body, header...)
	return status, text, s.lines
}

func zip(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// message returns a protobuf message of length-delimited fields.
func message(parts ...any) string {
	var b []byte
	for i := 0; i < len(parts); i += 2 {
		number := protowire.Number(parts[i].(int))
		switch v := parts[i+1].(type) {
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), v)
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), uint64(v))
		}
	}
	return string(b)
}

func protoRequest() string {
	entry := message(1, message(1, 1772366400, 2, 5), 2, "first", 3, message(1, "trace_id", 2, traceA), 3, message(1, "span_id", 2, "a000000000000001"))
	second := message(1, message(1, 1772366401), 2, "second", 4, message(1, "ignored", 2, "x"))
	return message(1, message(1, `{service_name="dice-roller", empty=""}`, 2, entry, 2, second, 3, 77), 1, message(2, message(2, "third"), 1, `{a="b"}`))
}

func TestPush(t *testing.T) {
	at := func(seconds, nanos int64) time.Time { return time.Unix(seconds, nanos) }
	roller := map[string]string{"service_name": "dice-roller"}
	inJSON := `{"streams":[{"stream":{"service_name":"dice-roller","empty":""},"values":[
		["1772366400000000005","first \u00e9",{"trace_id":"` + traceA + `"}],["1772366401000000000",""]]},
		{"stream":{"a":"b"},"values":[]}]}`
	ofJSON := []store.Line{
		{Time: at(1772366400, 5), Stream: roller, Metadata: map[string]string{"trace_id": traceA}, Text: "first é"},
		{Time: at(1772366401, 0), Stream: roller, Text: ""},
	}
	ofProto := []store.Line{
		{Time: at(1772366400, 5), Stream: roller, Metadata: map[string]string{"trace_id": traceA, "span_id": "a000000000000001"}, Text: "first"},
		{Time: at(1772366401, 0), Stream: roller, Text: "second"},
		{Time: at(0, 0), Stream: map[string]string{"a": "b"}, Text: "third"},
	}
	snapped := string(snappy.Encode(nil, []byte(protoRequest())))
	for _, test := range []struct {
		name, body string
		header     []string
		want       []store.Line
	}{
		{"JSON", inJSON, []string{"Content-Type", "application/json"}, ofJSON},
		{"JSON with a character set, zipped", zip(t, inJSON), []string{"Content-Type", "application/json; charset=utf-8", "Content-Encoding", "gzip"}, ofJSON},
		{"protobuf", snapped, []string{"Content-Type", "application/x-protobuf"}, ofProto},
		{"protobuf that says that it is snappy", snapped, []string{"Content-Type", "application/x-protobuf", "Content-Encoding", "snappy"}, ofProto},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, text, stored := push(t, test.body, test.header...)
			if status != http.StatusNoContent || text != "" {
				t.Errorf("status %d, %q; want 204 and nothing", status, text)
			}
			if diff := cmp.Diff(test.want, stored); diff != "" {
				t.Errorf("stored (-want +got)\n%s", diff)
			}
		})
	}
}

func TestPushErrors(t *testing.T) {
	json := []string{"Content-Type", "application/json"}
	proto := []string{"Content-Type", "application/x-protobuf"}
	line := func(stream, rest string) string {
		return `{"streams":[{"stream":` + stream + `,"values":[["1772366400000000000",` + rest + `]]}]}`
	}
	snapped := func(text string) string { return string(snappy.Encode(nil, []byte(text))) }
	many := func(n int) string {
		var pairs []string
		for i := range n {
			pairs = append(pairs, fmt.Sprintf(`"l%d":"x"`, i))
		}
		return "{" + strings.Join(pairs, ",") + "}"
	}
	for _, test := range []struct {
		name, body string
		header     []string
		status     int
		text       string
	}{
		{"no content type", "{}", nil, 400, "reading the Content-Type: mime: no media type; send application/json or application/x-protobuf"},
		{"another encoding", "{}", append(json, "Content-Encoding", "zstd"), 400, `Content-Encoding "zstd" not supported; use gzip or none`},
		{"not zipped", "{}", append(json, "Content-Encoding", "gzip"), 400, "reading the request body: unexpected EOF"},
		{"not JSON", "streams", json, 400, "decoding the push request: jsontext: invalid character 's' at start of value"},
		{"nothing", "{}", json, 422, "error at least one valid stream is required for ingestion"},
		{"a value of one part", `{"streams":[{"stream":{"a":"b"},"values":[["1"]]}]}`, json, 400,
			`decoding the push request: a value has 1 parts; it is ["nanoseconds", "line"], with structured metadata as a third`},
		{"a time that is a number", `{"streams":[{"stream":{"a":"b"},"values":[[1,"x"]]}]}`, json, 400,
			"decoding the push request: reading a timestamp: number in place of string, after byte 44"},
		{"a time that is not", `{"streams":[{"stream":{"a":"b"},"values":[["now","x"]]}]}`, json, 400,
			`decoding the push request: reading a timestamp: it is a number of nanoseconds since 1970 in quotes: strconv.ParseInt: parsing "now": invalid syntax`},
		{"a time before 1970", `{"streams":[{"stream":{"a":"b"},"values":[["-1","x"]]}]}`, json, 400,
			`entry for stream '{a="b"}' has the timestamp 1969-12-31 23:59:59.999999999 +0000 UTC, which is not of the years 1970 to 2261`},
		{"metadata that is a number", line(`{"a":"b"}`, `"x",{"n":1}`), json, 400,
			"decoding the push request: reading structured metadata: its values are strings: number in place of string, after byte 75"},
		{"no labels", line(`{"a":""}`, `"x"`), json, 400, "error at least one label pair is required per stream"},
		{"too many labels", line(many(16), `"x"`), json, 400,
			`entry for stream '{l0="x", l1="x", l10="x", l11="x", l12="x", l13="x", l14="x", l15="x", l2="x", l3="x", l4="x", l5="x", l6="x", l7="x", l8="x", l9="x"}' has 16 label names; limit 15`},
		{"labels too long", line(`{"a":"`+strings.Repeat("x", 8<<10)+`"}`, `"x"`), json, 400,
			"the labels of a stream have 8193 bytes, limit 8192: they begin with '{a=\"" + strings.Repeat("x", 196) + "'"},
		{"a name that no label has", line(`{"service.name":"x"}`, `"x"`), json, 400,
			`the label name "service.name" of a stream is not valid: letters, digits and _ are, with no digit first`},
		{"a trace ID as label", line(`{"trace_id":"x"}`, `"x"`), json, 400,
			"the embedded stack does not take trace_id as a label of a stream: send it as structured metadata of the line, or use the real Loki: dicelab up --stack=native"},
		{"a line too long", line(`{"a":"b"}`, `"`+strings.Repeat("x", 256<<10+1)+`"`), json, 400,
			`max entry size '262144' bytes exceeded for stream '{a="b"}' while adding an entry with length '262145' bytes`},
		{"too much metadata", line(`{"a":"b"}`, `"x",`+many(129)), json, 400, `stream '{a="b"}' has too many structured metadata labels: '129', limit: '128'`},
		{"metadata too long", line(`{"a":"b"}`, `"x",{"m":"`+strings.Repeat("x", 64<<10)+`"}`), json, 400,
			`stream '{a="b"}' has structured metadata too large: '65537' bytes, limit: '65536' bytes`},
		{"a body too long", strings.Repeat(" ", 4<<20+1), json, 413, "the request body is larger than 4194304 bytes; send less at a time"},
		{"a body that unzips to too much", zip(t, strings.Repeat(" ", 4<<20+1)), append(json, "Content-Encoding", "gzip"), 413,
			"the request body is larger than 4194304 bytes; send less at a time"},
		{"protobuf without snappy", "\xff\xff\xff", proto, 400, "reading the request body: snappy: corrupt input; protobuf has to be compressed with snappy"},
		{"snappy of too much", "\xff\xff\xff\xff\x0f", proto, 413, "the request body is larger than 4194304 bytes; send less at a time"},
		{"protobuf that is cut", snapped(message(1, "\x0a\x05")), proto, 400, "decoding the push request: unexpected EOF"},
		{"protobuf of another type", snapped(message(1, 5)), proto, 400, "decoding the push request: a field has another type than in Loki's schema"},
		{"protobuf with bad labels", snapped(message(1, message(1, `{a=b}`, 2, message(2, "x")))), proto, 400,
			`decoding the push request: labels "{a=b}": parse error at line 1, col 4: syntax error: unexpected "b", expected a string in quotes`},
		{"protobuf with bad nanoseconds", snapped(message(1, message(1, `{a="b"}`, 2, message(1, message(2, 1_000_000_000), 2, "x")))), proto, 400,
			"decoding the push request: a timestamp has 1000000000 nanoseconds beside its seconds"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, text, stored := push(t, test.body, test.header...)
			if status != test.status || text != test.text {
				t.Errorf("got  %d %s\nwant %d %s", status, text, test.status, test.text)
			}
			if stored != nil {
				t.Errorf("%d lines were stored", len(stored))
			}
		})
	}
}

// Pushes share a budget. A client whose push finds too little left is asked to send it
// again; a push that needs more than half of the budget never succeeds.
func TestPushesShareABudget(t *testing.T) {
	budget := intake.NewBudget(1 << 20)
	var s sink
	h := loki.NewHandler(&s, loki.Options{Budget: budget})
	send := func(kind, encoding, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/loki/api/v1/push", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Content-Encoding", encoding)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	const jsonType, protoType = "application/json", "application/x-protobuf"
	manyJSON := `{"streams":[{"stream":{"a":"b"},"values":[` + strings.Repeat(`["1",""],`, 2000) + `["1",""]]}]}`
	manyProto := string(snappy.Encode(nil, []byte(message(1, message(1, `{a="b"}`)+strings.Repeat(message(2, ""), 2000)))))
	for name, tt := range map[string]struct{ kind, body string }{"JSON": {jsonType, manyJSON}, "protobuf": {protoType, manyProto}} {
		if w := send(tt.kind, "", tt.body); w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "send fewer lines at a time") {
			t.Errorf("%s, 2000 lines without text: status %d, %s", name, w.Code, w.Body)
		}
	}
	others := budget.Reserve(true)
	if err := others.Resize(1<<20 - 3000); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, kind, encoding, body string }{
		{"JSON", jsonType, "", onePush},
		{"JSON, gzip", jsonType, "gzip", zip(t, onePush)},
		{"protobuf", protoType, "", string(snappy.Encode(nil, []byte(protoRequest())))},
	} {
		if w := send(tt.kind, tt.encoding, tt.body); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" || w.Body.String() != "too much is being taken in at once: send it again later" {
			t.Errorf("%s: status %d, Retry-After %q, %s", tt.name, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
	if s.lines != nil {
		t.Errorf("%d lines were stored", len(s.lines))
	}
	others.Release()
	if w := send(jsonType, "gzip", zip(t, onePush)); w.Code != http.StatusNoContent {
		t.Errorf("with room again: status %d, %s", w.Code, w.Body)
	}
	if err := budget.Reserve(true).Resize(1 << 20); err != nil {
		t.Errorf("something is still held: %v", err)
	}
}

// crowded is a store that refuses the first line of a push.
type crowded struct{ sink }

func (c *crowded) AppendLines(_ context.Context, lines []store.Line) error {
	c.lines = append(c.lines, lines[1:]...)
	return fmt.Errorf("writing: %w", &streams.RefusedError{Refused: []int{0}, Lines: len(lines), Streams: 10, Max: 10})
}

// If some lines of a push are refused, the others are stored.
func TestPushIsStoredInPart(t *testing.T) {
	const json = `{"streams":[{"stream":{"a":"b"},"values":[["1","one"],["-1","old"],["2","two"],["-2","older"],["3","three"]]},
		{"stream":{"service.name":"x"},"values":[["1","dotted"]]},{"stream":{"c":"d"},"values":[["4","four"]]}]}`
	const invalid = `entry for stream '{a="b"}' has the timestamp 1969-12-31 23:59:59.999999999 +0000 UTC, which is not of the years 1970 to 2261`
	const many = "1 of 4 lines were refused and the others are stored: there are 10 streams of log lines, and at most 10 are kept; " +
		"send what differs from line to line as structured metadata, not as labels"
	var plain sink
	full := &crowded{}
	for _, tt := range []struct {
		name   string
		store  loki.Store
		stored *[]store.Line
		status int
		text   string
		want   string
	}{
		{"lines that are wrong", &plain, &plain.lines, http.StatusBadRequest, "3 of 7 lines were refused and the others are stored: " + invalid, "one two three four"},
		{"a stream too many, too", full, &full.lines, http.StatusTooManyRequests, many + "; besides, " + invalid, "two three four"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(loki.NewHandler(tt.store, loki.Options{}))
			defer server.Close()
			status, _, text := do(t, http.MethodPost, server.URL+"/loki/api/v1/push", json, "Content-Type", "application/json")
			if status != tt.status || text != tt.text {
				t.Errorf("got  %d %s\nwant %d %s", status, text, tt.status, tt.text)
			}
			var got []string
			for _, l := range *tt.stored {
				got = append(got, l.Text)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("stored %q, want %q", got, tt.want)
			}
		})
	}
}

// /ready reports why lines cannot be stored.
func TestReadySaysWhyNot(t *testing.T) {
	var why error
	server := httptest.NewServer(loki.NewHandler(&sink{}, loki.Options{Ready: func(context.Context) error { return why }}))
	defer server.Close()
	if status, _, text := do(t, http.MethodGet, server.URL+"/ready", ""); status != http.StatusOK || text != "ready\n" {
		t.Errorf("status %d, %q", status, text)
	}
	why = errors.New("the disk is gone")
	if status, _, text := do(t, http.MethodGet, server.URL+"/ready", ""); status != http.StatusServiceUnavailable || text != "not ready: the disk is gone" {
		t.Errorf("status %d, %q", status, text)
	}
}

// FuzzPush checks that no body makes the decoders panic, and that accepted lines can be
// stored.
func FuzzPush(f *testing.F) {
	f.Add([]byte(protoRequest()), false)
	f.Add([]byte(`{"streams":[{"stream":{"a":"b"},"values":[["1","x",{"c":"d"}]]}]}`), true)
	f.Add([]byte(`{"streams":[null,{"values":[null]}]}`), true)
	f.Fuzz(func(t *testing.T, body []byte, json bool) {
		var s sink
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/loki/api/v1/push", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if !json {
			r = httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/loki/api/v1/push", bytes.NewReader(snappy.Encode(nil, body)))
			r.Header.Set("Content-Type", "application/x-protobuf")
		}
		w := httptest.NewRecorder()
		loki.NewHandler(&s, loki.Options{}).ServeHTTP(w, r)
		if w.Code == http.StatusNoContent && len(s.lines) == 0 || w.Code >= http.StatusInternalServerError {
			t.Fatalf("status %d, %d lines", w.Code, len(s.lines))
		}
		for _, l := range s.lines {
			if len(l.Stream) == 0 || l.Time.Year() < 1970 || l.Time.Year() > 2262 {
				t.Fatalf("stored %+v", l)
			}
		}
	})
}
