// Package roll sends one roll over HTTP and reads the answer. Front end and dice roller
// answer in the same form: {"roll": 4}, or a problem document.
package roll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"

	"dicelab/internal/web"
)

// MaxAnswer bounds what is read of an answer, in bytes; the longest that a service
// sends is a problem document.
const MaxAnswer = 64 << 10

// Answer is a service's response.
type Answer struct {
	Status int // 0 if there was no response
	Value  int // the roll; 0 if there is none
	Header http.Header
}

// Causes are the caller's errors for a roll without an answer that makes sense. Send
// wraps them.
type Causes struct{ Timeout, Unreachable, Malformed error }

// StatusError is an answer whose status is not 200.
type StatusError struct {
	Status string // such as "503 Service Unavailable"
	Detail string // of the problem document; "" if there is none
}

func (e *StatusError) Error() string {
	if e.Detail != "" {
		return e.Detail
	}
	return "answered " + e.Status
}

// Send sends req, once, and reads the answer to its end. The Answer is filled in as far
// as things went, also when there is an error: one of the causes, wrapped, or a
// *StatusError.
func Send(do func(*http.Request) (*http.Response, error), req *http.Request, why Causes) (a Answer, err error) {
	var began atomic.Bool // the first byte of the answer has come
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotFirstResponseByte: func() { began.Store(true) }})
	req = req.WithContext(ctx)
	if req.Body == nil {
		// net/http sends a GET again if a used connection breaks, and the service would
		// count two rolls. A body that cannot be read twice forbids that; this one is
		// empty, and nothing of it is sent.
		req.Body = io.NopCloser(strings.NewReader(""))
	}
	resp, err := do(req)
	if err != nil {
		return a, why.classify(err, began.Load())
	}
	if resp.StatusCode == http.StatusSwitchingProtocols { // what follows is not HTTP, and need not end
		return a, errors.Join(fmt.Errorf("%w: it changes to another protocol", why.Malformed), resp.Body.Close())
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return a, why.classify(err, true) // half an answer is none
	}
	a.Status, a.Header = resp.StatusCode, resp.Header
	if a.Status != http.StatusOK {
		var p web.Problem
		_ = json.Unmarshal(body, &p) // an answer that is no problem document has no detail
		return a, &StatusError{resp.Status, p.Detail}
	}
	if a.Value, err = value(body); err != nil {
		return a, fmt.Errorf("%w: %w", why.Malformed, err)
	}
	return a, nil
}

// value reads the roll from the body of an answer.
func value(body []byte) (int, error) {
	if len(body) > MaxAnswer {
		return 0, fmt.Errorf("it is longer than %d bytes", MaxAnswer)
	}
	var message struct {
		Roll int `json:"roll"`
	}
	if err := json.Unmarshal(body, &message); err != nil {
		return 0, err
	}
	if message.Roll < 1 || message.Roll > 7 {
		return 0, fmt.Errorf("a die shows 1 to 7, not %d", message.Roll)
	}
	return message.Roll, nil
}

// classify returns why there is no answer: the time is over, the answer began and could
// not be read, or nothing came.
func (why Causes) classify(err error, began bool) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", why.Timeout, err)
	case began:
		return fmt.Errorf("%w: %w", why.Malformed, err)
	}
	return fmt.Errorf("%w: %w", why.Unreachable, err)
}
