package web

import (
	"net"
	"sync"
	"sync/atomic"
)

// MaxConnections is the largest number of open connections of a listener of the lab. An idle one
// uses about 10 KiB, one with a request three times that.
const MaxConnections = 16_384

// Limit returns a listener that keeps at most n connections open. It closes excess ones, because
// waiting connections would use descriptors too.
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
			return &countedConn{Conn: conn, listener: l}, nil
		}
		l.open.Add(-1)
		_ = conn.Close() // nothing was sent yet
	}
}

// countedConn is a connection that counts until it is closed.
type countedConn struct {
	net.Conn
	listener *limited
	once     sync.Once
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.once.Do(func() { c.listener.open.Add(-1) })
	return c.Conn.Close()
}

// CloseWrite lets net/http end the response before it closes the connection.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
