package traffic

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"dicelab/internal/web"
)

// pool is the connections of a generator, over one transport or several.
type pool struct {
	dialer net.Dialer

	mu         sync.Mutex
	transports []*http.Transport
	open, peak int
}

func newPool() *pool { return &pool{dialer: net.Dialer{Timeout: 30 * time.Second}} }

// transport makes one that opens at most limit connections, and keeps them. It
// speaks HTTP/1.1, where a connection carries one roll at a time.
func (p *pool) transport(limit int) *http.Transport {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: p.dial, IdleConnTimeout: 90 * time.Second,
		MaxConnsPerHost: limit, MaxIdleConnsPerHost: limit,
		DisableCompression:     true, // answers are shorter than what it would save
		MaxResponseHeaderBytes: web.MaxHeaderBytes,
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.transports = append(p.transports, t)
	return t
}

func (p *pool) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := p.dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	p.count(1)
	return &countedConn{Conn: conn, closed: sync.OnceFunc(func() { p.count(-1) })}, nil
}

// close closes what is idle; once a run has ended, that is all.
func (p *pool) close() {
	p.mu.Lock()
	transports := p.transports
	p.transports = nil
	p.mu.Unlock()
	for _, t := range transports { // unlocked: what is closed is counted
		t.CloseIdleConnections()
	}
}

func (p *pool) count(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open += n
	p.peak = max(p.peak, p.open)
}

func (p *pool) most() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.peak
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// reservedFiles is the number of files that this process needs besides its connections.
const reservedFiles = 64

// FileLimit returns the number of files, connections among them, that this process may open. The Go
// runtime has raised it to what the system allows.
func FileLimit() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("reading how many files may be open: %w", err)
	}
	const enough = 1 << 30 // "unlimited" does not fit an int
	return int(min(limit.Cur, enough)), nil
}

// LoadConnections is the number of connections that a run at a rate may open unless
// another number is asked for, or the system allows fewer.
const LoadConnections = 10000

// ConnectionsError reports that the system does not let this process have as many
// connections open as a run wants.
type ConnectionsError struct{ Requested, Most int }

// Error returns the limit.
func (e *ConnectionsError) Error() string {
	return fmt.Sprintf("this process may have no more than %d connections open", e.Most)
}

// Connections returns requested, the number of connections of a run, or that of a run at
// a rate if requested is 0. It fails with [*ConnectionsError] if the system does not
// allow as many.
func Connections(requested int) (int, error) {
	files, err := FileLimit()
	most := max(1, files-reservedFiles)
	switch {
	case err != nil:
		return 0, err
	case requested == 0:
		return min(LoadConnections, most), nil
	case requested > most:
		return 0, &ConnectionsError{requested, most}
	}
	return requested, nil
}
