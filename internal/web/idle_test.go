package web_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"dicelab/internal/web"
)

// pipes is a listener of connections in memory, on which a test's clock has hold.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// Connections that say nothing, say half of something, or have nothing more to
// say end, so that they do not pile up.
func TestIdleHTTP2(t *testing.T) {
	for name, tt := range map[string]struct {
		say  func(t *testing.T, c *h2Client, conn net.Conn)
		want time.Duration // until the server closes
		away bool          // with GOAWAY
	}{
		"nothing":        {func(*testing.T, *h2Client, net.Conn) {}, 15 * time.Second, false},
		"half a preface": {func(t *testing.T, _ *h2Client, conn net.Conn) { write(t, conn, http2.ClientPreface[:10]) }, 15 * time.Second, false},
		"a preface":      {func(t *testing.T, _ *h2Client, conn net.Conn) { write(t, conn, http2.ClientPreface) }, 2 * time.Second, false},
		"no call": {func(t *testing.T, c *h2Client, conn net.Conn) {
			write(t, conn, http2.ClientPreface)
			must(t, c.WriteSettings())
		}, time.Minute, true},
		"half a header": {func(t *testing.T, c *h2Client, conn net.Conn) {
			write(t, conn, http2.ClientPreface)
			must(t, c.WriteSettings(), c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1}))
		}, time.Minute, true},
		"one call": {func(t *testing.T, c *h2Client, conn net.Conn) {
			write(t, conn, http2.ClientPreface)
			must(t, c.WriteSettings(), c.open(1), c.WriteData(1, true, nil))
		}, time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := pipes{make(chan net.Conn), make(chan struct{})}
				server := web.NewHTTP2Server(l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				served := make(chan error, 1)
				go func() { served <- server.Serve() }()
				near, far := net.Pipe()
				l.conns <- far
				c := framer(t, near)
				began := time.Now()
				ended := make(chan time.Duration, 1)
				var away bool
				go func() {
					_, away = c.goneAway()
					ended <- time.Since(began)
				}()
				tt.say(t, c, near)
				got := <-ended
				if got < tt.want || got > tt.want+5*time.Second || away != tt.away {
					t.Errorf("hung up after %v, GOAWAY %v; want %v, %v", got, away, tt.want, tt.away)
				}
				must(t, near.Close(), server.Close(), <-served)
			})
		})
	}
}

func write(t *testing.T, to io.Writer, text string) {
	t.Helper()
	_, err := io.WriteString(to, text)
	must(t, err)
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}
