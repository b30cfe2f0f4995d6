package explorer

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"dicelab/internal/query"
)

// The memory of the pages, files and downloads under way together is bounded, so
// that the explorer lives in the smallest container that the lab ships, of 192 MiB.
// A page holds a place while it is made. What it reads is counted as it arrives:
// beyond the size of usual answers it is a large page, leaves its place to small
// ones, and waits until it is the only large one that is made. A finished page is
// kept compressed and has released its place, so that a client that is slow, or
// does not read, costs its bytes alone.
const (
	maxPages    = 8         // that are made at once
	maxLarge    = 16        // large pages at once: one is made, the others wait
	largeAnswer = 256 << 10 // bytes of answers or files beyond which a page is large
	maxAnswers  = 64 << 20  // bytes of answers or files of one page
	maxUnsent   = 32 << 20  // bytes, compressed, of finished pages
	maxReply    = maxUnsent / 2
	patience    = 8 * time.Second // the longest wait of a page for its turn
)

// bounds are the semaphores that pages share.
type bounds struct {
	pages  *semaphore.Weighted // places of pages that are not large
	larges *semaphore.Weighted // places of large pages
	large  *semaphore.Weighted // the turn of the large page that is made
	unsent *semaphore.Weighted // bytes of finished pages
}

func newBounds() bounds {
	return bounds{semaphore.NewWeighted(maxPages), semaphore.NewWeighted(maxLarge), semaphore.NewWeighted(1), semaphore.NewWeighted(maxUnsent)}
}

// errBusy reports that a page has waited for others in vain.
var errBusy = errors.New("other pages take all the memory that pages may take together: load this one again in a moment")

// acquire waits for n of s, as long as a page waits.
func acquire(ctx context.Context, s *semaphore.Weighted, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.Acquire(ctx, n) != nil {
		return errBusy
	}
	return nil
}

// bounded makes a handler's answer within the bounds, and sends it when it is
// complete.
func (e *explorer) bounded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := acquire(r.Context(), e.bounds.pages, 1); err != nil {
			e.busy(w, err)
			return
		}
		answer := newReply()
		size, err := e.make(answer, r, next)
		if err != nil {
			e.busy(w, err)
			return
		}
		defer e.bounds.unsent.Release(size)
		answer.send(w, r)
	}
}

// make calls next in the place that the caller has acquired, and gives the place
// back when the answer's size has been acquired.
func (e *explorer) make(answer *reply, r *http.Request, next http.HandlerFunc) (size int64, err error) {
	p := &underWay{ctx: r.Context(), bounds: e.bounds}
	defer p.release()
	r = r.WithContext(query.WithMeter(r.Context(), p.read))
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &meteredBody{r.Body, p.read}
	}
	next(answer, r)
	if err := answer.finish(); err != nil {
		return 0, err
	}
	size = int64(answer.body.Cap())
	return size, acquire(r.Context(), e.bounds.unsent, size)
}

func (e *explorer) busy(w http.ResponseWriter, err error) {
	w.Header().Set("Retry-After", "5")
	e.message(w, http.StatusServiceUnavailable, "The explorer is busy", err.Error()+".")
}

// underWay is a page that is being made. It holds a place from the start.
type underWay struct {
	ctx    context.Context
	bounds bounds

	mu    sync.Mutex
	bytes int64
	large bool // has the place of a large page, no longer that of another
	turn  bool // is the large page that is made
}

// read counts n bytes that the page has read. It may wait. It implements
// [query.Meter].
func (p *underWay) read(n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes += int64(n)
	if p.bytes > maxAnswers {
		return &query.MeterError{Reason: fmt.Sprintf("it needs answers of more than %d MiB: ask for a shorter time or less", maxAnswers>>20)}
	}
	if p.large || p.bytes <= largeAnswer {
		return nil
	}
	busy := &query.MeterError{Reason: errBusy.Error(), Busy: true}
	if !p.bounds.larges.TryAcquire(1) {
		return busy
	}
	p.large = true
	p.bounds.pages.Release(1)
	if acquire(p.ctx, p.bounds.large, 1) != nil {
		return busy
	}
	p.turn = true
	return nil
}

// release releases what the page has reserved.
func (p *underWay) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turn {
		p.bounds.large.Release(1)
	}
	if p.large {
		p.bounds.larges.Release(1)
	} else {
		p.bounds.pages.Release(1)
	}
}

// meteredBody is a request's body that is counted as it is read.
type meteredBody struct {
	io.ReadCloser
	read query.Meter
}

// Read implements io.Reader.
func (b *meteredBody) Read(buf []byte) (int, error) {
	n, err := b.ReadCloser.Read(buf)
	if n > 0 {
		if refused := b.read(n); refused != nil {
			return n, refused
		}
	}
	return n, err
}

// reply keeps an answer, compressed, until it is sent. It implements
// [http.ResponseWriter].
type reply struct {
	header http.Header
	status int
	body   bytes.Buffer // gzip
	zip    *gzip.Writer
}

func newReply() *reply {
	a := &reply{header: http.Header{}}
	zip, err := gzip.NewWriterLevel(&a.body, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant that exists
	}
	a.zip = zip
	return a
}

// restart empties an answer that has not been sent, so that another can be written.
func restart(w http.ResponseWriter) {
	if a, ok := w.(*reply); ok {
		a.header, a.status = http.Header{}, 0
		a.body.Reset()
		a.zip.Reset(&a.body)
	}
}

// Header implements http.ResponseWriter.
func (a *reply) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. The first call counts.
func (a *reply) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *reply) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len() > maxReply {
		return 0, fmt.Errorf("the page has more than %d MiB, compressed", maxReply>>20)
	}
	return a.zip.Write(b)
}

// finish ends the answer. It fails where a part was not written.
func (a *reply) finish() error {
	a.WriteHeader(http.StatusOK)
	if err := a.zip.Close(); err != nil {
		return fmt.Errorf("compressing the page: %w", err)
	}
	if a.body.Len() > maxReply {
		return fmt.Errorf("the page has more than %d MiB, compressed", maxReply>>20)
	}
	return nil
}

// send sends the answer, compressed where the client takes that. Its errors mean
// that the client is gone.
func (a *reply) send(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for name, values := range a.header {
		h[name] = values
	}
	h.Add("Vary", "Accept-Encoding")
	if acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		h.Set("Content-Length", strconv.Itoa(a.body.Len()))
		w.WriteHeader(a.status)
		_, _ = a.body.WriteTo(w)
		return
	}
	w.WriteHeader(a.status)
	if plain, err := gzip.NewReader(&a.body); err == nil {
		_, _ = io.Copy(w, plain)
	}
}

// acceptsGzip reports whether a client takes gzip (RFC 9110, section 12.5.3).
func acceptsGzip(r *http.Request) bool {
	for _, value := range r.Header.Values("Accept-Encoding") {
		for coding := range strings.SplitSeq(value, ",") {
			name, weight, _ := strings.Cut(coding, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") && !strings.HasPrefix(strings.TrimSpace(weight), "q=0") {
				return true
			}
		}
	}
	return false
}
