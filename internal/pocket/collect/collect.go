// Package collect reads what the services write to their standard output and
// stores it as log lines: it plays the part that Grafana Alloy plays in the real
// stack.
//
// Rules:
//   - Reading never waits for the store, since a service would wait with it. A
//     queue stands between them, bounded in lines and bytes; what does not fit is
//     dropped and counted.
//   - The text of a line is stored unchanged. One that is longer than
//     MaxLineBytes is cut there, and its metadata says by how much.
//   - No line is skipped because of what it holds. One that is not a JSON object
//     (a panic, say) is stored with the time at which it was read and without
//     the label level, as Alloy does with a field that it does not find.
//   - Whatever was read before the end of a service's output is stored before
//     Close returns, or Close and Run say how many lines were not.
package collect

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dicelab/internal/contract"
	"dicelab/internal/pocket/store"
)

// MaxLineBytes is the length at which a line is cut, without its line feed. Loki
// takes lines of up to 256 KiB (limits_config, max_line_size).
const MaxLineBytes = 256 << 10

// MetadataCut is the structured metadata of a line that was cut: how many bytes
// are missing.
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

// Appender stores lines. It returns when they are stored. With
// [*streams.RefusedError] those are that were not refused, with another error none.
type Appender interface {
	AppendLines(ctx context.Context, lines []store.Line) error
}

// Options are a Collector's settings. The zero value means the defaults.
type Options struct {
	QueueLines int // lines that may wait for the store; default 16,384
	QueueBytes int // bytes of text that may wait; default 8 MiB, at least MaxLineBytes

	// BatchDelay is how long the first line of a batch waits for company; default
	// 5 ms.
	BatchDelay time.Duration
	// Retries are the pauses before a batch that the store refused is tried again;
	// default 50, 200 and 500 ms. After the last the batch is dropped.
	Retries []time.Duration

	Dropped *prometheus.CounterVec // from NewDropped; default one that nobody reads
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

// A batch is at most this large, so that one commit stays short.
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
	readers int  // Reads that are under way
	closed  bool // no further Read
	stopped bool // Run has returned: nobody stores what is read now

	wake chan struct{} // holds a value when Run should look at the queue
	done chan struct{} // closed when Run has returned
}

// queued is a line on its way to the store.
type queued struct {
	service string
	line    store.Line
}

// New makes a Collector that stores with appender. Nothing is stored until Run
// is called.
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

// enqueue takes a line that was read, or drops it when the queue is full: the
// newest go, so that what led to the flood is kept.
func (c *Collector) enqueue(service string, line store.Line) {
	if reason := c.push(service, line); reason != "" {
		c.opts.Dropped.WithLabelValues(service, reason).Inc()
		return
	}
	c.notify()
}

// push adds a line to the queue, or says why not.
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
