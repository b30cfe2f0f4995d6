package web

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
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

// counted is a connection that counts until it is closed, and whose deadlines are
// cheap to move.
type counted struct {
	net.Conn
	listener *limited
	once     sync.Once
	deadline atomic.Int64 // of writes, as it was last set; nanoseconds since 1970
}

// SetWriteDeadline implements net.Conn, to within a second. net/http moves the
// deadline at each request and takes it away after each answer; both cost more
// than they are worth here. A deadline that is left standing ends nothing, since
// nothing is written before the next request has moved it.
func (c *counted) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		return nil
	}
	if later := time.Duration(t.UnixNano() - c.deadline.Load()); later >= 0 && later < time.Second {
		return nil
	}
	c.deadline.Store(t.UnixNano())
	return c.Conn.SetWriteDeadline(t)
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
