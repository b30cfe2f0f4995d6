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

// Inc adds one; from is the trace behind it.
func (c *Counter) Inc(from Exemplar) {
	c.counter.Inc()
	c.last.set(from, 1)
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

// Observe records a value; from is the trace behind it.
func (h *Histogram) Observe(value float64, from Exemplar) {
	h.histogram.Observe(value)
	i := 0
	for i < len(h.bounds) && !(value <= h.bounds[i]) { // the bounds are few
		i++
	}
	h.last[i].set(from, value)
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

// Exemplar is the trace behind a number, and when that was. The zero Exemplar is
// none: a number keeps the one that it has.
type Exemplar struct {
	trace trace.TraceID
	at    time.Time
}

// exemplar is the last one of a number.
type exemplar struct {
	mu    sync.Mutex
	last  Exemplar
	value float64
}

func (e *exemplar) set(from Exemplar, value float64) {
	if !from.trace.IsValid() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last, e.value = from, value
}

// withExemplars is m with those of list that are set.
func withExemplars(m prometheus.Metric, list ...*exemplar) prometheus.Metric {
	var found []prometheus.Exemplar
	for _, e := range list {
		e.mu.Lock()
		if e.last.trace.IsValid() {
			found = append(found, prometheus.Exemplar{
				Value: e.value, Timestamp: e.last.at, Labels: prometheus.Labels{contract.FieldTraceID: e.last.trace.String()},
			})
		}
		e.mu.Unlock()
	}
	if len(found) == 0 {
		return m
	}
	return prometheus.MustNewMetricWithExemplars(m, found...) // it refuses labels that are too long, which an ID is not
}
