// Package intake bounds the memory that requests under way may have together
// with what they send. Each request is bounded by whoever serves it; a thousand
// of them at once are bounded here.
//
// Rules:
//
//   - A request takes its share of a [Budget] before it allocates, and gives it
//     back when it is answered.
//   - A body takes as much as has arrived of it, not what its header announces:
//     announcing costs a client nothing.
//   - Nobody waits for a share with memory in hand: requests that wait for each
//     other would all wait in vain. Who finds none is refused with [ErrBusy], and
//     its client is told to send again.
package intake

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/semaphore"
)

// DefaultBytes is the size of a budget unless somebody says otherwise: sixteen
// of the largest exports, or some hundred thousand usual ones.
const DefaultBytes = 256 << 20

// firstBytes is what a body takes before its size is known.
const firstBytes = 4 << 10

// ErrBusy means that other requests hold what may be held together.
var ErrBusy = errors.New("too much is being taken in at once: send it again later")

// TooLargeError means that a body is larger than one may be.
type TooLargeError struct {
	Limit int // bytes
}

// Error says how large it may be.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the body has more than %d bytes", e.Limit)
}

// Budget is what requests share. Its methods may be called from any goroutine.
type Budget struct {
	bytes int64
	free  *semaphore.Weighted
}

// NewBudget makes a budget of so many bytes, of [DefaultBytes] if that is not
// above 0.
func NewBudget(bytes int64) *Budget {
	if bytes <= 0 {
		bytes = DefaultBytes
	}
	return &Budget{bytes: bytes, free: semaphore.NewWeighted(bytes)}
}

// Bytes is the size of the budget.
func (b *Budget) Bytes() int64 { return b.bytes }

// Share begins a request's share, of nothing.
func (b *Budget) Share() *Share { return &Share{budget: b} }

// Share is what one request holds of a budget. It belongs to one goroutine at a
// time.
type Share struct {
	budget *Budget
	held   int64
}

// Hold makes the share so many bytes, or leaves it as it is and returns
// [ErrBusy].
func (s *Share) Hold(bytes int64) error {
	if more := bytes - s.held; more > 0 {
		if !s.budget.free.TryAcquire(more) {
			return ErrBusy
		}
	} else {
		s.budget.free.Release(-more)
	}
	s.held = bytes
	return nil
}

// Wait is Hold for a share that is empty: it waits for others until ctx ends.
func (s *Share) Wait(ctx context.Context, bytes int64) error {
	if s.held > 0 {
		return s.Hold(bytes)
	}
	if err := s.budget.free.Acquire(ctx, bytes); err != nil {
		return ErrBusy
	}
	s.held = bytes
	return nil
}

// Release gives everything back.
func (s *Share) Release() {
	s.budget.free.Release(s.held)
	s.held = 0
}

// ReadAll reads a body of at most so many bytes, and takes for it what the
// buffer has. It fails with [ErrBusy], with [*TooLargeError], or as r does.
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
