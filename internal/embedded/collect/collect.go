// Package collect reads the standard output of the services and stores it as log lines,
// as Grafana Alloy does in the real stack.
//
// Rules:
//   - Reading never waits for the store, since the service would wait, too. Between
//     them is a queue, bounded in lines and bytes. Lines that do not fit are dropped
//     and counted.
//   - The text of a line is stored unchanged. A line that is longer than MaxLineBytes
//     is cut there, and its metadata has the number of missing bytes.
//   - No line is skipped because of its content. One that is not a JSON object (a
//     panic, say) is stored with the time at which it was read and without the label
//     level, as Alloy does if a field is missing.
//   - All lines that were read before the end of a service's output are stored before
//     Close returns, or the errors of Close and Run have the number of lost lines.
package collect

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/store"
)

// MaxLineBytes is the length at which a line is cut, without its line feed. Loki
// takes lines of up to 256 KiB (limits_config, max_line_size).
const MaxLineBytes = 256 << 10

// MetadataCut is the name of the structured metadata of a line that was cut. Its value
// is the number of missing bytes.
const MetadataCut = "cut_bytes"

// MetricLinesDropped counts the lines that were read and not stored, by service
// and reason.
const MetricLinesDropped = "dicelab_log_lines_dropped_total"

// LabelService is the label of MetricLinesDropped that names the service. Its
// other label is contract.LabelReason.
const LabelService = "service"

// Reasons for which lines are dropped.
const (
	ReasonQueueFull   = contract.ReasonQueueFull // the store was slower than the services
	ReasonStoreFailed = "store_failed"           // the store refused the lines, repeatedly
	ReasonShutdown    = "shutdown"               // the collector was stopped before it could store them
)

// ErrClosed is the error of Read after Close.
var ErrClosed = errors.New("the log collector is closed")

// Appender stores lines, and returns when they are stored. If the error is a
// [*streams.RefusedError], the lines that it does not name are stored; with any other
// error none is.
type Appender interface {
	AppendLines(ctx context.Context, lines []store.Line) error
}

// Options are a Collector's settings. The zero value means the defaults.
type Options struct {
	QueueLines int // lines that may wait for the store; default 16,384
	QueueBytes int // bytes of text that may wait; default 8 MiB, at least MaxLineBytes

	// BatchDelay is the time that the first line of a batch waits for others; default
	// 5 ms.
	BatchDelay time.Duration
	// Retries are the pauses before a batch that the store refused is tried again;
	// default 50, 200 and 500 ms. After the last the batch is dropped.
	Retries []time.Duration

	Dropped *prometheus.CounterVec // from NewDropped; default a counter of its own, which is not exposed
	Logger  *slog.Logger           // default: discards
	Now     func() time.Time       // default time.Now
}

// NewDropped makes the counter MetricLinesDropped, for the caller to register.
func NewDropped() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: MetricLinesDropped,
		Help: "Log lines that were read from a service and not stored.",
	}, []string{LabelService, contract.LabelReason})
}

// Limits of a batch, so that one commit stays short.
const (
	batchLines = 1024
	batchBytes = 1 << 20
)

// Collector moves lines from the services to the store. Read may be called by
// several goroutines, Run by one.
type Collector struct {
	appender Appender
	opts     Options

	mu      sync.Mutex
	queue   []queued
	bytes   int  // of text in queue
	readers int  // calls of Read under way
	closed  bool // no further Read
	stopped bool // Run has returned: lines read from now on are not stored

	wake chan struct{} // holds a value when Run should look at the queue
	done chan struct{} // closed when Run has returned
}

// queued is a line on its way to the store.
type queued struct {
	service string
	line    store.Line
}

// New returns a Collector that stores with appender. Nothing is stored until Run is
// called.
func New(appender Appender, opts Options) *Collector {
	if opts.QueueLines <= 0 {
		opts.QueueLines = 16_384
	}
	if opts.QueueBytes <= 0 {
		opts.QueueBytes = 8 << 20
	}
	opts.QueueBytes = max(opts.QueueBytes, MaxLineBytes)
	if opts.BatchDelay <= 0 {
		opts.BatchDelay = 5 * time.Millisecond
	}
	if opts.Retries == nil {
		opts.Retries = []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond}
	}
	if opts.Dropped == nil {
		opts.Dropped = NewDropped()
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Collector{
		appender: appender, opts: opts,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// enqueue adds a line to the queue, or drops it if the queue is full: the newest lines
// are dropped, so that those that led to the flood are kept.
func (c *Collector) enqueue(service string, line store.Line) {
	if reason := c.push(service, line); reason != "" {
		c.opts.Dropped.WithLabelValues(service, reason).Inc()
		return
	}
	c.notify()
}

// push adds a line to the queue, or returns the reason for which it cannot.
func (c *Collector) push(service string, line store.Line) (reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopped:
		return ReasonShutdown
	case len(c.queue) >= c.opts.QueueLines || c.bytes+len(line.Text) > c.opts.QueueBytes:
		return ReasonQueueFull
	}
	c.queue = append(c.queue, queued{service, line})
	c.bytes += len(line.Text)
	return ""
}

// notify makes Run look at the queue. It never waits.
func (c *Collector) notify() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
