package tempo_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/answer"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/tempo"
)

// slow is an expression that takes minutes for a long text that it does not match.
var slow = "(?:" + strings.Repeat("(?:x?){1000}", 4) + ")*y"

// Queries are bounded before they are parsed.
func TestRefusedQueries(t *testing.T) {
	h := serve(t)
	large := strings.Repeat("(?:x?){1000}", 6)
	for _, tt := range []struct{ name, query, want string }{
		{"long", "{" + strings.Repeat(" ", 16<<10) + "}", "the query has 16386 bytes: at most 16384 are allowed"},
		{"nested", "{" + strings.Repeat("(", 101) + "name=`x`" + strings.Repeat(")", 101) + "}", "at line 1, col 102: the query has more than 100 parentheses or signs within each other"},
		{"open", "{" + strings.Repeat("(", 1_000), "at line 1, col 102: the query has more than 100 parentheses or signs within each other"},
		{"not", "{" + strings.Repeat("!", 1_000) + "(name=`x`)}", "at line 1, col 102: the query has more than 100 parentheses or signs within each other"},
		{"spansets", "{}" + strings.Repeat(" > {}", 11), "at line 1, col 51: the query has more than 10 spansets"},
		{"many spansets", "{}" + strings.Repeat(">{}", 500), "the query has more than 10 spansets"},
		{"large expression", "{name=~`" + large + "`}", "has more than 10000 instructions"},
		{"large expressions", "{" + strings.Repeat("name=~`"+slow+"` || ", 3) + "name=``}", "more than 20000 instructions together"},
		{"expression of groups", "{span.a!~`" + strings.Repeat("(x?)", 300) + "`}", "300 groups"},
		{"expression that closes what it did not open", "{name=~`a)|(b`}", "unexpected )"},
	} {
		rec := get(t, h, "/api/search?"+url.Values{"q": {tt.query}}.Encode())
		if rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), tt.want) {
			t.Errorf("%s: status %d %.300s, want %q", tt.name, rec.Code, rec.Body, tt.want)
		}
	}
}

// one is a store with one trace. It closes began when that is searched.
type one struct {
	waiting
	trace store.Trace
}

func (s one) Search(_ context.Context, q store.SearchQuery) (store.SearchResult, error) {
	close(s.began)
	return store.SearchResult{Traces: []store.FoundTrace{{Trace: s.trace, Matched: q.Match(s.trace)}}}, nil
}

func (s one) Trace(context.Context, store.TraceID) (store.Trace, error) { return s.trace, nil }

// traceOf returns a trace of n spans with an attribute of size bytes each, and a
// resource that has one of a megabyte.
func traceOf(n, size int) store.Trace {
	text := strings.Repeat("x", size)
	source := &store.Source{Service: contract.ServiceRoller, Resource: batch(contract.ServiceRoller).Resource}
	source.Resource.Attributes = append(source.Resource.Attributes, str("large", strings.Repeat("x", 1<<20)))
	t := store.Trace{ID: store.TraceID{1}}
	for i := range n {
		s := span(fairTrace, fmt.Sprintf("%016x", i+1), "", "n"+text, tracepb.Span_SPAN_KIND_SERVER, 0, 1, str("a", text))
		t.Spans = append(t.Spans, store.Span{Span: s, Source: source})
	}
	return t
}

// A search stops when its client is gone, and at its deadline, also within one value.
func TestStopsWithinAValue(t *testing.T) {
	for name, query := range map[string]string{
		"name":      "{name=~`n" + slow + "`}",
		"attribute": "{span.a=~`" + slow + "`}",
		"negated":   "{name=`x` || .a!~`" + slow + "`}",
		"below":     "{} >> {.large=~`" + slow + "`} | count() > 5",
		"shown":     "{} > {.large=~`" + slow + "`}",
	} {
		t.Run(name, func(t *testing.T) {
			target := "/api/search?" + url.Values{"q": {query}}.Encode()
			s := one{waiting{make(chan struct{})}, traceOf(3, 1<<20)}
			for i := range s.trace.Spans[1:] {
				s.trace.Spans[i+1].ParentSpanId = s.trace.Spans[i].SpanId
			}
			h, err := tempo.NewHandler(s, tempo.Options{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, leave := context.WithCancel(t.Context())
			go func() {
				<-s.began
				leave()
			}()
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil))
			if rec.Body.Len() > 0 {
				t.Errorf("a query whose client has gone is answered %.200s", rec.Body)
			}
			s.began = make(chan struct{})
			if h, err = tempo.NewHandler(s, tempo.Options{Timeout: time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			if rec := get(t, h, target); rec.Code != http.StatusGatewayTimeout {
				t.Errorf("after the deadline: status %d %.200s, want 504", rec.Code, rec.Body)
			}
		})
	}
}

// The response to a search repeats the shared parts of its spans, within the bound of a
// response.
func TestLargeAnswerOfASearch(t *testing.T) {
	pool := answer.NewPool(answer.Options{Most: 5 << 20})
	for spans, status := range map[int]int{2: http.StatusOK, 3: http.StatusUnprocessableEntity} { // each is there twice
		h, err := tempo.NewHandler(one{waiting{make(chan struct{})}, traceOf(spans, 10)}, tempo.Options{Answers: pool})
		if err != nil {
			t.Fatal(err)
		}
		rec := get(t, h, "/api/search?spss=100&"+url.Values{"q": {"{resource.large != ``}"}}.Encode())
		if rec.Code != status || status != http.StatusOK && rec.Body.String() != "the answer has more than 5242880 bytes: ask for less at a time\n" {
			t.Errorf("%d spans: status %d, %d bytes, want %d", spans, rec.Code, rec.Body.Len(), status)
		}
	}
}

// Clients that do not read their responses do not block other queries.
func TestSlowClientsKeepNoTurn(t *testing.T) {
	h, err := tempo.NewHandler(one{waiting{make(chan struct{})}, traceOf(1, 10)}, tempo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	server.Config.ConnState = smallBuffer(t)
	server.Start()
	t.Cleanup(server.Close)
	small := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return conn, conn.(*net.TCPConn).SetReadBuffer(4096)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: small, DisableKeepAlives: true}}
	for range 4 {
		res, err := client.Get(server.URL + "/api/v2/traces/1")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		if res.StatusCode != http.StatusOK || res.ContentLength < 1<<20 {
			t.Fatalf("status %d, %d bytes", res.StatusCode, res.ContentLength)
		}
	}
	res, err := client.Get(server.URL + "/api/v2/search/tag/status/values")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
}

// smallBuffer sets small write buffers for new connections of a server.
func smallBuffer(t *testing.T) func(net.Conn, http.ConnState) {
	return func(conn net.Conn, state http.ConnState) {
		if state != http.StateNew {
			return
		}
		if err := conn.(*net.TCPConn).SetWriteBuffer(4096); err != nil {
			t.Error(err)
		}
	}
}
