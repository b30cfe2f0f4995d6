package loki_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"dicelab/internal/embedded/loki"
	"dicelab/internal/embedded/store"
)

// slow is an expression that takes minutes for a long line that it does not match.
var slow = "(?:" + strings.Repeat("(?:x?){1000}", 4) + ")*y"

// one is a store with one line. It closes began when that is read.
type one struct {
	loki.Store
	line  store.Line
	began chan struct{}
}

func (s one) Lines(_ context.Context, q store.LineQuery, yield func(store.Line) bool) error {
	close(s.began)
	if q.Streams(s.line.Stream) {
		yield(s.line)
	}
	return nil
}

// A query stops when its client is gone, and at its deadline, also within one line.
func TestStopsWithinALine(t *testing.T) {
	line := store.Line{Time: now(), Stream: map[string]string{"a": "b", "l": strings.Repeat("x", 8<<10)}, Text: `{"x":"` + strings.Repeat("x", 250<<10) + `"}`}
	many := func(n int, format string) (s string) {
		for i := range n {
			s += fmt.Sprintf(format, i)
		}
		return s
	}
	for name, query := range map[string]string{
		"line filter":  "{a=`b`} |~ `" + slow + "$`",
		"label filter": "{a=`b`} | json | x=~`" + slow + "`",
		"selector":     "{a=`b`,l=~`" + slow + "`}",
		"JSON":         "{a=`b`}" + strings.Repeat(" | json", 20) + " |~ `" + slow + "$`",
		"metric":       "rate({a=`b`} !~ `" + slow + "$` [5m])",
		"filters":      "{a=`b`} | json" + many(50, " | a%d!=`` or x!~`(?:(?:x?){190})*y`"),
	} {
		t.Run(name, func(t *testing.T) {
			target := "/loki/api/v1/query_range?" + url.Values{"query": {query}}.Encode()
			s := one{line: line, began: make(chan struct{})}
			ctx, leave := context.WithCancel(t.Context())
			go func() {
				<-s.began
				leave()
			}()
			w := httptest.NewRecorder()
			loki.NewHandler(s, loki.Options{Now: now}).ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil))
			if w.Code != 499 {
				t.Errorf("the client has gone: status %d %.200s, want 499", w.Code, w.Body)
			}
			w = httptest.NewRecorder()
			s.began = make(chan struct{})
			loki.NewHandler(s, loki.Options{Now: now, Timeout: time.Millisecond}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
			if w.Code != http.StatusGatewayTimeout || w.Body.String() != timedOut {
				t.Errorf("after the deadline: status %d %.200s, want 504", w.Code, w.Body)
			}
		})
	}
}

// A line of deeply nested JSON counts as one that cannot be parsed.
func TestNestedJSON(t *testing.T) {
	const depth = 43_000
	base, _ := serve(t, store.Line{Time: now().Add(-time.Second), Stream: map[string]string{"a": "b"}, Text: strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)})
	status, _, body := get(t, base, "/loki/api/v1/query_range", url.Values{"query": {`{a="b"} | json`}})
	var got struct {
		Data struct {
			Result []struct {
				Stream map[string]string `json:"stream"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK || len(got.Data.Result) != 1 {
		t.Fatalf("status %d, %v, %.200s", status, err, body)
	}
	want := map[string]string{"a": "b", "__error__": "JSONParserErr", "__error_details__": "the line has more than 64 JSON objects within each other"}
	if fmt.Sprint(got.Data.Result[0].Stream) != fmt.Sprint(want) {
		t.Errorf("labels %v, want %v", got.Data.Result[0].Stream, want)
	}
}

// long is a store with a megabyte of lines.
type long struct{ loki.Store }

func (long) Lines(_ context.Context, _ store.LineQuery, yield func(store.Line) bool) error {
	for i := range 55 {
		if !yield(store.Line{Time: now().Add(time.Duration(i)), Stream: map[string]string{"a": "b"}, Text: strings.Repeat("x", 20<<10)}) {
			break
		}
	}
	return nil
}

func (long) Streams(context.Context, time.Time, time.Time) ([]map[string]string, error) {
	return []map[string]string{{"a": "b"}}, nil
}

// Clients that do not read their responses do not block other queries.
func TestSlowClientsKeepNoTurn(t *testing.T) {
	server := httptest.NewUnstartedServer(loki.NewHandler(long{}, loki.Options{Now: now}))
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
		res, err := client.Get(server.URL + "/loki/api/v1/query_range?" + url.Values{"query": {`{a="b"}`}}.Encode())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		if res.StatusCode != http.StatusOK || res.ContentLength < 1_100_000 {
			t.Fatalf("status %d, %d bytes", res.StatusCode, res.ContentLength)
		}
	}
	if status, _, body := get(t, server.URL, "/loki/api/v1/labels", nil); status != http.StatusOK || body != `{"status":"success","data":["a"]}`+"\n" {
		t.Errorf("status %d %s", status, body)
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
