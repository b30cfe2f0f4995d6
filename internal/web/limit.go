package web

import (
	"net"
	"sync"
	"sync/atomic"
)

// MaxConnections is how many connections a listener of the lab holds at once. An
// idle one has some 10 KiB, one with a request three times as much.
const MaxConnections = 16_384

// Limit gives a listener that holds at most n connections at once and hangs up on
// further ones: made to wait they would take descriptors all the same.
func Limit(l net.Listener, n int) net.Listener {
	return &limited{Listener: l, most: int64(n)}
}

type limited struct {
	net.Listener
	most int64
	open atomic.Int64
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &counted{Conn: conn, listener: l}, nil
		}
		l.open.Add(-1)
		_ = conn.Close() // nothing was said yet
	}
}

// counted is a connection that counts until it is closed.
type counted struct {
	net.Conn
	listener *limited
	once     sync.Once
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.once.Do(func() { c.listener.open.Add(-1) })
	return c.Conn.Close()
}

// CloseWrite lets net/http say that an answer is complete before it hangs up.
func (c *counted) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
