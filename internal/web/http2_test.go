package web_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"dicelab/internal/web"
)

// h2Client speaks frames to a server.
type h2Client struct {
	t    *testing.T
	conn net.Conn
	*http2.Framer
	fields strings.Builder
	hpack  *hpack.Encoder
	path   string // of requests
}

// newH2Client opens a connection to a server of handler, and sends the preface.
func newH2Client(t *testing.T, handler http.Handler) *h2Client {
	t.Helper()
	l, err := web.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := web.NewHTTP2Server(l, handler)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return dialH2(t, l.Addr())
}

func dialH2(t *testing.T, addr net.Addr) *h2Client {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the server may have been first
	c := framer(t, conn)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return c
}

// framer returns a client on an open connection, over which nothing was sent yet.
func framer(t *testing.T, conn net.Conn) *h2Client {
	c := &h2Client{t: t, conn: conn, Framer: http2.NewFramer(conn, conn), path: "/"}
	c.hpack = hpack.NewEncoder(&c.fields)
	return c
}

// open sends the header of a POST.
func (c *h2Client) open(stream uint32) error {
	c.fields.Reset()
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "localhost"}, {":path", c.path}, {"content-type", "application/grpc"}} {
		if err := c.hpack.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	return c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte(c.fields.String()), EndHeaders: true})
}

// goneAway reads until the server closes the connection, and returns the error code of the last
// GOAWAY before.
func (c *h2Client) goneAway() (code http2.ErrCode, seen bool) {
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return code, seen
		}
		if g, ok := f.(*http2.GoAwayFrame); ok {
			code, seen = g.ErrCode, true
		}
	}
}

// A client that makes the server work without sending it anything to work on is
// hung up on, and hears why.
func TestFloods(t *testing.T) {
	ok := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	for name, flood := range map[string]func(c *h2Client, n uint32) error{
		"streams that are reset": func(c *h2Client, n uint32) error {
			return errors.Join(c.open(2*n+1), c.WriteRSTStream(2*n+1, http2.ErrCodeCancel))
		},
		"streams that the server resets": func(c *h2Client, n uint32) error {
			return errors.Join(c.open(2*n+1), c.WriteWindowUpdate(2*n+1, 1<<31-1)) // a window that is too large
		},
		"pings":          func(c *h2Client, _ uint32) error { return c.WritePing(false, [8]byte{}) },
		"settings":       func(c *h2Client, _ uint32) error { return c.WriteSettings() },
		"priorities":     func(c *h2Client, n uint32) error { return c.WritePriority(2*n+1, http2.PriorityParam{}) },
		"windows":        func(c *h2Client, _ uint32) error { return c.WriteWindowUpdate(0, 1) },
		"unknown frames": func(c *h2Client, _ uint32) error { return c.WriteRawFrame(0x77, 0, 0, nil) },
		"data without data": func(c *h2Client, n uint32) error {
			if n == 0 {
				return c.open(1)
			}
			return c.WriteData(1, false, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newH2Client(t, ok)
			go func() {
				for n := uint32(0); flood(c, n) == nil; n++ { // until the server closes
				}
			}()
			if code, seen := c.goneAway(); !seen || code != http2.ErrCodeEnhanceYourCalm {
				t.Errorf("GOAWAY %v, with %v; want one with ENHANCE_YOUR_CALM", seen, code)
			}
		})
	}
}

// Calls with a body, each with a ping and a window update as clients of gRPC send
// them, and as many resets as a client needs that gives all of its calls up, are
// no flood.
func TestBusyClientIsNoFlood(t *testing.T) {
	c := newH2Client(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	const calls = 5000
	free := make(chan struct{}, 50) // as many are under way
	go func() {
		for n := range uint32(calls) {
			free <- struct{}{}
			err := errors.Join(c.open(4*n+1), c.WriteData(4*n+1, true, []byte("x")),
				c.WritePing(false, [8]byte{}), c.WritePing(true, [8]byte{}), c.WriteWindowUpdate(0, 1))
			if n < 500 {
				err = errors.Join(err, c.open(4*n+3), c.WriteRSTStream(4*n+3, http2.ErrCodeCancel))
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for answered := 0; answered < calls; {
		f, err := c.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if g, ok := f.(*http2.GoAwayFrame); ok {
			t.Fatalf("GOAWAY with %v", g.ErrCode)
		}
		if h := f.Header(); h.StreamID%4 == 1 && h.Flags.Has(http2.FlagHeadersEndStream) && (h.Type == http2.FrameHeaders || h.Type == http2.FrameData) {
			answered++
			<-free
		}
	}
}
