// Package tail passes log lines on to clients that follow them, when they have been stored.
//
// Rules:
//   - Storing never waits for a client: each has a queue of bounded size, and what does not
//     fit is counted as dropped.
//   - There is a bounded number of clients, and none costs anything while it is away.
package tail

import (
	"context"
	"errors"
	"sync"
	"time"

	"dicelab/internal/embedded/store"
)

// Bounds of the clients and their queues.
const (
	// MaxTails is the number of clients at once. It is Loki's default
	// (max_concurrent_tail_requests).
	MaxTails = 10
	// MaxQueue is the size of the queue of a client, in bytes of text.
	MaxQueue = 4 << 20
	lineSize = 200 // bytes of a line in memory beside its text
)

// The errors of Follow.
var (
	ErrMany   = errors.New("max concurrent tail requests limit exceeded: 10 clients follow log lines already")
	ErrClosed = errors.New("the log lines are closed: the lab is stopping")
)

// Hub passes lines on. Its methods may be called from any goroutine.
type Hub struct {
	mu     sync.Mutex
	tails  map[*Tail]bool
	closed bool
}

// New returns a hub without clients.
func New() *Hub { return &Hub{tails: map[*Tail]bool{}} }

// Batch is lines that were stored together.
type Batch struct {
	Lines   []store.Line
	At      time.Time // when they were stored
	Dropped int       // lines that were stored before them and did not fit into the queue
}

// Tail is the queue of one client.
type Tail struct {
	hub     *Hub
	accept  func(labels map[string]string) bool
	queue   []Batch
	size    int
	dropped int
	more    chan struct{} // has an element if the queue has one, closed by Close
}

// Follow returns a queue for the lines that are stored from now on, of the streams that
// accept reports. The caller must call Leave.
func (h *Hub) Follow(accept func(labels map[string]string) bool) (*Tail, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	if len(h.tails) == MaxTails {
		return nil, ErrMany
	}
	t := &Tail{hub: h, accept: accept, more: make(chan struct{}, 1)}
	h.tails[t] = true
	return t, nil
}

// Publish passes on lines that have been stored. The lines must not be changed afterwards.
func (h *Hub) Publish(lines []store.Line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for t := range h.tails {
		t.add(lines)
	}
}

func (t *Tail) add(lines []store.Line) {
	var accepted []store.Line
	for _, l := range lines {
		switch {
		case !t.accept(l.Stream):
		case t.size+len(l.Text)+lineSize > MaxQueue:
			t.dropped++
		default:
			t.size += len(l.Text) + lineSize
			accepted = append(accepted, l)
		}
	}
	if accepted == nil {
		return
	}
	t.queue = append(t.queue, Batch{Lines: accepted, At: time.Now(), Dropped: t.dropped})
	t.dropped = 0
	select {
	case t.more <- struct{}{}:
	default: // it has an element already
	}
}

// Next returns the next lines. It waits for them, and returns the error of ctx if that ends
// first, or ErrClosed.
func (t *Tail) Next(ctx context.Context) (Batch, error) {
	for {
		if b, ok := t.take(); ok {
			return b, nil
		}
		select {
		case _, open := <-t.more:
			if !open {
				return Batch{}, ErrClosed
			}
		case <-ctx.Done():
			return Batch{}, ctx.Err()
		}
	}
}

func (t *Tail) take() (Batch, bool) {
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	if len(t.queue) == 0 {
		return Batch{}, false
	}
	b := t.queue[0]
	t.queue[0], t.queue = Batch{}, t.queue[1:]
	for _, l := range b.Lines {
		t.size -= len(l.Text) + lineSize
	}
	return b, true
}

// Leave ends the queue.
func (t *Tail) Leave() {
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	delete(t.hub.tails, t)
}

// Close ends all queues and refuses new ones.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for t := range h.tails {
		close(t.more)
	}
	clear(h.tails)
}
