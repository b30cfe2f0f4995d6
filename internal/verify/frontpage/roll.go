package frontpage

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/traceparent"
	"dicelab/internal/verify/exchange"
)

// rollTimeout is the longest time of a roll; a front end answers after 5 s at the
// latest unless a flag says otherwise.
const rollTimeout = time.Minute

// maxPage bounds what is read of a page, in bytes.
const maxPage = 1 << 20

// Roll is one roll through the front end, as a browser without JavaScript makes it.
type Roll struct {
	Die  string
	Sent http.Header // the trace context that went with it

	Status int                // on the wire; 0 if there was no answer
	Trace  traceparent.Header // of the answer; zero if it names none
	Page   Page
	Err    error                // there was no answer that could be read
	Asked  []*exchange.Exchange // the request
}

// Make makes the roll: it posts the form to the address.
func (r *Roll) Make(ctx context.Context, next http.RoundTripper, address, agent string) {
	ctx, cancel := context.WithTimeout(ctx, rollTimeout)
	defer cancel()
	form := url.Values{"die": {r.Die}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form))
	if err != nil {
		r.Err = fmt.Errorf("making a roll: %w", err)
		return
	}
	req.Header = http.Header{"Content-Type": {exchange.FormType}, "Accept": {"text/html"}, "User-Agent": {agent}}
	maps.Copy(req.Header, r.Sent)
	var log exchange.Log
	resp, err := log.Transport(next).RoundTrip(req)
	r.Asked = log.All()
	if err != nil {
		r.Err = exchange.Plain(err)
		return
	}
	defer resp.Body.Close() // it was read
	r.Status = resp.StatusCode
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err == nil {
		r.Page, err = Parse(text)
	}
	r.Err = err
	// Without it, checks that need the ID fail and name it.
	r.Trace, _ = traceparent.Parse(resp.Header.Get(contract.HeaderTraceresponse))
}

// Rolled reports whether the page shows a value.
func (r *Roll) Rolled() bool { return r.Err == nil && r.Page.Result && r.Page.Status == "" }

// FailedInBackend reports whether the roll failed as the risky die does.
func (r *Roll) FailedInBackend() bool {
	return r.Err == nil && r.Page.Status == strconv.Itoa(http.StatusBadGateway)
}

// Outcome names how the roll ended.
func (r *Roll) Outcome() string {
	switch {
	case r.Err != nil:
		return r.Err.Error()
	case r.Page.Status != "":
		return r.Page.Problem
	case !r.Page.Result:
		return strconv.Itoa(r.Status) + " and a page without a result"
	}
	return strconv.Itoa(r.Status)
}
