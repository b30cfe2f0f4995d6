package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"dicelab/internal/contract"
	"dicelab/internal/web"
)

// The services that can be sent rolls.
const (
	Frontend = "frontend" // as a person's browser does it
	Roller   = "roller"   // as the front end does it
)

// Targets lists them.
func Targets() []string { return []string{Frontend, Roller} }

// Target is the service to which rolls are sent.
type Target struct {
	Name string // one of Targets
	base string
}

// NewTarget returns the target of a name, at base, an absolute http or https URL
// without query. A password in base is refused: the URL goes into spans and log
// lines.
func NewTarget(name, base string) (Target, error) {
	if !slices.Contains(Targets(), name) {
		return Target{}, fmt.Errorf("target %q: choose one of %s", name, strings.Join(Targets(), ", "))
	}
	base, err := web.BaseURL(base, "http://localhost:"+port(name))
	if err != nil {
		return Target{}, fmt.Errorf("%s %w", name, err)
	}
	return Target{Name: name, base: base}, nil
}

// port returns the default port of a target.
func port(name string) string {
	if name == Frontend {
		return contract.PortFrontend
	}
	return contract.PortRoller
}

// URL returns the address that is requested, without the die.
func (t Target) URL() string { return t.base + "/roll" }

// request requests one roll, as JSON.
func (t Target) request(ctx context.Context, die, agent string) (req *http.Request, err error) {
	form := url.Values{"die": {die}}.Encode()
	if t.Name == Frontend {
		if req, err = http.NewRequestWithContext(ctx, http.MethodPost, t.URL(), strings.NewReader(form)); err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	} else {
		// net/http sends a GET again where a used connection breaks, and the
		// roller would count two rolls. A body that cannot be read twice forbids
		// that; this one is empty, and nothing of it goes over the wire.
		req, err = http.NewRequestWithContext(ctx, http.MethodGet, t.URL()+"?"+form, io.NopCloser(strings.NewReader("")))
	}
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", agent)
	return req, nil
}

// maxAnswer bounds what is read of an answer, in bytes; the longest that a
// service sends is a problem document.
const maxAnswer = 64 << 10

// answer is a target's response.
type answer struct {
	status int // 0 if there was no response
	value  int // the roll; 0 if there is none
	trace  string
}

// Why a roll brought no value, besides what the target says.
var (
	errTimeout     = errors.New("no answer in time")
	errUnreachable = errors.New("no answer")
	errMalformed   = errors.New("the answer makes no sense")
)

// ask sends req and reads the answer to its end.
func ask(transport http.RoundTripper, req *http.Request) (a answer, err error) {
	var began atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotFirstResponseByte: func() { began.Store(true) }})
	resp, err := transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return a, classify(err, began.Load())
	}
	if resp.StatusCode == http.StatusSwitchingProtocols { // what follows is not HTTP, and need not end
		return a, errors.Join(fmt.Errorf("%w: it changes to another protocol", errMalformed), resp.Body.Close())
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return a, classify(err, true) // half an answer is none
	}
	a.status, a.trace = resp.StatusCode, resp.Header.Get(contract.HeaderTraceresponse)
	var message struct {
		Roll   int    `json:"roll"`
		Detail string `json:"detail"` // of a problem document
	}
	if err := json.Unmarshal(body, &message); err != nil && a.status == http.StatusOK {
		return a, fmt.Errorf("%w: %w", errMalformed, err)
	}
	switch {
	case a.status == http.StatusOK && len(body) > maxAnswer:
		return a, fmt.Errorf("%w: it is longer than %d bytes", errMalformed, maxAnswer)
	case a.status != http.StatusOK && message.Detail != "":
		return a, errors.New(message.Detail)
	case a.status != http.StatusOK:
		return a, fmt.Errorf("answered %s", resp.Status)
	case message.Roll < 1 || message.Roll > 7:
		return a, fmt.Errorf("%w: a die shows 1 to 7, not %d", errMalformed, message.Roll)
	}
	a.value = message.Roll
	return a, nil
}

// classify returns why there is no answer; began reports whether its first byte
// has come.
func classify(err error, began bool) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", errTimeout, err)
	case began:
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	return fmt.Errorf("%w: %w", errUnreachable, err)
}
