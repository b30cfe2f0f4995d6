package roller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync/atomic"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/roll"
	"dicelab/internal/web"
)

// Client asks a dice roller for rolls.
type Client struct {
	base    string
	http    *http.Client
	timeout time.Duration
}

// NewClient returns a client of the roller at base, an absolute http or https URL without query,
// through transport, and waits timeout for each answer. A password in base is
// refused: the URL goes into spans, log lines and the page.
func NewClient(base string, transport http.RoundTripper, timeout time.Duration) (*Client, error) {
	base, err := web.BaseURL(base, "http://localhost:"+contract.PortRoller)
	if err != nil {
		return nil, fmt.Errorf("roller %w", err)
	}
	client := &http.Client{Transport: transport, CheckRedirect: answerItself}
	return &Client{base: base, http: client, timeout: timeout}, nil
}

// answerItself takes a redirect for an answer: no dice roller sends one, and one
// roll is one request.
func answerItself(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// URL returns the endpoint that Roll calls, without the die.
func (c *Client) URL() string { return c.base + "/roll" }

// Result is the roller's response.
type Result struct {
	Value       int    // the roll; 0 if there is none
	Status      int    // the roller's status; 0 where it sent none
	Traceparent string // the header as it went over the wire; "" if none was sent
}

// Why a roll brought no value. Each error of Roll is one of these, wrapped, or a
// *StatusError.
var (
	ErrTimeout     = errors.New("the dice roller did not answer in time")
	ErrUnreachable = errors.New("the dice roller could not be reached")
	ErrCanceled    = errors.New("the caller went away")
	ErrMalformed   = errors.New("the dice roller's answer makes no sense")
)

// StatusError is an answer of the roller that is not 200.
type StatusError struct {
	Status int    // what the roller answered
	Detail string // the explanation in its response, a whole sentence
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the dice roller answered %d: %s", e.Status, e.Detail)
}

// Roll rolls a die. The Result is filled in as far as things went, also when
// there is an error.
func (c *Client) Roll(ctx context.Context, die string) (Result, error) {
	return c.RollWithin(ctx, die, 0)
}

// RollWithin is Roll with a shorter time to wait for the answer. 0 means the client's own.
func (c *Client) RollWithin(ctx context.Context, die string, timeout time.Duration) (result Result, err error) {
	if timeout == 0 || timeout > c.timeout {
		timeout = c.timeout
	}
	var sent atomic.Pointer[string] // the connection writes on a goroutine of its own
	defer func() {
		if p := sent.Load(); p != nil {
			result.Traceparent = *p
		}
	}()
	timed, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	traced := httptrace.WithClientTrace(timed, &httptrace.ClientTrace{WroteHeaderField: func(key string, value []string) {
		if textproto.CanonicalMIMEHeaderKey(key) == "Traceparent" && len(value) > 0 {
			sent.Store(&value[0])
		}
	}})
	req, err := http.NewRequestWithContext(traced, http.MethodGet, c.URL()+"?"+url.Values{"die": {die}}.Encode(), nil)
	if err != nil {
		return result, fmt.Errorf("making the request: %w", err)
	}
	a, err := roll.Send(c.http.Do, req, roll.Causes{Timeout: ErrTimeout, Unreachable: ErrUnreachable, Malformed: ErrMalformed})
	result.Value, result.Status = a.Value, a.Status
	status, answered := errors.AsType[*roll.StatusError](err)
	switch {
	case answered:
		return result, &StatusError{Status: a.Status, Detail: cmp.Or(status.Detail, "It gave no reason.")}
	case err != nil && ctx.Err() != nil:
		return result, fmt.Errorf("%w: %w", ErrCanceled, context.Cause(ctx))
	case errors.Is(err, ErrTimeout):
		return result, fmt.Errorf("%w: waited %v", ErrTimeout, timeout)
	}
	return result, err
}
