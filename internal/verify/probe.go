package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// probe is what one check asks with. It keeps what was asked and answered.
type probe struct {
	*run
	mu    sync.Mutex
	asked []*exchange
}

// requestTimeout bounds one request, so that a server that hangs leaves time to
// ask it again.
const requestTimeout = 10 * time.Second

func (p *probe) client() *http.Client {
	return &http.Client{Transport: recorder{p}, Timeout: requestTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
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
func (p *probe) do(ctx context.Context, method, url string, header http.Header, body string) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return a, fmt.Errorf("making a request: %w", err)
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("User-Agent", "dicelab-verify/"+p.Version)
	resp, err := p.client().Do(req)
	if err != nil {
		return a, plain(err)
	}
	a.status, a.header = resp.StatusCode, resp.Header
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return a, errors.Join(err, resp.Body.Close())
}

// get reads what answers 200.
func (p *probe) get(ctx context.Context, url string) (answer, error) {
	a, err := p.do(ctx, http.MethodGet, url, nil, "")
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("GET %s answered %d %s", url, a.status, http.StatusText(a.status))
	}
	return a, err
}

// plain is an error of a request without method and URL, which the exchange has,
// and in words where time was over.
func plain(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		if e.Timeout() {
			return errLate
		}
		return e.Err
	}
	return err
}

var errLate = errors.New("it did not answer in time")

// Bounds of how often what must come is looked for.
const (
	pollFirst = 50 * time.Millisecond
	pollLast  = 500 * time.Millisecond
)

// until looks until there is no error, at least once, and returns what was seen
// last. When the time of the run is over it returns the last error. Of the
// exchanges only those of the last look are kept.
func until[T any](ctx context.Context, p *probe, look func(context.Context) (T, error)) (T, error) {
	return untilTime(ctx, p, p.deadline, look)
}

// untilTime is until with a time of its own.
func untilTime[T any](ctx context.Context, p *probe, deadline time.Time, look func(context.Context) (T, error)) (T, error) {
	kept := p.mark()
	over := time.NewTimer(time.Until(deadline))
	defer over.Stop()
	for pause := pollFirst; ; pause = min(pause*3/2, pollLast) {
		p.forget(kept)
		v, err := look(ctx)
		if err == nil {
			return v, nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-over.C:
			timer.Stop()
			return v, err
		case <-ctx.Done():
			timer.Stop()
			return v, context.Cause(ctx)
		}
	}
}

// while looks for d, at least twice, and returns the first error: what must not
// come has come.
func while(ctx context.Context, p *probe, d time.Duration, look func(context.Context) error) error {
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(pollLast)
	defer tick.Stop()
	kept := p.mark()
	for last := false; ; {
		p.forget(kept)
		if err := look(ctx); err != nil || last {
			return err
		}
		select {
		case <-tick.C:
		case <-end.C:
			last = true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (p *probe) mark() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}

// forget drops the exchanges since a mark.
func (p *probe) forget(mark int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = slices.Clip(p.asked[:mark])
}

// maxExchanges bounds what is kept of one check; the first and the last tell the
// most.
const maxExchanges = 12

// taken are the exchanges, for the result.
func (p *probe) taken() []Exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Exchange
	for i, e := range p.asked {
		if i < maxExchanges/2 || i >= len(p.asked)-maxExchanges/2 {
			out = append(out, e.done())
		}
	}
	return out
}

// recorder is a transport that keeps what goes through it.
type recorder struct{ p *probe }

func (r recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	e, err := newExchange(req)
	if err != nil {
		return nil, err
	}
	r.p.mu.Lock()
	r.p.asked = append(r.p.asked, e)
	r.p.mu.Unlock()
	resp, err := r.p.transport.RoundTrip(req)
	if err != nil {
		e.failed(err)
		return nil, err
	}
	e.status.Store(int64(resp.StatusCode))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(resp.Body, e), resp.Body}
	return resp, nil
}

// memo is something that is found out once, for all who ask, with the exchanges
// that found it.
type memo[T any] struct {
	once  sync.Once
	value T
	err   error
	asked []*exchange
}

func (m *memo[T]) get(ctx context.Context, p *probe, find func(context.Context, *probe) (T, error)) (T, error) {
	m.once.Do(func() {
		own := &probe{run: p.run}
		m.value, m.err = find(ctx, own)
		m.asked = own.asked
	})
	p.mu.Lock()
	p.asked = append(p.asked, m.asked...)
	p.mu.Unlock()
	return m.value, m.err
}

// memos are memos by key.
type memos[K comparable, T any] struct {
	mu sync.Mutex
	by map[K]*memo[T]
}

func (m *memos[K, T]) of(key K) *memo[T] {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.by == nil {
		m.by = map[K]*memo[T]{}
	}
	if m.by[key] == nil {
		m.by[key] = &memo[T]{}
	}
	return m.by[key]
}

// shorten bounds a text that is quoted in a message, between two words.
func shorten(s string) string {
	const most = 160
	if s = strings.Join(strings.Fields(s), " "); len(s) <= most {
		return s
	}
	s = strings.ToValidUTF8(s[:most], "")
	if i := strings.LastIndexByte(s, ' '); i > 0 {
		s = s[:i]
	}
	return s + "…"
}
