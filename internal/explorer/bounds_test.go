package explorer_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A span of any size is shown: what a page cannot hold is counted.
func TestHugeSpan(t *testing.T) {
	list := func(n int, element string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]"
	}
	span := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"` + traceFair + `","spanId":"` + hex16(1) + `","name":"` + strings.Repeat("n", 5000) + `",` +
		`"attributes":` + list(200_000, `{}`) + `,"events":` + list(30_000, `{"name":"e"}`) + `,"links":` + list(100, `{"traceId":"`+traceZeros+`","spanId":"`+hex16(2)+`"}`) + `},` +
		`{"traceId":"` + traceFair + `","spanId":"` + hex16(2) + `","attributes":[{"key":"long","value":{"stringValue":"` + strings.Repeat("v", 100_000) + `"}},
		{"key":"list","value":{"arrayValue":{"values":` + list(50_000, `{"intValue":7}`) + `}}}]}]}]}]}`
	p := send(t, alone(t).handler, map[string]string{"file": span}, http.StatusOK)
	rows := p.all("details.span")
	if len(rows) != 2 {
		t.Fatalf("%d spans are shown", len(rows))
	}
	contains(t, rows[0].text(), strings.Repeat("n", 512)+"…", "and 199,872 more, which this page does not show", "and 29,968 more events, which", "and 68 more links, which")
	contains(t, rows[1].text(), "… and 95,904 more bytes", "and 40,002 more values within lists, which this page does not show")
	if got := len(rows[0].all("div.event")); got != 32 {
		t.Errorf("%d events are shown", got)
	}
}

// A long line is shown as far as it is read in a page.
func TestLongLine(t *testing.T) {
	text := strings.Repeat("x", 250_000)
	loki := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/values") {
			_, _ = io.WriteString(w, `{"data":["x"]}`) // the page is gone
			return
		}
		fmt.Fprintf(w, `{"data":{"resultType":"streams","result":[{"stream":{"service_name":"x"},"values":[["%d","{\"message\":\"m\",\"long\":\"%s\"}"]]}]}}`, now().UnixNano(), text)
	}))
	t.Cleanup(loki.Close)
	p := page(t, handler(t, loki.URL, loki.URL, loki.URL), "/logs", http.StatusOK)
	contains(t, p.one(t, ".log").text(), `{"message":"m","long":"xxxxx`, "and 217,257 more bytes, which this page does not show")
}

// Clients that do not read cost the bytes of their pages, and no place: others are
// answered.
func TestClientsThatDoNotRead(t *testing.T) {
	var spans []string
	for i := range 300 {
		spans = append(spans, fmt.Sprintf(`{"traceId":%q,"spanId":%q,"name":"%d","attributes":[{"key":"k","value":{"stringValue":"%s"}}]}`, traceFair, hex16(1+i), i, strings.Repeat("v", 4000)))
	}
	tempo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"trace":{"resourceSpans":[{"scopeSpans":[{"spans":[%s]}]}]}}`, strings.Join(spans, ","))
	}))
	t.Cleanup(tempo.Close)
	s := httptest.NewUnstartedServer(handler(t, tempo.URL, tempo.URL, tempo.URL))
	s.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if err := conn.(*net.TCPConn).SetWriteBuffer(4096); err != nil { // so that a page does not fit into it
			t.Error(err)
		}
		return ctx
	}
	s.Start()
	t.Cleanup(s.Close)
	for range 24 {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "GET /traces/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", traceFair); err != nil {
			t.Fatal(err)
		}
		// The answer has begun, and does not end: it is larger than what sockets buffer.
		if line, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil || !strings.Contains(line, "200 OK") {
			t.Fatalf("the page answers %q, %v", line, err)
		}
	}
	for _, coding := range []string{"gzip", "identity"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/traces/"+traceFair, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", coding)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK || (resp.Header.Get("Content-Encoding") == "gzip") != (coding == "gzip") {
			t.Errorf("%s: status %d, Content-Encoding %q", coding, resp.StatusCode, resp.Header.Get("Content-Encoding"))
		}
		resp.Body.Close()
	}
}

// Large traces are read one at a time. Small pages do not wait for them, and a
// client that leaves gives its turn to the next.
func TestLargeTracesTakeTurns(t *testing.T) {
	arrived, asked := make(chan string, 3), make(chan struct{})
	filler := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"` + traceFair + `","spanId":"` + hex16(1) + `","name":"s"}],"schemaUrl":"` + strings.Repeat("x", 1<<20) + `"}]}`
	tempo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := strings.TrimPrefix(r.URL.Path, "/api/v2/traces/")
		_, _ = io.WriteString(w, filler) // the page is gone
		if id == traceZeros {
			_ = http.NewResponseController(w).Flush() // as above
			arrived <- id
			<-r.Context().Done() // the page of this trace never ends by itself
			return
		}
		select {
		case asked <- struct{}{}:
		default:
		}
		_, _ = io.WriteString(w, strings.Repeat(" ", 1<<20)+`]}`) // as above
	}))
	t.Cleanup(tempo.Close)
	h := handler(t, tempo.URL, tempo.URL, tempo.URL)
	leaving, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(leaving, http.MethodGet, "/traces/"+traceZeros, nil))
	}()
	<-arrived
	second := make(chan int)
	go func() {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/traces/"+traceFair, nil))
		second <- rec.Code
	}()
	<-asked
	page(t, h, "/traces/file", http.StatusOK)
	select {
	case status := <-second:
		t.Errorf("the second large trace was answered with %d while the first was read", status)
	default:
	}
	leave()
	<-left
	if got := <-second; got != http.StatusOK {
		t.Errorf("after the first client had left, the second trace answers %d", got)
	}
}
