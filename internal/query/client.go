package query

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"dicelab/internal/terminal"
	"dicelab/internal/web"
)

const (
	defaultTimeout = 15 * time.Second
	defaultMaxBody = 64 << 20
	// maxErrorText bounds what of a server's error text is kept: an HTML error
	// page of a proxy should not fill ours.
	maxErrorText = 2 << 10
	maxErrorBody = 64 << 10
	// maxStart is the longest part of an unexpected answer that an error shows, in bytes.
	maxStart = 200
)

// Config has the address of a server and the limits of its client.
type Config struct {
	// URL is the server's base URL, http or https, such as
	// "http://localhost:3200"; a path prefix is kept.
	URL string
	// HTTP sends the requests. Nil means a client with a timeout of 15 s.
	HTTP *http.Client
	// Header is added to every request: tenants (X-Scope-OrgID) and tokens.
	Header http.Header
	// MaxBody bounds an answer's size in bytes. 0 means 64 MiB.
	MaxBody int64
}

// Error is a request that brought no usable answer.
type Error struct {
	Server  string // "Prometheus", "Loki" or "Tempo"
	URL     string // the request's, without a password
	Status  int    // 0 when there was no answer, or one that is no HTTP
	Message string // the server's own words, or why there was no answer
	Hint    string // what to check
	Err     error  // the cause, if there is one beneath

	began bool // something came back
}

// Error returns the error in one line.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "asking %s at %s: ", e.Server, e.URL)
	if e.Status != 0 {
		fmt.Fprintf(&b, "%d %s: ", e.Status, http.StatusText(e.Status))
	}
	b.WriteString(e.Message)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return terminal.Line(b.String())
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Unreachable reports whether there was no answer at all.
func (e *Error) Unreachable() bool { return e.Status == 0 && !e.began }

// api is one server.
type api struct {
	name    string
	base    *url.URL
	client  *http.Client
	header  http.Header
	maxBody int64
}

func newAPI(name string, cfg Config) (api, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return api{}, fmt.Errorf("parsing the URL of %s: %w", name, err)
	}
	if web.CheckURL(cfg.URL) != nil {
		return api{}, fmt.Errorf("parsing the URL of %s: %q is not like http://localhost:3200", name, cfg.URL)
	}
	a := api{name: name, base: u, client: cfg.HTTP, header: cfg.Header.Clone(), maxBody: cfg.MaxBody}
	if a.client == nil {
		a.client = &http.Client{Timeout: defaultTimeout}
	}
	if a.maxBody == 0 {
		a.maxBody = defaultMaxBody
	}
	return a, nil
}

// Name returns what the server is: "Prometheus", "Loki" or "Tempo".
func (a api) Name() string { return a.name }

// URL returns the server's base URL without a password.
func (a api) URL() string { return a.base.Redacted() }

// stream requests base+path and calls read with the body of a 200. An error of
// reading the body is an *Error, whatever read makes of it. Path elements must be
// escaped by the caller.
func (a api) stream(ctx context.Context, path string, params url.Values, header http.Header, read func(io.Reader) error) error {
	return a.exchange(ctx, path, params, header, func(_ http.Header, body io.Reader) error { return read(body) })
}

// exchange is stream for an answer whose headers matter.
func (a api) exchange(ctx context.Context, path string, params url.Values, header http.Header, read func(http.Header, io.Reader) error) (err error) {
	u := *a.base
	u.Path, u.RawPath = "", ""
	ref, err := url.Parse(strings.TrimSuffix(a.base.EscapedPath(), "/") + path)
	if err != nil {
		return fmt.Errorf("building a request to %s: %w", a.name, err)
	}
	u.Path, u.RawPath, u.RawQuery = ref.Path, ref.RawPath, params.Encode()
	var began atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() { began.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("building a request to %s: %w", a.name, err)
	}
	req.Header.Set("Accept", "application/json")
	for _, h := range []http.Header{a.header, header} {
		for k, v := range h {
			req.Header[http.CanonicalHeaderKey(k)] = v
		}
	}
	fail := &Error{Server: a.name, URL: u.Redacted()}
	resp, err := a.client.Do(req)
	if err != nil {
		// The client's error repeats method and URL; the cause is enough.
		fail.Err, fail.Message = err, err.Error()
		if ue, ok := errors.AsType[*url.Error](err); ok {
			fail.Message = ue.Err.Error()
		}
		fail.Hint = fmt.Sprintf("check that %s runs and listens at %s", a.name, a.URL())
		if fail.began = began.Load() && !errors.Is(err, context.DeadlineExceeded); fail.began {
			fail.Hint = fmt.Sprintf("check that %s is the address of %s and not of something else", a.URL(), a.name)
		}
		return fail
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	fail.Status = resp.StatusCode
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // as much as there is
		fail.Message = errorText(text)
		fail.Hint = hint(a, resp.StatusCode)
		return fail
	}
	body := &boundedReader{r: resp.Body, left: a.maxBody, meter: meterOf(ctx)}
	err = read(resp.Header, body)
	switch {
	case errors.Is(body.err, errTooLong):
		fail.Message = fmt.Sprintf("the answer is longer than %d bytes", a.maxBody)
		fail.Hint = "ask for a shorter time or fewer results"
		fail.Err = errTooLong
		return fail
	case errors.As(body.err, new(*MeterError)):
		return body.err
	case body.err != nil:
		fail.Err, fail.Message = body.err, "reading the answer: "+body.err.Error()
		fail.Hint = "ask again; if it stays, ask for less"
		return fail
	}
	return err
}

// TooLong reports whether an answer was longer than it may be, or the server
// refused the query, which Loki does with status 400 where the answer would be too
// long. A query for less may be answered.
func (e *Error) TooLong() bool {
	return errors.Is(e.Err, errTooLong) || e.Status == http.StatusBadRequest
}

// TimedOut reports whether the server, or the client, gave up waiting for the answer. A
// query for less may be answered.
func (e *Error) TimedOut() bool {
	return e.Status == http.StatusGatewayTimeout || errors.Is(e.Err, context.DeadlineExceeded)
}

// errTooLong reports an answer of more bytes than one may have.
var errTooLong = errors.New("the answer is too long")

// MeterError is the error of a [Meter] that refuses an answer.
type MeterError struct {
	Reason string
	Busy   bool // it may be taken later
}

// Error returns the reason.
func (e *MeterError) Error() string { return e.Reason }

// Meter is called with the number of bytes that have arrived of an answer, from
// the goroutine that reads it. It may wait. Its error, a [*MeterError], ends the
// request.
type Meter func(n int) error

type meterKey struct{}

// WithMeter returns a context whose requests call m.
func WithMeter(ctx context.Context, m Meter) context.Context {
	return context.WithValue(ctx, meterKey{}, m)
}

func meterOf(ctx context.Context) Meter {
	if m, ok := ctx.Value(meterKey{}).(Meter); ok {
		return m
	}
	return func(int) error { return nil }
}

// boundedReader reads at most left bytes and keeps the error that ended it.
type boundedReader struct {
	r     io.Reader
	left  int64 // bytes
	meter Meter
	err   error // other than io.EOF
}

// Read implements io.Reader.
func (b *boundedReader) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		err = errTooLong
	}
	if n > 0 && (err == nil || errors.Is(err, io.EOF)) {
		if refused := b.meter(n); refused != nil {
			err = refused
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// getJSON decodes the body of a 200 into v as it arrives.
func (a api) getJSON(ctx context.Context, path string, params url.Values, header http.Header, v any) error {
	return a.stream(ctx, path, params, header, func(r io.Reader) error {
		var start bytes.Buffer
		whole := io.MultiReader(io.TeeReader(io.LimitReader(r, maxStart), &start), r)
		err := json.UnmarshalRead(whole, v, json.MatchCaseInsensitiveNames(true), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		if err == nil {
			return nil
		}
		return &Error{
			Server: a.name, URL: a.URL() + path, Status: http.StatusOK, Err: err,
			Message: fmt.Sprintf("decoding the answer: %v; it begins with %.60q", err, bytes.TrimSpace(start.Bytes())),
			Hint:    fmt.Sprintf("check that %s is the address of %s and not of something else", a.URL(), a.name),
		}
	})
}

func hint(a api, status int) string {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "check the token or tenant header sent to " + a.name
	case status == http.StatusNotFound:
		return fmt.Sprintf("check that %s is the address of %s", a.URL(), a.name)
	case status == http.StatusTooManyRequests:
		return "wait a moment: " + a.name + " limits requests"
	case status == http.StatusServiceUnavailable:
		return a.name + " may still be starting: try again in a few seconds"
	case status >= http.StatusInternalServerError:
		return "look at the output of " + a.name
	}
	return ""
}

// errorText finds the server's own words: the "error" or "message" of a JSON
// object, which Prometheus and some of Loki's answers are, or the text itself.
func errorText(body []byte) string {
	var j struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &j) == nil {
		if j.Error != "" {
			return j.Error
		}
		if j.Message != "" {
			return j.Message
		}
	}
	text := strings.TrimSpace(strings.ToValidUTF8(string(body[:min(len(body), maxErrorText)]), "\uFFFD"))
	if text == "" {
		return "no explanation given"
	}
	return text
}
