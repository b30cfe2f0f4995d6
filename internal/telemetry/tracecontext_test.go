package telemetry_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
)

// The kinds of headers that the test suite of W3C Trace Context sends, and what a
// service must make of them: go on with the caller's trace or start a new one, with
// which tracestate.
func TestTraceContextHeaders(t *testing.T) {
	const traceID, caller = "12345678901234567890123456789012", "1234567890123456"
	const good = "00-" + traceID + "-" + caller + "-01"
	parent := func(values ...string) (headers []string) {
		for _, v := range values {
			headers = append(headers, contract.HeaderTraceparent, v)
		}
		return headers
	}
	state := func(values ...string) []string {
		headers := parent(good)
		for _, v := range values {
			headers = append(headers, contract.HeaderTracestate, v)
		}
		return headers
	}
	// The longest list, and one that is longer.
	members := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = "k" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + "=1"
		}
		return strings.Join(list, ",")
	}
	long := strings.Repeat("z", 256)
	for _, tt := range []struct {
		name      string
		headers   []string
		continues bool
		state     string
	}{
		{name: "neither header"},
		{name: "traceparent", headers: parent(good), continues: true},
		{name: "in capitals", headers: []string{"TRACEPARENT", good}, continues: true},
		{name: "another name", headers: []string{"trace-parent", good}},
		{name: "yet another name", headers: []string{"trace.parent", good}},
		{name: "twice", headers: parent(good, "00-"+traceID+"-1234567890123457-01")},
		{name: "twice the same", headers: parent(good, good)},
		{name: "twice, one empty", headers: parent(good, "")},
		{name: "twice, in different case", headers: []string{"Traceparent", good, "TRACEPARENT", good}},
		{name: "twice in one header", headers: parent(good + "," + good)},
		{name: "twice with a tracestate", headers: append(parent(good, good), contract.HeaderTracestate, "foo=1")},
		{name: "space around it", headers: parent(" \t" + good + "\t "), continues: true},
		{name: "space within it", headers: parent("00- " + traceID + "-" + caller + "-01")},
		{name: "empty", headers: parent("")},

		{name: "version 00 with more", headers: parent(good + ".")},
		{name: "version 00 with another field", headers: parent(good + "-what-the-future-will-be-like")},
		{name: "version 00 with a dash", headers: parent(good + "-")},
		{name: "a later version", headers: parent("cc-" + traceID + "-" + caller + "-01"), continues: true},
		{name: "a later version with another field", headers: parent("cc-" + traceID + "-" + caller + "-01-what-the-future-will-be-like"), continues: true},
		{name: "a later version with more", headers: parent("cc-" + traceID + "-" + caller + "-01.what-the-future-will-not-be-like")},
		{name: "version ff", headers: parent("ff-" + traceID + "-" + caller + "-01")},
		{name: "version of other characters", headers: parent(".0-" + traceID + "-" + caller + "-01")},
		{name: "version of three characters", headers: parent("000-" + traceID + "-" + caller + "-01")},
		{name: "version of one character", headers: parent("0-" + traceID + "-" + caller + "-01")},
		{name: "trace ID of zeros", headers: parent("00-00000000000000000000000000000000-" + caller + "-01")},
		{name: "trace ID of other characters", headers: parent("00-.2345678901234567890123456789012-" + caller + "-01")},
		{name: "trace ID in capitals", headers: parent("00-1234567890ABCDEF1234567890ABCDEF-" + caller + "-01")},
		{name: "trace ID too long", headers: parent("00-" + traceID + "3-" + caller + "-01")},
		{name: "trace ID too short", headers: parent("00-" + traceID[1:] + "-" + caller + "-01")},
		{name: "parent ID of zeros", headers: parent("00-" + traceID + "-0000000000000000-01")},
		{name: "parent ID of other characters", headers: parent("00-" + traceID + "-123456789012345.-01")},
		{name: "parent ID too long", headers: parent("00-" + traceID + "-" + caller + "7-01")},
		{name: "parent ID too short", headers: parent("00-" + traceID + "-" + caller[1:] + "-01")},
		{name: "flags of other characters", headers: parent("00-" + traceID + "-" + caller + "-.0")},
		{name: "flags too long", headers: parent("00-" + traceID + "-" + caller + "-001")},
		{name: "flags too short", headers: parent("00-" + traceID + "-" + caller + "-1")},
		{name: "no flags", headers: parent("00-" + traceID + "-" + caller)},

		{name: "tracestate alone", headers: []string{contract.HeaderTracestate, "foo=1"}},
		{name: "tracestate", headers: state("foo=1,bar=2"), continues: true, state: "foo=1,bar=2"},
		{name: "several tracestates", headers: state("foo=1,bar=2", "rojo=1,congo=2", "baz=3"), continues: true, state: "foo=1,bar=2,rojo=1,congo=2,baz=3"},
		{name: "an empty tracestate", headers: state(""), continues: true},
		{name: "empty tracestates among others", headers: state("foo=1", "", "bar=2"), continues: true, state: "foo=1,bar=2"},
		{name: "space between members", headers: state("foo=1 \t , \t bar=2, \t baz=3"), continues: true, state: "foo=1,bar=2,baz=3"},
		{name: "a key twice", headers: state("foo=1,foo=2"), continues: true},
		{name: "a key in two headers", headers: state("foo=1", "foo=2"), continues: true},
		{name: "a key in capitals", headers: state("FOO=1"), continues: true},
		{name: "a key of other characters", headers: state("foo.bar=1"), continues: true},
		{name: "a key with space", headers: state("foo =1"), continues: true},
		{name: "the longest key", headers: state(long + "=1"), continues: true, state: long + "=1"},
		{name: "a longer key", headers: state(long + "z=1"), continues: true},
		{name: "tenant and vendor", headers: state("tenant@vendor=1"), continues: true, state: "tenant@vendor=1"},
		{name: "a tenant without vendor", headers: state("foo@=1,bar=2"), continues: true},
		{name: "two vendors", headers: state("foo@bar@baz=1,bar=2"), continues: true},
		{name: "no value", headers: state("foo=,bar=3"), continues: true},
		{name: "two values", headers: state("foo=bar=baz"), continues: true},
		{name: "32 members", headers: state(members(32)), continues: true, state: members(32)},
		{name: "33 members", headers: state(members(33)), continues: true},
		{name: "33 members in two headers", headers: state(members(32), "foo=1"), continues: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := start(t)
			resp, _ := b.do(http.MethodGet, b.serve(traced("GET /roll", func(http.ResponseWriter, *http.Request) {}))+"/roll", nil, tt.headers...)
			b.stop()
			span := b.sink.Named(contract.SpanRollerRoll)
			var wantTrace, wantParent string
			if wantTrace = span.TraceID; tt.continues {
				wantTrace, wantParent = traceID, caller
			}
			got := []string{span.TraceID, span.ParentID, span.TraceState, resp.Header.Get(contract.HeaderTraceresponse)}
			if diff := cmp.Diff([]string{wantTrace, wantParent, tt.state, "00-" + wantTrace + "-" + span.SpanID + "-01"}, got); diff != "" {
				t.Errorf("trace, parent, tracestate, traceresponse (-want +got):\n%s", diff)
			}
			if !tt.continues && span.TraceID == traceID {
				t.Error("the caller's trace goes on")
			}
		})
	}
}

// Baggage may come in several headers too, and goes on whatever the traceparent is.
func TestBaggageInSeveralHeaders(t *testing.T) {
	b := start(t)
	const parent = "00-12345678901234567890123456789012-1234567890123456-01"
	seen := b.hop(contract.HeaderTraceparent, parent, contract.HeaderTraceparent, parent, contract.HeaderBaggage, "class=blue", contract.HeaderBaggage, "table=7")
	b.stop()
	got := strings.Split(seen.Get(contract.HeaderBaggage), ",")
	if len(got) != 2 || !strings.Contains(seen.Get(contract.HeaderBaggage), "class=blue") || !strings.Contains(seen.Get(contract.HeaderBaggage), "table=7") {
		t.Errorf("baggage sent on: %q", got)
	}
	if sent := seen.Get(contract.HeaderTraceparent); sent == "" || strings.HasPrefix(sent, parent[:35]) {
		t.Errorf("traceparent sent on: %q, want one of a new trace", sent)
	}
}
