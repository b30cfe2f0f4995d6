// Package forward sends copies of OTLP exports to another backend.
//
// Rules:
//
//   - Sending never slows or fails what the embedded stack takes in: copies wait in a
//     queue that is bounded in bytes, and what has no room in it is dropped.
//   - What is dropped is counted, by reason, and reported: when it begins, and at most
//     once a minute.
//   - A copy that the backend cannot take now is sent again, with growing pauses; one that
//     it refuses is dropped.
package forward

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dicelab/internal/contract"
	"dicelab/internal/wait"
)

// Bounds of forwarding.
const (
	maxQueue   = 32 << 20         // bytes of the copies that wait
	senders    = 4                // copies under way
	maxTries   = 8                // to send one copy
	firstPause = time.Second      // between two tries; it doubles
	maxPause   = 30 * time.Second // between two tries
	timeout    = 10 * time.Second // of one try
	reportEach = time.Minute      // between two reports of what was dropped
	maxAnswer  = 300              // bytes of a refusal that are reported
)

// The reasons for which copies are dropped.
const (
	reasonFull    = "queue full"
	reasonRefused = "refused"
	reasonFailed  = "unreachable"
	reasonEnd     = "stopped"
)

// Options are the settings of a [Forwarder].
type Options struct {
	// URL is the base URL of the backend's OTLP/HTTP endpoint. A user and password in it
	// are sent as basic authentication.
	URL *url.URL
	// Print prints a line for people; nil prints nothing.
	Print func(line string)
	// Registry gets the counters; nil for none.
	Registry prometheus.Registerer
	// Pause waits between two tries, and returns early if ctx ends. Default [wait.Sleep].
	Pause func(ctx context.Context, d time.Duration) error
}

// Forwarder sends copies of exports. Its methods may be called from any goroutine.
type Forwarder struct {
	o       Options
	client  *http.Client
	sent    prometheus.Counter
	dropped *prometheus.CounterVec

	mu       sync.Mutex
	queue    []copied
	bytes    int
	ended    bool
	lost     int // copies, since the last report
	lastWhy  string
	reported time.Time
	wake     chan struct{} // holds an element if the queue is not empty, or at the end
}

// copied is a copy that waits.
type copied struct {
	path, contentType string
	body              []byte
}

// New returns a forwarder. Run sends.
func New(o Options) *Forwarder {
	if o.Print == nil {
		o.Print = func(string) {}
	}
	if o.Pause == nil {
		o.Pause = wait.Sleep
	}
	f := &Forwarder{
		o: o, client: &http.Client{Timeout: timeout}, wake: make(chan struct{}, 1),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dicelab_forwarded_exports_total", Help: "OTLP exports of which a copy was sent to the backend of --forward."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dicelab_forward_dropped_exports_total", Help: "OTLP exports of which no copy was sent to the backend of --forward, by reason."}, []string{"reason"}),
	}
	for _, reason := range []string{reasonFull, reasonRefused, reasonFailed, reasonEnd} {
		f.dropped.WithLabelValues(reason)
	}
	if o.Registry != nil {
		o.Registry.MustRegister(f.sent, f.dropped)
	}
	return f
}

// Forward queues a copy of an export. It does not block, and does not change the body.
func (f *Forwarder) Forward(path, contentType string, body []byte) {
	f.mu.Lock()
	full := f.ended || f.bytes+len(body) > maxQueue
	if !full {
		f.queue = append(f.queue, copied{path, contentType, body})
		f.bytes += len(body)
	}
	f.mu.Unlock()
	if full {
		f.drop(1, reasonFull, fmt.Sprintf("%d bytes wait already, since the backend is too slow", maxQueue))
		return
	}
	f.signal()
}

func (f *Forwarder) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run sends copies until ctx ends, and then those that wait, each once and until last
// ends.
func (f *Forwarder) Run(ctx, last context.Context) {
	var workers sync.WaitGroup
	for range senders {
		workers.Go(func() { f.work(ctx, last) })
	}
	workers.Wait()
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.client.CloseIdleConnections()
}

func (f *Forwarder) work(ctx, last context.Context) {
	for {
		next, ok := f.next()
		if ok {
			f.send(ctx, last, next)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case <-f.wake:
		case <-ctx.Done():
		}
	}
}

// next takes the first copy out of the queue.
func (f *Forwarder) next() (copied, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) == 0 {
		f.queue = nil
		return copied{}, false
	}
	c := f.queue[0]
	f.queue[0] = copied{}
	f.queue = f.queue[1:]
	f.bytes -= len(c.body)
	if len(f.queue) > 0 {
		f.signal()
	}
	return c, true
}

// send sends a copy, again if it may succeed later.
func (f *Forwarder) send(ctx, last context.Context, c copied) {
	body, err := zip(c.body)
	if err != nil {
		f.drop(1, reasonFailed, err.Error())
		return
	}
	between := firstPause
	for try := 1; ; try++ {
		again, err := f.try(last, c, body)
		switch {
		case err == nil:
			f.sent.Inc()
			return
		case !again:
			f.drop(1, reasonRefused, err.Error())
			return
		case ctx.Err() != nil:
			f.drop(1, reasonEnd, err.Error())
			return
		case try == maxTries:
			f.drop(1, reasonFailed, err.Error())
			return
		}
		_ = f.o.Pause(ctx, between) // its end is seen after one more try
		between = min(2*between, maxPause)
	}
}

// try sends a copy once. again reports whether it may succeed later (OTLP 1.x, section
// "Retryable Response Codes").
func (f *Forwarder) try(ctx context.Context, c copied, body []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.o.URL.JoinPath(c.path).String(), bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", c.contentType)
	req.Header.Set("Content-Encoding", "gzip")
	req.Header.Set(contract.HeaderForwarded, "1")
	resp, err := f.client.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // the URL in it may have a password
		}
		return true, err
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // its status counts
	_ = resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return false, nil
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = true
	}
	return again, fmt.Errorf("it answered %s to %s: %q", resp.Status, c.path, text)
}

// drop counts copies that are not sent, and reports it.
func (f *Forwarder) drop(n int, reason, why string) {
	f.dropped.WithLabelValues(reason).Add(float64(n))
	f.mu.Lock()
	f.lost += n
	f.lastWhy = why
	line := ""
	if time.Since(f.reported) >= reportEach {
		line = f.report()
	}
	f.mu.Unlock()
	if line != "" {
		f.o.Print(line)
	}
}

// report returns the line about what was dropped since the last one. The caller holds mu.
func (f *Forwarder) report() string {
	line := fmt.Sprintf("Not forwarded to %s: %d exports, which are stored here (%s).", f.o.URL.Redacted(), f.lost, f.lastWhy)
	f.lost, f.reported = 0, time.Now()
	return line
}

func zip(body []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(body); err != nil {
		return nil, fmt.Errorf("compressing an export: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("compressing an export: %w", err)
	}
	return b.Bytes(), nil
}
