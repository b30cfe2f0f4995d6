package verify

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
)

// keptAnswer bounds what is kept of an answer, in bytes.
const keptAnswer = 4 << 10

// exchange is an Exchange that may still be going on.
type exchange struct {
	request, command string
	status           atomic.Int64

	mu     sync.Mutex
	answer bytes.Buffer
	cut    bool
}

func newExchange(req *http.Request) (*exchange, error) {
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
	return &exchange{request: req.Method + " " + req.URL.Redacted(), command: curl(req, body)}, nil
}

// Write keeps the beginning of an answer.
func (e *exchange) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	room := min(len(b), keptAnswer-e.answer.Len())
	e.answer.Write(b[:room])
	e.cut = e.cut || room < len(b)
	return len(b), nil
}

func (e *exchange) failed(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer.WriteString(plain(err).Error())
}

func (e *exchange) done() Exchange {
	e.mu.Lock()
	defer e.mu.Unlock()
	return Exchange{Request: e.request, Command: e.command, Status: int(e.status.Load()),
		Answer: strings.ToValidUTF8(e.answer.String(), "\uFFFD"), Cut: e.cut}
}

// curl writes a request as a command. Values of headers that were given by the
// caller may be secret, so that only those are written which this package sets.
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
		case name == "Content-Type" && value == formType, name == "Accept" && value == "application/json":
			continue // curl's own; what the servers answer anyway
		case !slices.Contains(own, name):
			value = "…"
		}
		args = append(args, "-H", quote(name+": "+value))
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
	args = append(args, quote(u.Redacted()))
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			args = append(args, "--data-urlencode", quote(unescape(name)+"="+unescape(value)))
		}
	}
	if body != "" {
		args = append(args, "-d", quote(body))
	}
	return strings.Join(args, " ")
}

// formType is the type of a form's body, which is also what curl -d sends.
const formType = "application/x-www-form-urlencoded"

func unescape(s string) string {
	if text, err := url.QueryUnescape(s); err == nil {
		return text
	}
	return s
}

// quote writes a word for a POSIX shell.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
