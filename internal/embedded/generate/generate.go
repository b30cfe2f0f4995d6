package generate

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Options are a Generator's settings. The zero value means the defaults. The defaults
// of Wait, MaxEdges and the time after which a series is forgotten are Tempo's; the
// default of Slack is the value in stack/tempo/tempo.yml.
type Options struct {
	Wait       time.Duration // for the other side of a call; default 10 s
	Slack      time.Duration // between a span's end and now, either way; default 5 min
	MaxEdges   int           // calls whose other side is awaited; default 10,000
	MaxSeries  int           // series of the TSDB; default 10,000
	QueueSpans int           // spans that wait to be counted; default 20,000

	Registry prometheus.Registerer // takes the generator's own metrics; default none
	Logger   *slog.Logger          // gets each reason for which spans are not counted once; default: discards
	Now      func() time.Time      // default time.Now
}

func (o Options) withDefaults() Options {
	o.Wait = cmp.Or(o.Wait, 10*time.Second)
	o.Slack = cmp.Or(o.Slack, 5*time.Minute)
	o.MaxEdges = cmp.Or(o.MaxEdges, 10_000)
	o.MaxSeries = cmp.Or(o.MaxSeries, 10_000)
	o.QueueSpans = cmp.Or(o.QueueSpans, 20_000)
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Appender stores spans. It returns nil when they are durably stored.
type Appender interface {
	AppendSpans(ctx context.Context, batches []*tracepb.ResourceSpans) error
}

// Generator counts spans. Run does the counting, a metrics.Server collects.
type Generator struct {
	opts Options
	own  *ownMetrics

	queueMu sync.Mutex
	queue   [][]*tracepb.ResourceSpans // exports
	waiting int                        // spans in queue
	closed  bool                       // Run has returned
	wake    chan struct{}              // holds a value when Run should look at the queue

	mu    sync.Mutex // guards what was counted
	table table
	graph graph
}

// New returns a generator. Nothing is counted until Run is called.
func New(opts Options) *Generator {
	g := &Generator{opts: opts.withDefaults(), wake: make(chan struct{}, 1)}
	g.own = newOwnMetrics(g.opts.Registry, g.opts.Logger)
	g.table = newTable(g.opts.MaxSeries, g.own)
	g.graph = newGraph(g.opts.Wait, g.opts.MaxEdges, func(e *edge) { g.table.call(e, g.opts.Now()) }, g.own.unpaired.Inc)
	return g
}

// Wrap returns an appender that counts the spans that next has stored. Its caller must
// not change the spans afterwards.
func (g *Generator) Wrap(next Appender) Appender { return counted{g, next} }

type counted struct {
	generator *Generator
	next      Appender
}

func (c counted) AppendSpans(ctx context.Context, batches []*tracepb.ResourceSpans) error {
	if err := c.next.AppendSpans(ctx, batches); err != nil {
		return err
	}
	c.generator.enqueue(batches)
	return nil
}

// enqueue adds a stored export to the queue, or drops it if the queue is full. An empty
// queue accepts an export of any size.
func (g *Generator) enqueue(batches []*tracepb.ResourceSpans) {
	n := 0
	for _, resource := range batches {
		for _, scope := range resource.GetScopeSpans() {
			n += len(scope.GetSpans())
		}
	}
	g.queueMu.Lock()
	defer g.queueMu.Unlock()
	switch {
	case n == 0:
	case g.closed:
		g.own.drop(reasonShutdown, n)
	case g.waiting > 0 && g.waiting+n > g.opts.QueueSpans:
		g.own.drop(reasonQueueFull, n)
	default:
		g.queue = append(g.queue, batches)
		g.waiting += n
		select {
		case g.wake <- struct{}{}:
		default:
		}
	}
}

// Run counts stored spans until ctx is done. Before it returns, it counts the spans that
// were stored until then, and stops waiting for the other sides of calls. Spans that
// come later are dropped. Run can be called once.
func (g *Generator) Run(ctx context.Context) {
	for {
		select {
		case <-g.wake:
			g.drain(false)
		case <-ctx.Done():
			g.drain(true)
			g.mu.Lock()
			defer g.mu.Unlock()
			g.graph.endAll()
			return
		}
	}
}

// drain counts the queued spans. If closing is set, it closes the queue.
func (g *Generator) drain(closing bool) {
	for {
		g.queueMu.Lock()
		exports := g.queue
		g.queue, g.waiting = nil, 0
		g.closed = g.closed || closing
		g.queueMu.Unlock()
		if len(exports) == 0 {
			return
		}
		for _, batches := range exports {
			g.count(batches)
		}
	}
}

// count counts the spans of one export.
func (g *Generator) count(batches []*tracepb.ResourceSpans) {
	now := g.opts.Now()
	from, to := uint64(now.Add(-g.opts.Slack).UnixNano()), uint64(now.Add(g.opts.Slack).UnixNano())
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, batch := range batches {
		r := readResource(batch.GetResource())
		for _, scope := range batch.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				if end := span.GetEndTimeUnixNano(); end < from || end > to {
					g.own.drop(reasonTime, 1)
					continue
				}
				g.table.span(r.service, span, now)
				if r.service != "" {
					g.graph.span(r, span, now)
				}
			}
		}
	}
}

// seconds returns the duration of a span, 0 if it ends before it begins.
func seconds(span *tracepb.Span) float64 {
	start, end := span.GetStartTimeUnixNano(), span.GetEndTimeUnixNano()
	if end <= start {
		return 0
	}
	return float64(end-start) / float64(time.Second)
}

func failed(span *tracepb.Span) bool {
	return span.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR
}
