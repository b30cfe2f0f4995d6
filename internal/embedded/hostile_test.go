package embedded_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/contract"
)

// maxMemory limits the memory that the process may get from the system while hostile
// requests arrive: the budget of 256 MiB, garbage that is not collected yet, and
// connections. Without the budget the test's bodies take more than 2 GiB.
const maxMemory = 3 << 29

// zeros is a body of n zeros that are made while it is read.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// bomb returns n zeros, compressed to a thousandth.
func bomb(t *testing.T, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, zeros(n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Bodies of 100 MB, plain and compressed, and bodies that decode into a hundred times their
// size, twenty of each at once: each is refused, for good or for now, and the process does
// not grow.
func TestHostileBodies(t *testing.T) {
	c := startChild(t, t.TempDir())
	client := newClient(t)
	packed := bomb(t, 100<<20)
	spans := bytes.Repeat([]byte{0x12, 0x00}, 8<<20) // spans of a ScopeSpans, empty
	var nested []byte
	for _, field := range []byte{0x12, 0x0a} { // the ScopeSpans of a ResourceSpans of the request
		nested = append([]byte{field}, binaryLength(len(spans)+len(nested))...)
		spans = append(nested, spans...)
		nested = nil
	}
	tests := []struct {
		name, url, kind, encoding string
		body                      func() io.Reader
	}{
		{"OTLP, 100 MB", c.OTLP + "/v1/traces", "application/x-protobuf", "", func() io.Reader { return zeros(100 << 20) }},
		{"OTLP, 100 MB of JSON", c.OTLP + "/v1/traces", "application/json", "", func() io.Reader { return zeros(100 << 20) }},
		{"OTLP, zipped", c.OTLP + "/v1/traces", "application/x-protobuf", "gzip", func() io.Reader { return bytes.NewReader(packed) }},
		{"OTLP, empty spans", c.OTLP + "/v1/traces", "application/x-protobuf", "", func() io.Reader { return bytes.NewReader(spans) }},
		{"push, 100 MB", c.Loki + "/loki/api/v1/push", "application/json", "", func() io.Reader { return zeros(100 << 20) }},
		{"push, zipped", c.Loki + "/loki/api/v1/push", "application/json", "gzip", func() io.Reader { return bytes.NewReader(packed) }},
		{"query, 100 MB", c.Loki + "/loki/api/v1/query_range", "application/x-www-form-urlencoded", "", func() io.Reader { return zeros(100 << 20) }},
	}
	send := func(i int) (answer, error) {
		tt := tests[i]
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tt.url, tt.body())
		if err != nil {
			return answer{}, err
		}
		req.Header.Set("Content-Type", tt.kind)
		if tt.encoding != "" {
			req.Header.Set("Content-Encoding", tt.encoding)
		}
		return sendAll(req)
	}
	var wg sync.WaitGroup
	for i, tt := range tests {
		if got, err := send(i); err != nil || got.status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: status %d: %.200s, %v, want 413", tt.name, got.status, got.body, err)
		}
	}
	for i, tt := range tests {
		for range 20 {
			wg.Go(func() {
				switch got, err := send(i); {
				case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF): // hung up on before the answer was read
				case err != nil:
					t.Errorf("%s: %v", tt.name, err)
				case got.status == http.StatusRequestEntityTooLarge:
				case got.status == http.StatusRequestTimeout, got.status == contract.StatusClientClosedRequest:
					// the machine is too busy to send it in 15 s
				case got.status == http.StatusServiceUnavailable && got.header.Get("Retry-After") == "1":
				default:
					t.Errorf("%s: status %d: %.200s", tt.name, got.status, got.body)
				}
			})
		}
	}
	wg.Wait()
	c.stillServes(client)
	c.stop()
}

// sendAll sends a request on a connection of its own and reads the response. It also
// reads one that comes before the server has read the whole request and closes the
// connection, which http.Client may report as an error.
func sendAll(req *http.Request) (answer, error) {
	conn, err := net.Dial("tcp", req.URL.Host)
	if err != nil {
		return answer{}, err
	}
	sent := make(chan struct{})
	defer func() { <-sent }()
	defer conn.Close()
	go func() {
		defer close(sent)
		_ = req.Write(conn) // the answer says what became of it
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(body)}, err
}

// binaryLength returns a length as protobuf writes it.
func binaryLength(n int) (b []byte) {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// stillServes sends a span and reads it, and checks the size of the process.
func (c *child) stillServes(client *http.Client) {
	c.t.Helper()
	id := idOf(99, 99, 99)
	if got, err := c.export(c.t.Context(), client, exportOf(id, time.Now(), text("a", "b"))); err != nil || got.status != http.StatusOK {
		c.t.Errorf("an export afterwards: %+v, %v", got, err)
	}
	if got := get(c.t, fmt.Sprintf("%s/api/traces/%x", c.Tempo, id)); got.status != http.StatusOK {
		c.t.Errorf("a query afterwards: %+v", got)
	}
	memory := c.ask("memory")
	c.t.Logf("the process has %d MiB", memory>>20)
	if memory > maxMemory {
		c.t.Errorf("the process has %d MiB, want at most %d", memory>>20, maxMemory>>20)
	}
}

// An attribute of a megabyte, and a hundred thousand attributes, are stored and returned.
func TestHugeAttributes(t *testing.T) {
	c := startChild(t, t.TempDir())
	client := newClient(t)
	large := strings.Repeat("x", 1<<20)
	var many []*commonpb.KeyValue
	for i := range 100_000 {
		many = append(many, text(fmt.Sprintf("key%06d", i), "v"))
	}
	for n, attributes := range [][]*commonpb.KeyValue{{text("large", large)}, many} {
		if got, err := c.export(t.Context(), client, exportOf(idOf(0, 0, n), time.Now(), attributes...)); err != nil || got.status != http.StatusOK || got.body != "" {
			t.Fatalf("export %d: %+v, %v", n, got, err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/api/v2/traces/%x", c.Tempo, idOf(0, 0, n)), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/protobuf")
		got, err := do(client, req)
		if err != nil || got.status != http.StatusOK {
			t.Fatalf("trace %d: status %d, %v", n, got.status, err)
		}
		// TraceByIDResponse's field 1 is a message that is an export's on the wire.
		_, length, _ := strings.Cut(got.body, "\x0a")
		for length[0] >= 0x80 {
			length = length[1:]
		}
		var trace coltracepb.ExportTraceServiceRequest
		if err := proto.Unmarshal([]byte(length[1:]), &trace); err != nil {
			t.Fatal(err)
		}
		kvs := trace.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].GetAttributes()
		if len(kvs) != len(attributes) || kvs[len(kvs)-1].GetValue().GetStringValue() != attributes[len(attributes)-1].GetValue().GetStringValue() {
			t.Errorf("trace %d has %d attributes, want %d", n, len(kvs), len(attributes))
		}
	}
	c.stillServes(client)
	c.stop()
}

// Ten thousand connections are open at once, and then all send an export. Each is answered,
// or closed if the machine is so slow that the connection counts as idle. The same is true
// for one more.
func TestTenThousandConnections(t *testing.T) {
	n := 10_000
	var limit syscall.Rlimit // Go has raised the soft limit to the hard one
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if most := int(min(limit.Cur, 1<<20)) - 200; n > most {
		t.Logf("this user may open %d files, so there are %d connections", limit.Cur, most)
		n = most
	}
	c := startChild(t, t.TempDir())
	client := newClient(t)
	conns := make([]*net.TCPConn, n)
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				_ = conn.SetLinger(0) // no wait for late packets, which would keep ten thousand ports
				_ = conn.Close()
			}
		}
	}()
	send := func(conn net.Conn, body []byte) error {
		_, err := fmt.Fprintf(conn, "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		return err
	}
	receive := func(conn net.Conn) (status int, err error) {
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			return 0, err
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return res.StatusCode, err
	}
	for i := range conns {
		conn, err := net.Dial("tcp", strings.TrimPrefix(c.OTLP, "http://"))
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		conns[i] = conn.(*net.TCPConn)
		if err := send(conn, nil); err != nil { // an export of nothing
			t.Fatalf("connection %d: %v", i, err)
		}
		if status, err := receive(conn); err != nil || status != http.StatusOK {
			t.Fatalf("connection %d: status %d, %v", i, status, err)
		}
	}
	c.stillServes(client)
	now := time.Now()
	for i, conn := range conns {
		body, err := proto.Marshal(exportOf(idOf(1, 0, i), now))
		if err != nil {
			t.Fatal(err)
		}
		_ = send(conn, body) // receiving reports the failure
	}
	statuses := make(map[int]int)
	for _, conn := range conns {
		status, err := receive(conn)
		if err != nil {
			status = 0
		}
		statuses[status]++
	}
	t.Logf("statuses %v", statuses)
	if statuses[http.StatusOK] == 0 || statuses[http.StatusOK]+statuses[http.StatusServiceUnavailable]+statuses[0] != n {
		t.Errorf("statuses %v, want 200, or 503 where there is too much to do", statuses)
	}
	c.stillServes(client)
}
