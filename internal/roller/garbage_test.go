package roller_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"dicelab/internal/contract"
	"dicelab/internal/roller"
	"dicelab/internal/web"
)

// askBytes has a client ask a server that reads one request and sends bytes.
func askBytes(t *testing.T, send func(io.Writer)) (roller.Result, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			t.Errorf("reading the request: %v", err)
		}
		send(conn)
		_ = conn.Close() // the client may have hung up
	}()
	transport := &http.Transport{MaxResponseHeaderBytes: web.MaxHeaderBytes}
	defer func() {
		transport.CloseIdleConnections()
		_ = l.Close()
		<-done
	}()
	client, err := roller.NewClient("http://"+l.Addr().String(), transport, patience)
	if err != nil {
		t.Fatal(err)
	}
	return client.Roll(t.Context(), contract.DieFair)
}

// A server that answers something else than HTTP has been reached.
func TestClientGarbage(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	text := func(s string) func(io.Writer) { return func(w io.Writer) { _, _ = io.WriteString(w, s) } }
	many := func(s string, n int) func(io.Writer) {
		return func(w io.Writer) {
			for range n {
				if _, err := io.WriteString(w, s); err != nil {
					return // the client has had enough
				}
			}
		}
	}
	for _, tt := range []struct {
		name string
		send func(io.Writer)
		is   error
	}{
		{"another protocol", text("SSH-2.0-OpenSSH_9.6\r\n"), roller.ErrMalformed},
		{"a TLS alert", text("\x15\x03\x01\x00\x02\x02\x46"), roller.ErrMalformed},
		{"an HTTP/2 preface", text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), roller.ErrMalformed},
		{"one byte", text("H"), roller.ErrMalformed},
		{"half a status line", text("HTTP/1.1 20"), roller.ErrMalformed},
		{"a status of letters", text("HTTP/1.1 abc OK\r\n\r\n"), roller.ErrMalformed},
		{"half the headers", text(ok + "Content-Type: applic"), roller.ErrMalformed},
		{"a header that is none", text(ok + "no colon\r\n\r\n"), roller.ErrMalformed},
		{"20 MB of headers", func(w io.Writer) { text(ok)(w); many("X-Pad: "+strings.Repeat("y", 1<<10)+"\r\n", 20_000)(w) }, roller.ErrMalformed},
		{"one header of 20 MB", func(w io.Writer) { text(ok + "X-Pad: ")(w); many(strings.Repeat("y", 1<<10), 20_000)(w) }, roller.ErrMalformed},
		{"informational answers without end", many("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 1_000_000), roller.ErrMalformed},
		{"a negative length", text(ok + "Content-Length: -5\r\n\r\n"), roller.ErrMalformed},
		{"two lengths", text(ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), roller.ErrMalformed},
		{"half a body", text(ok + "Content-Length: 12\r\n\r\n{\"roll\""), roller.ErrMalformed},
		{"no body", text(ok + "Content-Length: 12\r\n\r\n"), roller.ErrMalformed},
		{"a chunk of no length", text(ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"), roller.ErrMalformed},
		{"half a chunk", text(ok + "Transfer-Encoding: chunked\r\n\r\nff\r\n{\"roll\":3}"), roller.ErrMalformed},
		{"gzip that is none", text(ok + "Content-Encoding: gzip\r\nContent-Length: 10\r\n\r\n{\"roll\":3}"), roller.ErrMalformed},
		{"a body without end", func(w io.Writer) { text(ok + "\r\n{\"roll\":3}")(w); many(strings.Repeat(" ", 1<<10), 1_000_000)(w) }, roller.ErrMalformed},
		{"another protocol that was not asked for", text("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: dice\r\n\r\n"), roller.ErrMalformed},
		{"nothing", func(io.Writer) {}, roller.ErrUnreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := askBytes(t, tt.send)
			if !errors.Is(err, tt.is) || got.Value != 0 {
				t.Errorf("got %+v, %v, want %v", got, err, tt.is)
			}
		})
	}
}
