package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"dicelab/internal/query"
	"dicelab/internal/verify/exchange"
	"dicelab/internal/wait"
)

// Probe makes the requests of one check. It keeps the requests and the answers.
type Probe struct {
	*run
	deadline time.Time // of what must come, for this check

	page    string // the path of the explorer's page that shows what was checked
	command string // reproduces what was seen; "": that of the last request does

	exchange.Log
}

// Timeouts of one request, so that a server that hangs leaves time to ask it again.
const (
	requestTimeout = 10 * time.Second
	blockedTimeout = 5 * time.Second // of a check that does not wait
)

func (p *Probe) client() *http.Client {
	timeout := requestTimeout
	if !p.deadline.IsZero() && time.Until(p.deadline) < 0 {
		timeout = blockedTimeout
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: p.Log.Transport(p.transport), Timeout: timeout, CheckRedirect: stay}
}

// answer is the answer of a service, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// maxAnswer bounds what is read of a service's answer, in bytes: /metrics of a
// service that has run for long is the longest.
const maxAnswer = 16 << 20

// do sends a request. Any status is an answer.
func (p *Probe) do(ctx context.Context, method, url string, header http.Header, body string) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return a, fmt.Errorf("making a request: %w", err)
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("User-Agent", p.agent())
	resp, err := p.client().Do(req)
	if err != nil {
		return a, exchange.Plain(err)
	}
	a.status, a.header = resp.StatusCode, resp.Header
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return a, errors.Join(err, resp.Body.Close())
}

// agent is the header User-Agent.
func (r *run) agent() string { return "dicelab-verify/" + r.Version }

// get reads an answer whose status is 200.
func (p *Probe) get(ctx context.Context, url string) (answer, error) {
	a, err := p.do(ctx, http.MethodGet, url, nil, "")
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("GET %s answered %d %s", url, a.status, http.StatusText(a.status))
	}
	return a, err
}

// until looks until there is no error, at least once. When the time of the check is
// over it returns the last error. Of the exchanges only those of the last look are
// kept.
func (p *Probe) until(ctx context.Context, look func() error) error {
	return p.untilTime(ctx, p.deadline, look)
}

// within is until for the next d, if the check has that much time.
func (p *Probe) within(ctx context.Context, d time.Duration, look func() error) error {
	end := time.Now().Add(d)
	if p.deadline.Before(end) {
		end = p.deadline
	}
	return p.untilTime(ctx, end, look)
}

func (p *Probe) untilTime(ctx context.Context, end time.Time, look func() error) error {
	timed, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	kept := p.Len()
	return wait.Until(timed, func(context.Context) error { p.Truncate(kept); return look() })
}

// maxExchanges bounds the exchanges that are kept of one check.
const maxExchanges = 12

// prometheus, loki and tempo are clients whose exchanges are kept.
func (p *Probe) prometheus() *query.Prometheus {
	return must(query.NewPrometheus(p.config(p.Prometheus)))
}
func (p *Probe) loki() *query.Loki   { return must(query.NewLoki(p.config(p.Loki))) }
func (p *Probe) tempo() *query.Tempo { return must(query.NewTempo(p.config(p.Tempo))) }

func (p *Probe) config(url string) query.Config {
	return query.Config{URL: url, HTTP: p.client(), Header: p.Header}
}

// must is for what cannot fail after New.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("a URL that New accepted: %v", err))
	}
	return v
}

// shared caches the findings of a check for the others, by key, with the exchanges
// that led to them. An error is not kept.
type shared[K comparable, T any] struct {
	mu sync.Mutex
	by map[K]*found[T]
}

type found[T any] struct {
	mu    sync.Mutex // held while one check looks
	there bool
	value T
	asked []*exchange.Exchange
}

func (s *shared[K, T]) get(p *Probe, key K, find func(*Probe) (T, error)) (T, error) {
	s.mu.Lock()
	if s.by == nil {
		s.by = map[K]*found[T]{}
	}
	f := s.by[key]
	if f == nil {
		f = &found[T]{}
		s.by[key] = f
	}
	s.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.there {
		own := &Probe{run: p.run, deadline: p.deadline}
		value, err := find(own)
		f.asked = own.All()
		if f.value, f.there = value, err == nil; err != nil {
			p.Add(f.asked...)
			return value, err
		}
	}
	p.Add(f.asked...)
	return f.value, nil
}

// plural writes a number of things.
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
