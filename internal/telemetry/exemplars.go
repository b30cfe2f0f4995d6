package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"dicelab/internal/contract"
)

// CounterVec is a prometheus.CounterVec whose counters remember the last trace
// that moved them. client_golang builds an exemplar's message at each call, eight
// allocations for something that the next call overwrites; here it is built when
// it is scraped.
type CounterVec struct {
	vec   *prometheus.CounterVec
	known children[*Counter]
}

// NewCounterVec makes counters by labels; it still has to be registered.
func NewCounterVec(opts prometheus.CounterOpts, labels []string) *CounterVec {
	return &CounterVec{vec: prometheus.NewCounterVec(opts, labels)}
}

// With is the counter of these label values, made if it is new. Whoever needs it
// often keeps it.
func (v *CounterVec) With(values ...string) *Counter {
	counter := v.vec.WithLabelValues(values...)
	return v.known.get(counter, func() *Counter { return &Counter{counter: counter} })
}

// Describe implements prometheus.Collector.
func (v *CounterVec) Describe(out chan<- *prometheus.Desc) { v.vec.Describe(out) }

// Collect gives the counters with their exemplars.
func (v *CounterVec) Collect(out chan<- prometheus.Metric) {
	for _, c := range v.known.list() {
		out <- withExemplars(c.counter, &c.last)
	}
}

// Counter is one counter of a CounterVec.
type Counter struct {
	counter prometheus.Counter
	last    exemplar
}

// HistogramVec is to prometheus.HistogramVec what CounterVec is to its own, with
// one exemplar a bucket.
type HistogramVec struct {
	vec    *prometheus.HistogramVec
	bounds []float64
	known  children[*Histogram]
}

// NewHistogramVec makes classic histograms by labels; it still has to be
// registered. opts.Buckets must be set.
func NewHistogramVec(opts prometheus.HistogramOpts, labels []string) *HistogramVec {
	return &HistogramVec{vec: prometheus.NewHistogramVec(opts, labels), bounds: opts.Buckets}
}

// With is the histogram of these label values, made if it is new.
func (v *HistogramVec) With(values ...string) *Histogram {
	histogram := v.vec.WithLabelValues(values...).(prometheus.Histogram)
	return v.known.get(histogram, func() *Histogram {
		return &Histogram{histogram: histogram, bounds: v.bounds, last: make([]exemplar, len(v.bounds)+1)}
	})
}

// Describe implements prometheus.Collector.
func (v *HistogramVec) Describe(out chan<- *prometheus.Desc) { v.vec.Describe(out) }

// Collect gives the histograms with their exemplars.
func (v *HistogramVec) Collect(out chan<- prometheus.Metric) {
	for _, h := range v.known.list() {
		last := make([]*exemplar, len(h.last))
		for i := range h.last {
			last[i] = &h.last[i]
		}
		out <- withExemplars(h.histogram, last...)
	}
}

// Histogram is one histogram of a HistogramVec.
type Histogram struct {
	histogram prometheus.Histogram
	bounds    []float64
	last      []exemplar // one a bucket, +Inf's last
}

// bucket is the one that value falls into; the bounds are few.
func (h *Histogram) bucket(value float64) *exemplar {
	i := 0
	for i < len(h.bounds) && !(value <= h.bounds[i]) {
		i++
	}
	return &h.last[i]
}

// children are the metrics of a vector, by the metric below.
type children[T any] struct {
	mu    sync.RWMutex
	below map[prometheus.Metric]T
}

func (c *children[T]) get(key prometheus.Metric, make func() T) T {
	c.mu.RLock()
	child, ok := c.below[key]
	c.mu.RUnlock()
	if ok {
		return child
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if child, ok = c.below[key]; ok {
		return child
	}
	if c.below == nil {
		c.below = map[prometheus.Metric]T{}
	}
	child = make()
	c.below[key] = child
	return child
}

func (c *children[T]) list() []T {
	c.mu.RLock()
	defer c.mu.RUnlock()
	list := make([]T, 0, len(c.below))
	for _, child := range c.below {
		list = append(list, child)
	}
	return list
}

// exemplar is the last trace behind a number. The zero exemplar is none.
type exemplar struct {
	mu    sync.Mutex
	trace trace.TraceID
	value float64
	at    time.Time
}

func (e *exemplar) set(id trace.TraceID, value float64, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.trace, e.value, e.at = id, value, at
}

// withExemplars is m with those of list that are set.
func withExemplars(m prometheus.Metric, list ...*exemplar) prometheus.Metric {
	var found []prometheus.Exemplar
	for _, e := range list {
		e.mu.Lock()
		if e.trace.IsValid() {
			found = append(found, prometheus.Exemplar{
				Value: e.value, Timestamp: e.at, Labels: prometheus.Labels{contract.FieldTraceID: e.trace.String()},
			})
		}
		e.mu.Unlock()
	}
	if len(found) == 0 {
		return m
	}
	return prometheus.MustNewMetricWithExemplars(m, found...) // it refuses labels that are too long, which an ID is not
}
