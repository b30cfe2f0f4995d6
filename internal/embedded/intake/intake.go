// Package intake bounds the memory that all requests under way take together for
// what they send. Each server bounds a single request; this package bounds a
// thousand of them at once.
//
// Rules:
//
//   - A request reserves memory in a [Budget] before it allocates, and releases
//     it when it is answered.
//   - A body is charged as it arrives, not by the length that its header
//     announces, because announcing a length costs a client nothing.
//   - A request never waits for memory, because it may hold a reservation itself:
//     requests that wait for each other would deadlock. A request that finds too
//     little is refused with [ErrBusy], and its client sends it again.
//   - A part of the budget is kept for the lab's own services, so that other
//     clients cannot lock them out.
package intake

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
)

// DefaultBytes is the default size of a budget: sixteen of the largest exports,
// or a hundred thousand usual ones.
const DefaultBytes = 256 << 20

// ReservedPart is the part of a budget that only the lab's own services may use:
// one 16th, which is 16 MiB of [DefaultBytes].
const ReservedPart = 16

// firstBytes is the size of the first buffer for a body, whose size is not known
// yet.
const firstBytes = 4 << 10

// ErrBusy means that other requests have reserved too much of the budget.
var ErrBusy = errors.New("too much is being taken in at once: send it again later")

// TooLargeError means that a body exceeds its limit.
type TooLargeError struct {
	Limit int // bytes
}

// Error names the limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the body has more than %d bytes", e.Limit)
}

// Budget is the memory that requests share. Its methods may be called from any
// goroutine.
type Budget struct {
	bytes    int64
	reserved int64 // part of bytes that only the lab's own services may use

	mu     sync.Mutex
	used   int64 // by all requests
	others int64 // part of used, by requests that are not the lab's own
}

// NewBudget returns a budget of n bytes, or of [DefaultBytes] if n is not above 0.
func NewBudget(n int64) *Budget {
	if n <= 0 {
		n = DefaultBytes
	}
	return &Budget{bytes: n, reserved: n / ReservedPart}
}

// MaxRequest returns the most bytes that one request may reserve: half of the
// budget.
func (b *Budget) MaxRequest() int64 { return b.bytes / 2 }

// Reserve returns a reservation of 0 bytes for a request. A request of the lab's own
// services (own) may also use the part that is kept for them.
func (b *Budget) Reserve(own bool) *Reservation { return &Reservation{budget: b, own: own} }

// add changes the number of used bytes by n, or returns [ErrBusy].
func (b *Budget) add(n int64, own bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > 0 && (b.used+n > b.bytes || !own && b.others+n > b.bytes-b.reserved) {
		return ErrBusy
	}
	b.used += n
	if !own {
		b.others += n
	}
	return nil
}

// Reservation is the part of a budget that one request has reserved. It must not be
// used by several goroutines at once.
type Reservation struct {
	budget *Budget
	own    bool
	bytes  int64
}

// Resize sets the size of the reservation to n bytes. If the budget has too little
// left, it returns [ErrBusy] and leaves the reservation unchanged.
func (s *Reservation) Resize(n int64) error {
	if err := s.budget.add(n-s.bytes, s.own); err != nil {
		return err
	}
	s.bytes = n
	return nil
}

// Release resizes the reservation to 0 bytes.
func (s *Reservation) Release() {
	_ = s.Resize(0) // only growth can be refused
}

// BodyStatus returns the status of the response to a request whose body could not be read: 413
// when it is too large, 408 when it did not arrive in time, otherwise 400.
func BodyStatus(err error) int {
	var raw *http.MaxBytesError
	var plain *TooLargeError
	switch {
	case errors.As(err, &raw), errors.As(err, &plain):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}

// ReadAll reads a body of at most most bytes, and reserves the size of its buffer. It
// fails with [ErrBusy], with [*TooLargeError], or with the error of r.
func (s *Reservation) ReadAll(r io.Reader, most int) ([]byte, error) {
	base := s.bytes
	if err := s.Resize(base + firstBytes); err != nil {
		return nil, err
	}
	body := make([]byte, 0, firstBytes)
	for {
		if len(body) == cap(body) {
			grown := min(2*cap(body), most+1)                               // one more byte, to notice a body that is too large
			if err := s.Resize(base + int64(cap(body)+grown)); err != nil { // both buffers, while one is copied
				return nil, err
			}
			body = append(make([]byte, 0, grown), body...)
			if err := s.Resize(base + int64(grown)); err != nil {
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
