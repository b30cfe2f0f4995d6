package roller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"dicelab/internal/contract"
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

// maxAnswer bounds what is read of an answer, in bytes; the longest that a dice
// roller sends is a problem document.
const maxAnswer = 64 << 10

// Roll rolls a die. The Result is filled in as far as things went, also when
// there is an error.
func (c *Client) Roll(ctx context.Context, die string) (result Result, err error) {
	var sent atomic.Pointer[string] // the connection writes on a goroutine of its own
	defer func() {
		if p := sent.Load(); p != nil {
			result.Traceparent = *p
		}
	}()
	timed, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var began atomic.Bool
	traced := httptrace.WithClientTrace(timed, &httptrace.ClientTrace{
		WroteHeaderField: func(key string, value []string) {
			if textproto.CanonicalMIMEHeaderKey(key) == "Traceparent" && len(value) > 0 {
				sent.Store(&value[0])
			}
		},
		GotFirstResponseByte: func() { began.Store(true) },
	})
	req, err := http.NewRequestWithContext(traced, http.MethodGet, c.URL()+"?"+url.Values{"die": {die}}.Encode(), nil)
	if err != nil {
		return result, fmt.Errorf("making the request: %w", err)
	}
	// net/http sends a GET again where a used connection breaks: one click would
	// roll twice, and no span would show it. A body that cannot be read twice
	// forbids that; this one is empty, and nothing of it goes over the wire.
	req.Body = io.NopCloser(strings.NewReader(""))
	resp, err := c.http.Do(req)
	if err != nil {
		return result, c.classify(ctx, err, began.Load())
	}
	defer func() {
		if e := resp.Body.Close(); e != nil { // a plain err keeps its type, which spans record
			err = errors.Join(err, e)
		}
	}()
	if resp.StatusCode == http.StatusSwitchingProtocols { // what follows is not HTTP, and need not end
		return result, fmt.Errorf("%w: it changes to another protocol", ErrMalformed)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil { // half an answer is none
		return result, c.classify(ctx, err, true)
	}
	result.Status = resp.StatusCode
	result.Value, err = read(resp, body)
	return result, err
}

// read takes the roll out of an answer.
func read(resp *http.Response, body []byte) (int, error) {
	if resp.StatusCode != http.StatusOK {
		var p web.Problem
		if err := json.Unmarshal(body, &p); err != nil || p.Detail == "" {
			return 0, &StatusError{Status: resp.StatusCode, Detail: "It gave no reason."}
		}
		return 0, &StatusError{Status: resp.StatusCode, Detail: p.Detail}
	}
	if len(body) > maxAnswer {
		return 0, fmt.Errorf("%w: it is longer than %d bytes", ErrMalformed, maxAnswer)
	}
	var out Outcome
	if err := json.Unmarshal(body, &out); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if out.Roll < 1 || out.Roll > 7 {
		return 0, fmt.Errorf("%w: a die shows 1 to 7, not %d", ErrMalformed, out.Roll)
	}
	return out.Roll, nil
}

// classify returns why there is no answer: the caller or the clock gave up, the
// answer began and could not be read, or nothing came.
func (c *Client) classify(ctx context.Context, err error, began bool) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrCanceled, context.Cause(ctx))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: waited %v", ErrTimeout, c.timeout)
	case began:
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	default:
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
}
