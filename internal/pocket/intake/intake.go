// Package intake bounds the memory that requests under way take together with
// what they send. The bound of one request is its server's; this package bounds
// a thousand of them at once.
//
// Rules:
//
//   - A request reserves memory in a [Budget] before it allocates, and releases
//     it when it is answered.
//   - A body is charged as it arrives, not by the length that its header
//     announces: an announcement costs the client nothing, and takes nothing from
//     others.
//   - A request never waits for memory, because it holds some: requests that wait
//     for each other would all wait in vain. A request that finds too little is
//     refused with [ErrBusy], and its client sends it again.
//   - A part of the budget is kept for the lab's own services, so that no other
//     client can keep them from being heard.
package intake

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// DefaultBytes is the default size of a budget: sixteen of the largest exports,
// or a hundred thousand usual ones.
const DefaultBytes = 256 << 20

// ReservedPart is the part of a budget that only the lab's own services may use:
// one 16th, which is 16 MiB of [DefaultBytes].
const ReservedPart = 16

// firstBytes is what a body takes before its size is known.
const firstBytes = 4 << 10

// ErrBusy means that other requests hold too much of the budget.
var ErrBusy = errors.New("too much is being taken in at once: send it again later")

// TooLargeError means that a body is larger than one may be.
type TooLargeError struct {
	Limit int // bytes
}

// Error returns the limit in words.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the body has more than %d bytes", e.Limit)
}

// Budget is the memory that requests share. Its methods may be called from any
// goroutine.
type Budget struct {
	bytes    int64
	reserved int64 // of bytes, for the lab's own services

	mu     sync.Mutex
	held   int64 // by all requests
	others int64 // of held, by requests that are not the lab's own
}

// NewBudget returns a budget of n bytes, or of [DefaultBytes] if n is not above 0.
func NewBudget(n int64) *Budget {
	if n <= 0 {
		n = DefaultBytes
	}
	return &Budget{bytes: n, reserved: n / ReservedPart}
}

// MaxRequest is the largest share that one request may hold, in bytes: half of
// the budget.
func (b *Budget) MaxRequest() int64 { return b.bytes / 2 }

// Share returns an empty share for a request. The share of one of the lab's own
// services may use the reserve too.
func (b *Budget) Share(own bool) *Share { return &Share{budget: b, own: own} }

// add changes what is held by n bytes, or returns [ErrBusy].
func (b *Budget) add(n int64, own bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > 0 && (b.held+n > b.bytes || !own && b.others+n > b.bytes-b.reserved) {
		return ErrBusy
	}
	b.held += n
	if !own {
		b.others += n
	}
	return nil
}

// Share is the part of a budget that one request holds. It belongs to one
// goroutine at a time.
type Share struct {
	budget *Budget
	own    bool
	held   int64
}

// Hold sets the size of the share to n bytes, or returns [ErrBusy] and leaves it
// as it is.
func (s *Share) Hold(n int64) error {
	if err := s.budget.add(n-s.held, s.own); err != nil {
		return err
	}
	s.held = n
	return nil
}

// Release empties the share.
func (s *Share) Release() {
	_ = s.Hold(0) // only a larger share can be refused
}

// ReadAll reads a body of at most most bytes, and holds as much as its buffer
// takes. It fails with [ErrBusy], with [*TooLargeError], or as r does.
func (s *Share) ReadAll(r io.Reader, most int) ([]byte, error) {
	base := s.held
	if err := s.Hold(base + firstBytes); err != nil {
		return nil, err
	}
	body := make([]byte, 0, firstBytes)
	for {
		if len(body) == cap(body) {
			grown := min(2*cap(body), most+1)                             // one more, to see whether there is more
			if err := s.Hold(base + int64(cap(body)+grown)); err != nil { // both, while one is copied
				return nil, err
			}
			body = append(make([]byte, 0, grown), body...)
			if err := s.Hold(base + int64(grown)); err != nil {
				return nil, err
			}
		}
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > most:
			return nil, &TooLargeError{Limit: most}
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		}
	}
}
