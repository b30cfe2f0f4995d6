// Package exchange records HTTP requests and their answers, each with a command for a
// shell that repeats it.
package exchange

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"dicelab/internal/checklist"
)

// keptAnswer bounds what is kept of an answer, in bytes.
const keptAnswer = 4 << 10

// FormType is the type of a form's body, which is also what curl -d sends.
const FormType = "application/x-www-form-urlencoded"

// Log keeps exchanges. It is safe for concurrent use.
type Log struct {
	mu    sync.Mutex
	asked []*Exchange
}

// Transport returns a transport that sends requests through next and keeps them.
func (l *Log) Transport(next http.RoundTripper) http.RoundTripper { return &transport{l, next} }

// Len returns the number of exchanges.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.asked)
}

// Truncate drops all but the first n exchanges.
func (l *Log) Truncate(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = slices.Clip(l.asked[:n])
}

// Add adds exchanges of another log.
func (l *Log) Add(asked ...*Exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, asked...)
}

// All returns the exchanges.
func (l *Log) All() []*Exchange {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.asked)
}

// Some returns at most n exchanges as a result shows them: half of them the first, half
// the last.
func (l *Log) Some(n int) (out []checklist.Exchange) {
	all := l.All()
	for i, e := range all {
		if i < n/2 || i >= len(all)-n/2 {
			out = append(out, e.done())
		}
	}
	return out
}

type transport struct {
	log  *Log
	next http.RoundTripper
}

// RoundTrip sends a request and keeps it with its answer.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	e, err := newExchange(req)
	if err != nil {
		return nil, err
	}
	t.log.Add(e)
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		e.fail(err)
		return nil, err
	}
	e.status.Store(int64(resp.StatusCode))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(resp.Body, e), resp.Body}
	return resp, nil
}

// Exchange is a request and its answer, which may still be under way.
type Exchange struct {
	request, command string
	status           atomic.Int64

	mu     sync.Mutex
	answer bytes.Buffer
	cut    bool
}

func newExchange(req *http.Request) (*Exchange, error) {
	body := ""
	if req.GetBody != nil {
		r, err := req.GetBody()
		if err != nil {
			return nil, fmt.Errorf("keeping the request: %w", err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return nil, fmt.Errorf("keeping the request: %w", err)
		}
		body = string(text)
	}
	return &Exchange{request: req.Method + " " + req.URL.Redacted(), command: curl(req, body)}, nil
}

// Write keeps the beginning of an answer.
func (e *Exchange) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	room := min(len(b), keptAnswer-e.answer.Len())
	e.answer.Write(b[:room])
	e.cut = e.cut || room < len(b)
	return len(b), nil
}

func (e *Exchange) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer.WriteString(Plain(err).Error())
}

func (e *Exchange) done() checklist.Exchange {
	e.mu.Lock()
	defer e.mu.Unlock()
	return checklist.Exchange{Request: e.request, Command: e.command, Status: int(e.status.Load()),
		Answer: strings.ToValidUTF8(e.answer.String(), "\uFFFD"), Cut: e.cut}
}

// Plain returns an error of a request without method and URL, which the exchange
// has, and in words if the time was over.
func Plain(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		if e.Timeout() {
			return errLate
		}
		return e.Err
	}
	return err
}

var errLate = errors.New("it did not answer in time")

// curl writes a request as a command. Values of headers that the caller has given may
// be secret: only those are written that this program sets.
func curl(req *http.Request, body string) string {
	args := []string{"curl", "-s"}
	own := []string{"Accept", "Content-Type", "Traceparent", "Tracestate", "Baggage", "X-Loki-Response-Encoding-Flags"}
	names := make([]string, 0, len(req.Header))
	for name := range req.Header {
		if name != "User-Agent" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		value := req.Header.Get(name)
		switch {
		case name == "Content-Type" && value == FormType, name == "Accept" && value == "application/json":
			continue // curl's own; what the servers answer anyway
		case !slices.Contains(own, name):
			value = "…"
		}
		args = append(args, "-H", Quote(name+": "+value))
	}
	if req.Method != http.MethodGet && (req.Method != http.MethodPost || body == "") {
		args = append(args, "-X", req.Method)
	}
	u := *req.URL
	query := u.RawQuery
	u.RawQuery = ""
	if query != "" {
		args = append(args, "-G")
	}
	args = append(args, Quote(u.Redacted()))
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			args = append(args, "--data-urlencode", Quote(unescape(name)+"="+unescape(value)))
		}
	}
	if body != "" {
		args = append(args, "-d", Quote(body))
	}
	return strings.Join(args, " ")
}

func unescape(s string) string {
	if text, err := url.QueryUnescape(s); err == nil {
		return text
	}
	return s
}

// Quote writes a word for a POSIX shell.
func Quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
