package generate

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dicelab/internal/contract"
)

// staleAfter is the time after which an unchanged series is forgotten (Tempo's
// stale_duration). It begins at 0 when it comes again.
const staleAfter = 15 * time.Minute

// table holds the counters and histograms.
type table struct {
	spans map[spanKey]*spanRow
	calls map[callKey]*callRow

	size, max int // series of the TSDB
	own       *ownMetrics
}

// spanKey are the labels of span metrics.
type spanKey struct {
	service, name string
	kind          tracepb.Span_SpanKind
	status        tracepb.Status_StatusCode
}

type spanRow struct {
	updated     time.Time
	calls, size counter
	latency     histogram
}

// callKey are the labels of the service graph.
type callKey struct{ client, server, connection string }

type callRow struct {
	updated        time.Time
	total, failed  counter
	client, server histogram
}

func newTable(limit int, own *ownMetrics) table {
	return table{spans: make(map[spanKey]*spanRow), calls: make(map[callKey]*callRow), max: limit, own: own}
}

// room reserves n series, and reports whether there was room for them.
func (t *table) room(n int) bool {
	if t.size+n > t.max {
		t.own.limit()
		return false
	}
	t.size += n
	return true
}

// span counts a span.
func (t *table) span(service string, span *tracepb.Span, now time.Time) {
	key := spanKey{label(service), label(span.GetName()), span.GetKind(), span.GetStatus().GetCode()}
	row, ok := t.spans[key]
	if !ok {
		if !t.room(spanRowSeries()) {
			return
		}
		row = newSpanRow(key)
		t.spans[key] = row
	}
	row.updated = now
	row.calls.add(1)
	row.size.add(float64(size(span)))
	row.latency.observe(seconds(span), span.GetTraceId())
}

// size returns the size of a span as Tempo counts it: OTLP receivers add a status to
// every span, and an empty one takes two bytes.
func size(span *tracepb.Span) int {
	n := proto.Size(span)
	if span.GetStatus() == nil {
		n += 2
	}
	return n
}

func newSpanRow(key spanKey) *spanRow {
	base := labels.FromMap(map[string]string{
		contract.LabelService: key.service, contract.LabelSpanName: key.name,
		contract.LabelSpanKind: key.kind.String(), contract.LabelStatusCode: key.status.String(),
	})
	return &spanRow{
		calls:   newCounter(base, contract.MetricSpanCalls),
		size:    newCounter(base, contract.MetricSpanSize),
		latency: newHistogram(base, contract.MetricSpanLatency, contract.SpanLatencyBuckets()),
	}
}

// call counts a call.
func (t *table) call(e *edge, now time.Time) {
	key := callKey{label(e.client), label(e.server), e.connection}
	row, ok := t.calls[key]
	if !ok {
		if !t.room(callRowSeries()) {
			return
		}
		row = newCallRow(key)
		t.calls[key] = row
	}
	row.updated = now
	row.total.add(1)
	if e.failed {
		row.failed.add(1)
	}
	row.client.observe(e.clientSeconds, e.key.trace[:])
	row.server.observe(e.serverSeconds, e.key.trace[:])
}

func newCallRow(key callKey) *callRow {
	base := labels.FromMap(map[string]string{
		contract.LabelClient: key.client, contract.LabelServer: key.server, contract.LabelConnection: key.connection,
	})
	return &callRow{
		total:  newCounter(base, contract.MetricGraphRequests),
		failed: newCounter(base, contract.MetricGraphFailed),
		client: newHistogram(base, contract.MetricGraphClientSeconds, contract.GraphBuckets()),
		server: newHistogram(base, contract.MetricGraphServerSeconds, contract.GraphBuckets()),
	}
}

// spanRowSeries and callRowSeries return the number of series of a row in the TSDB.
func spanRowSeries() int { return 2 + histogramSeries(contract.SpanLatencyBuckets()) }
func callRowSeries() int { return 2 + 2*histogramSeries(contract.GraphBuckets()) }

// forget removes the rows that have not changed for staleAfter.
func (t *table) forget(now time.Time) {
	old := now.Add(-staleAfter)
	for key, row := range t.spans {
		if row.updated.Before(old) {
			delete(t.spans, key)
			t.size -= spanRowSeries()
		}
	}
	for key, row := range t.calls {
		if row.updated.Before(old) {
			delete(t.calls, key)
			t.size -= callRowSeries()
		}
	}
}

// collect appends every series.
func (t *table) collect(b *batch) error {
	for _, row := range t.spans {
		if err := b.all(row.calls.collect, row.size.collect, row.latency.collect); err != nil {
			return err
		}
	}
	for _, row := range t.calls {
		if err := b.all(row.total.collect, row.failed.collect, row.client.collect, row.server.collect); err != nil {
			return err
		}
	}
	return nil
}

// Collect appends the present value of every series, as of at, with the exemplars since
// the last collection. If samples cannot be appended because newer ones are stored, it
// appends the rest and returns an error.
func (g *Generator) Collect(to storage.AppenderV2, at time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.opts.Now()
	g.graph.expire(now)
	g.table.forget(now)
	b := &batch{to: to, at: at.UnixMilli()}
	if err := g.table.collect(b); err != nil {
		return err
	}
	return b.refused()
}
