package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
)

// spanQueue is a bounded queue of finished spans in front of an exporter. It does
// what the SDK's batch processor does (specification, "Batching processor") and
// three things more: it counts what does not fit, counts what the exporter could
// not deliver, and tells of failures once when they begin and once when they end.
// A span costs its request a slot in a slice, not a trip through a channel.
// Nothing in it waits: a full queue loses the span, not time.
type spanQueue struct {
	exporter sdktrace.SpanExporter
	set      settings
	drops    *dropCounter
	log      *slog.Logger
	faults   *fault.Set
	failing  bool // whether the last export failed; of the sending goroutine

	full    chan []sdktrace.ReadOnlySpan // batches; there is room for all that the queue may hold
	closing chan struct{}
	closed  chan struct{} // the sending goroutine has ended
	aborted context.Context
	abort   context.CancelCauseFunc // ends the exports under way, and fails later ones

	mu      sync.Mutex
	batch   []sdktrace.ReadOnlySpan // gathers
	waiting int                     // spans accepted whose export has not ended
	stopped bool
}

// errAborted is why an export ended that Shutdown could not wait for.
var errAborted = errors.New("the service stopped before the spans were sent")

func newSpanQueue(exporter sdktrace.SpanExporter, set settings, drops *dropCounter, log *slog.Logger, faults *fault.Set) *spanQueue {
	q := &spanQueue{
		exporter: exporter, set: set, drops: drops, log: log, faults: faults,
		full:    make(chan []sdktrace.ReadOnlySpan, set.queue/set.batch+1),
		closing: make(chan struct{}),
		closed:  make(chan struct{}),
	}
	q.aborted, q.abort = context.WithCancelCause(context.Background()) // outlives every request; ended by Shutdown
	go q.run()
	return q
}

// Add takes a span that has ended and was sampled.
func (q *spanQueue) Add(span sdktrace.ReadOnlySpan) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.stopped:
		q.drops.exportFailed.Inc()
		return
	case q.waiting == q.set.queue:
		q.drops.queueFull.Inc()
		return
	}
	q.waiting++
	if q.batch == nil {
		q.batch = make([]sdktrace.ReadOnlySpan, 0, q.set.batch)
	}
	if q.batch = append(q.batch, span); len(q.batch) == q.set.batch {
		q.full <- q.batch
		q.batch = nil
	}
}

// run sends batches when they are full, and what has gathered when its time has
// come, until the queue closes.
func (q *spanQueue) run() {
	defer close(q.closed)
	timer := time.NewTimer(q.set.delay)
	defer timer.Stop()
	for {
		select {
		case batch := <-q.full:
			q.send(batch)
		case <-timer.C:
			q.sendAll()
		case <-q.closing:
			q.sendAll()
			return
		}
		timer.Reset(q.set.delay)
	}
}

// sendAll sends what has gathered.
func (q *spanQueue) sendAll() {
	q.mu.Lock()
	full, rest := len(q.full), q.batch
	q.batch = nil
	q.mu.Unlock()
	for range full {
		q.send(<-q.full)
	}
	if len(rest) > 0 {
		q.send(rest)
	}
}

// send exports one batch, and makes room for others.
func (q *spanQueue) send(batch []sdktrace.ReadOnlySpan) {
	if state := q.faults.State(); !state.NoExport {
		err := q.export(batch, state.ClockSkew)
		if err != nil {
			q.drops.exportFailed.Add(float64(lost(err, len(batch))))
		}
		q.tell(err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting -= len(batch)
}

func (q *spanQueue) export(batch []sdktrace.ReadOnlySpan, skew time.Duration) error {
	if skew != 0 {
		batch = skewed(batch, skew)
	}
	ctx, cancel := context.WithTimeout(q.aborted, q.set.timeout)
	defer cancel()
	return q.exporter.ExportSpans(ctx, batch)
}

// tell logs the first failure, and the first success after it.
func (q *spanQueue) tell(err error) {
	switch failed := err != nil; {
	case failed && !q.failing:
		q.log.Warn("Span export failing", contract.FieldError, err)
	case !failed && q.failing:
		q.log.Info("Span export works again")
	}
	q.failing = err != nil
}

// Shutdown sends what is queued until ctx ends; what is not sent then is counted
// as failed. Spans that end later are counted so, too.
func (q *spanQueue) Shutdown(ctx context.Context) error {
	q.mu.Lock()
	again := q.stopped
	q.stopped = true
	q.mu.Unlock()
	if again {
		return nil
	}
	close(q.closing)
	defer q.abort(nil)
	defer context.AfterFunc(ctx, func() { q.abort(errAborted) })()
	<-q.closed
	return errors.Join(q.exporter.Shutdown(context.WithoutCancel(ctx)), ctx.Err())
}
