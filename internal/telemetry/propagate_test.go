package telemetry_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
)

// serverOf starts a server and returns its URL.
func serverOf(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// hop sends a request with headers to a service that asks another one, and
// returns the trace headers that the other one got.
func (b *bench) hop(headers ...string) http.Header {
	b.t.Helper()
	seen := http.Header{}
	upstream := serverOf(b.t, func(_ http.ResponseWriter, r *http.Request) {
		for _, name := range []string{contract.HeaderTraceparent, contract.HeaderTracestate, contract.HeaderBaggage} {
			if values := r.Header.Values(name); len(values) > 0 {
				seen[http.CanonicalHeaderKey(name)] = values
			}
		}
	})
	client := &http.Client{Transport: b.Transport(&http.Transport{DisableKeepAlives: true})}
	url := b.serve(traced("GET /roll", func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, upstream, nil)
		if err != nil {
			b.t.Error(err)
			return
		}
		resp, err := client.Do(req)
		if err != nil {
			b.t.Error(err)
			return
		}
		_, _ = io.Copy(w, resp.Body)
		_ = resp.Body.Close()
	}))
	b.do(http.MethodGet, url+"/roll", nil, headers...)
	return seen
}

func TestTraceGoesThrough(t *testing.T) {
	const traceID, caller = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
	b := start(t)
	resp, _ := b.do(http.MethodGet, b.serve(traced("GET /roll", func(http.ResponseWriter, *http.Request) {}))+"/roll", nil,
		contract.HeaderTraceparent, "00-"+traceID+"-"+caller+"-01", contract.HeaderTracestate, "lab=1,other=2")
	b.stop()
	span := b.sink.Named(contract.SpanRollerRoll)
	got := []string{span.TraceID, span.ParentID, span.TraceState, resp.Header.Get(contract.HeaderTraceresponse)}
	if diff := cmp.Diff([]string{traceID, caller, "lab=1,other=2", "00-" + traceID + "-" + span.SpanID + "-01"}, got); diff != "" {
		t.Errorf("trace, parent, tracestate, traceresponse (-want +got):\n%s", diff)
	}
}

func TestMalformedTraceparentStartsANewTrace(t *testing.T) {
	for _, header := range []string{
		"garbage",
		"00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7",         // no flags
		"00-0af7651916cd43dd8448eb211c80319-00f067aa0ba902b7-01",       // 31 digits
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01",      // the invalid trace ID
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",      // the invalid parent ID
		"00-0AF7651916CD43DD8448EB211C80319C-00F067AA0BA902B7-01",      // upper case
		"00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01-more", // version 00 ends here
		"ff-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",      // the forbidden version
	} {
		t.Run(header, func(t *testing.T) {
			b := start(t)
			resp, _ := b.do(http.MethodGet, b.serve(traced("GET /roll", func(http.ResponseWriter, *http.Request) {}))+"/roll", nil,
				contract.HeaderTraceparent, header, contract.HeaderTracestate, "lab=1")
			b.stop()
			span := b.sink.Named(contract.SpanRollerRoll)
			if resp.StatusCode != 200 || span.ParentID != "" || span.TraceState != "" || strings.EqualFold(span.TraceID, "0af7651916cd43dd8448eb211c80319c") {
				t.Errorf("answer %d, trace %s, parent %q, tracestate %q; want a new root", resp.StatusCode, span.TraceID, span.ParentID, span.TraceState)
			}
			if got, want := resp.Header.Get(contract.HeaderTraceresponse), "00-"+span.TraceID+"-"+span.SpanID+"-01"; got != want {
				t.Errorf("traceresponse %q, want %q", got, want)
			}
		})
	}
}

func TestClientSpan(t *testing.T) {
	b := start(t)
	b.hop()
	b.stop()
	server, client := b.sink.Named(contract.SpanRollerRoll), b.sink.Named(contract.SpanClient)
	if client.Kind != "CLIENT" || client.ParentID != server.SpanID || client.TraceID != server.TraceID || client.Status != "Unset" {
		t.Errorf("client span %s %s, parent %s in %s; server span %s in %s", client.Kind, client.Status, client.ParentID, client.TraceID, server.SpanID, server.TraceID)
	}
	if client.Attributes["http.response.status_code"] != int64(200) || client.Attributes["http.request.method"] != "GET" {
		t.Errorf("attributes %v", client.Attributes)
	}
}

func TestUnsampledTraceGoesOnUnsampled(t *testing.T) {
	b := start(t)
	seen := b.hop(contract.HeaderTraceparent, "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00")
	b.stop()
	header := seen.Get(contract.HeaderTraceparent)
	if !strings.HasPrefix(header, "00-0af7651916cd43dd8448eb211c80319c-") || !strings.HasSuffix(header, "-00") || strings.Contains(header, "00f067aa0ba902b7") {
		t.Errorf("traceparent sent on is %q, want the same trace, our span, flags 00", header)
	}
	if got := b.sink.Requests(); got != 0 {
		t.Errorf("%d export requests, want 0", got)
	}
}

func TestFaultNoPropagation(t *testing.T) {
	b := start(t, "no-propagation")
	seen := b.hop(contract.HeaderTraceparent, "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01", contract.HeaderBaggage, "class=blue")
	if len(seen) != 0 {
		t.Errorf("sent on %v, want nothing", seen)
	}
	if err := b.faults.Disable("no-propagation"); err != nil {
		t.Fatal(err)
	}
	if seen := b.hop(contract.HeaderTraceparent, "00-1bf7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"); !strings.HasPrefix(seen.Get(contract.HeaderTraceparent), "00-1bf7651916cd43dd8448eb211c80319c-") {
		t.Errorf("switched off again, it sends on %v", seen)
	}
	b.stop()
	for _, span := range b.sink.Spans() {
		if span.TraceID == "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("span %s continues the caller's trace", span.Name)
		}
	}
}
