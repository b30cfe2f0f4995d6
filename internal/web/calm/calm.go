// Package calm ends connections of HTTP/2 whose client makes the server work
// without sending it anything to work on: streams that are opened and reset at
// once (CVE-2023-44487, "rapid reset"), pings, settings, empty frames. The
// servers of net/http and gRPC bound how many of these are in memory, not how
// many there are.
//
// A [Listener] counts the frames of each connection, in both directions, by
// their nine-byte headers (RFC 9113, section 4.1); it holds none of them.
package calm

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Bounds of one connection, for resets and for other frames that carry nothing:
// more than a client needs that cancels all of its calls at once.
const (
	burst     = 1000 // frames at once
	perSecond = 100  // frames in the long run
	perData   = 4    // further frames for one with content: grpc-go adds a ping and a window update to a call
)

// Bounds of hearing a client out that is hung up on: it reads why only if nothing
// that it sent is left unread.
const (
	lingerTime  = time.Second
	lingerBytes = 64 << 20
)

// errCalm is the error of reading from a connection that was hung up on.
var errCalm = errors.New("the client sent too many frames without content: hung up")

// NewListener returns a listener whose connections are HTTP/2 without TLS from
// their first byte, and are closed when they exceed the bounds. Other protocols
// pass uncounted. now is the clock; nil means [time.Now].
func NewListener(l net.Listener, now func() time.Time) net.Listener {
	if now == nil {
		now = time.Now
	}
	return &listener{l, now}
}

type listener struct {
	net.Listener
	now func() time.Time
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	start := bucket{left: burst, at: l.now()}
	return &conn{Conn: c, now: l.now, in: scanner{skip: len(preface), preface: true}, resets: start, idle: start}, nil
}

// conn counts the frames of a connection.
type conn struct {
	net.Conn
	now func() time.Time
	in  scanner // of the one goroutine that reads

	writing sync.Mutex // held while a piece is written
	out     scanner    // of what is written

	mu     sync.Mutex // guards what follows
	resets bucket     // RST_STREAM, in either direction: a client can make the server reset, too
	idle   bucket     // frames that carry nothing
	ended  bool
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.mu.Lock()
		ok := c.in.scan(p[:n], c.count)
		c.mu.Unlock()
		if !ok {
			c.hangUp()
			return 0, errCalm
		}
	}
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	ended := c.ended
	c.out.scan(p, func(f frame) bool {
		if f.kind == frameReset { // whether these are too many is seen at the next read
			c.resets.take(c.now())
		}
		return true
	})
	c.mu.Unlock()
	if ended {
		return 0, errCalm
	}
	return c.Conn.Write(p)
}

// Close implements net.Conn. A connection that is being hung up on closes when
// that is done.
func (c *conn) Close() error {
	c.mu.Lock()
	ended := c.ended
	c.mu.Unlock()
	if ended {
		return nil
	}
	return c.Conn.Close()
}

// count charges a frame that was read, and reports whether there may be more.
func (c *conn) count(f frame) bool {
	switch {
	case f.kind == frameReset:
		c.resets.take(c.now())
	case f.kind == frameData && f.length > 0:
		c.idle.give()
	case f.kind == frameHeaders, f.kind == frameData && f.flags&flagEndStream != 0: // begins or ends a call
	default:
		c.idle.take(c.now())
	}
	return c.resets.left > 0 && c.idle.left > 0
}

// hangUp ends the connection: with GOAWAY (RFC 9113, section 6.8) where that does
// not break a frame that is being written.
func (c *conn) hangUp() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	defer c.Conn.Close()                                              // the client gets no more than it got
	if err := c.SetDeadline(time.Now().Add(lingerTime)); err != nil { // ends a write, too
		return
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.out.whole() {
		if _, err := c.Conn.Write(goAway(c.in.stream)); err != nil {
			return
		}
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes) // until the client closes, or the deadline
	}
}

// goAway returns the frame that ends a connection after a stream, with the error code
// ENHANCE_YOUR_CALM.
func goAway(stream uint32) []byte {
	const reason = "too many frames without content"
	b := append(make([]byte, 0, headerBytes+8+len(reason)), 0, 0, 8+byte(len(reason)), frameGoAway, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, stream)
	b = binary.BigEndian.AppendUint32(b, 0xb)
	return append(b, reason...)
}

// bucket is a number of frames that may come, which grows with time.
type bucket struct {
	left float64
	at   time.Time // when left was right
}

func (b *bucket) take(now time.Time) {
	b.left = min(burst, b.left+perSecond*now.Sub(b.at).Seconds()) - 1
	b.at = now
}

func (b *bucket) give() { b.left = min(burst, b.left+perData) }
