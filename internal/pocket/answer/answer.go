// Package answer makes answers in memory and writes them when they are complete,
// so that what an answer is made with, such as one of a few places for queries, is
// free again while a slow client still reads.
//
// Rules:
//
//   - All answers under way share the bytes of a [Pool], and one may have a part
//     of them. An answer that finds none left waits while others are being read, and
//     is refused with [ErrBusy] if none is: answers that are being made would wait
//     for each other in vain.
//   - A client that has been reading for longer than the pool's patience is cut off
//     when another answer waits, the one that has been reading longest first. Clients
//     that do not read can therefore not keep others from their answers.
//   - Nothing is written before the answer is complete, so that it can still become
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

// The sizes of the pieces that an answer is made of, in bytes.
const (
	firstPiece   = 4 << 10
	largestPiece = 256 << 10
)

// ErrBusy means that other answers that are being made have the bytes of the pool.
var ErrBusy = errors.New("too many answers are under way at once: ask again later")

// TooLargeError means that an answer is larger than one may be.
type TooLargeError struct {
	Limit int64 // bytes
}

// Error states the limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the answer has more than %d bytes: ask for less at a time", e.Limit)
}

// Options are the bounds of a pool. The zero value means the defaults.
type Options struct {
	Bytes    int64         // of all answers
	Most     int64         // of one
	Patience time.Duration // for a client to read its answer while others need the bytes; below 0: none
}

// Pool bounds the answers of several handlers. Its methods may be called from any
// goroutine.
type Pool struct {
	most     int64
	patience time.Duration

	mu      sync.Mutex
	free    int64
	freed   chan struct{} // closed when bytes are released
	reading []*buffer     // answers that are being written, by when that began
}

// NewPool returns a pool.
func NewPool(o Options) *Pool {
	return &Pool{
		free: cmp.Or(o.Bytes, DefaultBytes), most: cmp.Or(o.Most, DefaultMost), patience: cmp.Or(o.Patience, DefaultPatience),
		freed: make(chan struct{}),
	}
}

// Handler returns a handler that has next make an answer and then writes it. Where
// the answer is larger than one may be, or finds no bytes left, refuse answers in
// its place, with a [*TooLargeError] or [ErrBusy]; the context of next's request
// ends then.
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

// Reset drops what was written of an answer that a handler of a pool makes, so that
// an error can take its place. It does nothing to another ResponseWriter.
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

// reserve takes n bytes for an answer.
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

// cutOne cuts off the client that has been reading longest, if that is longer than
// the pool's patience and no other is cut off yet, and returns the time after which
// another may be. The caller has the lock.
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

// wait is the longest time between two looks at the clients that are reading.
func (p *Pool) wait() time.Duration { return max(p.patience, time.Second) }

// buffer is an answer. Its methods but for cutOne's fields belong to one goroutine.
type buffer struct {
	pool   *Pool
	ctx    context.Context
	cancel context.CancelFunc
	given  http.Header // what others have set before
	header http.Header
	status int // 0 until it is known
	pieces [][]byte
	size   int64
	held   int64 // bytes of the pool
	err    error // why this is no answer

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

// Write implements http.ResponseWriter. It does not fail: an answer that finds no
// room is replaced by an error when the handler has returned.
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

// drop releases what the answer has.
func (b *buffer) drop() {
	b.pool.release(b.held)
	b.pieces, b.held = nil, 0
}

// writeTo writes the answer, and releases each piece when it is written.
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
