// Package answer buffers responses in memory and writes them when they are complete,
// so that what a response is made with, such as one of a few slots for queries, is
// released while a slow client still reads.
//
// Rules:
//
//   - All responses under way share the bytes of a [Pool], and one may have a part
//     of them. A response that finds none left waits while others are being read. If
//     none is being read, it is refused with [ErrBusy]: responses that are being made
//     would wait for each other in vain.
//   - When a response waits, a client that has been reading for longer than the
//     pool's patience is cut off, the slowest first. Thus clients that do not read
//     cannot block the responses of others.
//   - Nothing is written before the response is complete, so that it can still become
//     an error.
package answer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Defaults of Options.
const (
	DefaultBytes    = 48 << 20
	DefaultMost     = 32 << 20
	DefaultPatience = 2 * time.Second
)

// The sizes of the pieces of a buffer, in bytes.
const (
	firstPiece   = 4 << 10
	largestPiece = 256 << 10
)

// ErrBusy means that other responses that are being made use the bytes of the pool.
var ErrBusy = errors.New("too many answers are under way at once: ask again later")

// TooLargeError means that a response exceeds the limit for one.
type TooLargeError struct {
	Limit int64 // bytes
}

// Error names the limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the answer has more than %d bytes: ask for less at a time", e.Limit)
}

// Options are the bounds of a pool. The zero value means the defaults.
type Options struct {
	Bytes    int64         // of all answers
	Most     int64         // of one
	Patience time.Duration // for a client to read its response while others need the bytes; below 0: none
}

// Pool bounds the responses of several handlers. Its methods may be called from any
// goroutine.
type Pool struct {
	most     int64
	patience time.Duration

	mu      sync.Mutex
	free    int64
	freed   chan struct{} // closed when bytes are released
	reading []*buffer     // responses that are being written, the oldest first
}

// NewPool returns a pool.
func NewPool(o Options) *Pool {
	return &Pool{
		free: cmp.Or(o.Bytes, DefaultBytes), most: cmp.Or(o.Most, DefaultMost), patience: cmp.Or(o.Patience, DefaultPatience),
		freed: make(chan struct{}),
	}
}

// Handler returns a handler that buffers the response of next and then writes it. If
// the response is too large, or finds no bytes left, the handler ends the context of
// next's request and calls refuse to respond, with a [*TooLargeError] or [ErrBusy].
func (p *Pool) Handler(next http.Handler, refuse func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		b := &buffer{pool: p, ctx: ctx, cancel: cancel, given: w.Header(), header: w.Header().Clone()}
		defer func() { p.release(b.held) }()
		next.ServeHTTP(b, r.WithContext(ctx))
		if b.err != nil {
			refuse(w, r, b.err)
			return
		}
		b.writeTo(w)
	})
}

// Reset drops what a handler of a pool has written, so that it can respond with an
// error instead. It does nothing to a ResponseWriter that is not of a pool.
func Reset(w http.ResponseWriter) {
	b, ok := w.(*buffer)
	if !ok {
		return
	}
	b.drop()
	b.size, b.status = 0, 0
	clear(b.header)
	maps.Copy(b.header, b.given)
}

// reserve reserves n bytes for a response.
func (p *Pool) reserve(ctx context.Context, n int64) error {
	for {
		p.mu.Lock()
		if p.free >= n {
			p.free -= n
			p.mu.Unlock()
			return nil
		}
		freed, reading, wait := p.freed, len(p.reading) > 0, p.cutOne()
		p.mu.Unlock()
		if !reading {
			return ErrBusy
		}
		timer := time.NewTimer(wait)
		select {
		case <-freed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ErrBusy
		}
		timer.Stop()
	}
}

func (p *Pool) release(n int64) {
	if n == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free += n
	close(p.freed)
	p.freed = make(chan struct{})
}

// cutOne cuts off the client that has been reading longest, if that is longer than the
// pool's patience and no other client is being cut off. It returns the time after which
// the next client may be cut off. The caller holds the lock.
func (p *Pool) cutOne() time.Duration {
	for _, b := range p.reading {
		if b.cut {
			return p.wait() // its bytes are not released yet
		}
		if left := p.patience - time.Since(b.began); left > 0 {
			return left // those that began later have more
		}
		if b.conn.SetWriteDeadline(time.Unix(1, 0)) == nil {
			b.cut = true
			return p.wait()
		}
	}
	return p.wait()
}

// wait returns the longest time between two checks of the clients that are reading.
func (p *Pool) wait() time.Duration { return max(p.patience, time.Second) }

// buffer is a response. Except for the fields of cutOne, only one goroutine uses it.
type buffer struct {
	pool   *Pool
	ctx    context.Context
	cancel context.CancelFunc
	given  http.Header // headers that outer handlers have set
	header http.Header
	status int // 0 until it is known
	pieces [][]byte
	size   int64
	held   int64 // bytes of the pool
	err    error // why there is no response

	conn  *http.ResponseController
	began time.Time // when writing began
	cut   bool      // guarded by pool.mu
}

// Header implements http.ResponseWriter.
func (b *buffer) Header() http.Header { return b.header }

// WriteHeader implements http.ResponseWriter.
func (b *buffer) WriteHeader(status int) {
	if b.status == 0 && status >= http.StatusOK {
		b.status = status
	}
}

// Write implements http.ResponseWriter. It does not fail: a response without room is
// replaced by an error when the handler has returned.
func (b *buffer) Write(text []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	for rest := text; len(rest) > 0 && b.err == nil; {
		last := len(b.pieces) - 1
		if last < 0 || len(b.pieces[last]) == cap(b.pieces[last]) {
			if b.err = b.grow(); b.err != nil {
				b.drop()
				b.cancel()
			}
			continue
		}
		piece := b.pieces[last]
		n := copy(piece[len(piece):cap(piece)], rest)
		b.pieces[last], rest = piece[:len(piece)+n], rest[n:]
		b.size += int64(n)
	}
	return len(text), nil
}

// grow adds an empty piece.
func (b *buffer) grow() error {
	if b.size >= b.pool.most {
		return &TooLargeError{Limit: b.pool.most}
	}
	n := min(max(b.size, firstPiece), largestPiece, b.pool.most-b.size)
	if err := b.pool.reserve(b.ctx, n); err != nil {
		return err
	}
	b.held += n
	b.pieces = append(b.pieces, make([]byte, 0, n))
	return nil
}

// drop releases the bytes of the response.
func (b *buffer) drop() {
	b.pool.release(b.held)
	b.pieces, b.held = nil, 0
}

// writeTo writes the response, and releases each piece when it is written.
func (b *buffer) writeTo(w http.ResponseWriter) {
	header := w.Header()
	clear(header)
	maps.Copy(header, b.header)
	status := cmp.Or(b.status, http.StatusOK)
	if header.Get("Content-Length") == "" && status != http.StatusNoContent && status != http.StatusNotModified {
		header.Set("Content-Length", strconv.FormatInt(b.size, 10))
	}
	w.WriteHeader(status)
	b.conn, b.began = http.NewResponseController(w), time.Now()
	b.pool.mu.Lock()
	b.pool.reading = append(b.pool.reading, b)
	b.pool.mu.Unlock()
	for len(b.pieces) > 0 {
		piece := b.pieces[0]
		if _, err := w.Write(piece); err != nil {
			break // the client has gone, or was cut off
		}
		b.pieces[0], b.pieces = nil, b.pieces[1:]
		b.held -= int64(cap(piece))
		b.pool.release(int64(cap(piece)))
	}
	b.pool.mu.Lock()
	i := slices.Index(b.pool.reading, b)
	b.pool.reading = slices.Delete(b.pool.reading, i, i+1)
	cut := b.cut
	b.pool.mu.Unlock()
	if cut {
		b.drop()
		panic(http.ErrAbortHandler) // the rest is missing, and the connection's deadline has passed
	}
}
