package traceql

import (
	"cmp"
	"context"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// Range is the time of a query for metrics: points at From+Step and so on up to To, each of
// the spans that begin in the step before it, (point-Step, point]. To-From is a multiple of
// Step.
type Range struct {
	From, To time.Time
	Step     time.Duration
}

// Points returns the number of points.
func (r Range) Points() int { return int(r.To.Sub(r.From) / r.Step) }

// point returns the index of the point of a time, -1 if it is out of the range.
func (r Range) point(at time.Time) int {
	if !at.After(r.From) || at.After(r.To) {
		return -1
	}
	return int((at.Sub(r.From) - 1) / r.Step)
}

// Label is a label of a series.
type Label struct {
	Name  string
	Value Value
}

// Series is a series of a metric.
type Series struct {
	Labels    []Label
	Values    []float64 // of each point, NaN where there is none
	Exemplars []Exemplar
}

// Exemplar is a span that a value of a series counts.
type Exemplar struct {
	Labels []Label
	Value  float64 // what is measured; that of the series if spans are counted
	Time   time.Time
}

// Limits bounds what an aggregator has in memory.
type Limits struct {
	Series    int // of a result
	Points    int // of all series together
	Exemplars int // of a result; 0 for none
}

// Aggregator computes the series of a metric. It must not be used from several goroutines
// at once.
type Aggregator struct {
	metric *Metric
	within Range
	limits Limits
	series map[string]*accumulator
	total  *totals // of compare
	// exemplars that there are, by trace
	exemplars map[string]bool
	full      bool
}

// accumulator is a series in the making.
type accumulator struct {
	labels    []Label
	values    []float64
	counts    []float64 // of avg
	exemplars []Exemplar
}

// Aggregator returns an aggregator without spans.
func (m *Metric) Aggregator(within Range, limits Limits) *Aggregator {
	a := &Aggregator{metric: m, within: within, limits: limits, series: map[string]*accumulator{},
		exemplars: map[string]bool{}}
	if m.compare != nil {
		a.total = newTotals(m.compare)
	}
	if len(m.By) == 0 && (m.Of == nil || len(m.bucket(Value{Type: TypeDuration, Int: 2})) == 0) && m.compare == nil {
		a.at(nil) // it is there also if no span is
	}
	return a
}

// Full reports whether values were left out, since there are too many series.
func (a *Aggregator) Full() bool { return a.full }

// Span adds a span that the query has found. If ctx ends first, it returns the error of ctx.
func (a *Aggregator) Span(ctx context.Context, trace *Trace, i int, at time.Time) error {
	if a.within.point(at) < 0 {
		return ctx.Err()
	}
	if a.total != nil {
		s := &subject{ctx: ctx, trace: trace, i: i, err: ctx.Err()}
		a.full = !a.total.add(s, at, a.within, a.limits) || a.full
		return s.err
	}
	by, of := a.valuesOf(trace, i)
	a.Exemplar(trace, i, at)
	a.Add(at, 1, by, of)
	return ctx.Err()
}

// Add adds n spans that have the same values of the metric's By and Of.
func (a *Aggregator) Add(at time.Time, n int, by []Value, of Value) {
	point := a.within.point(at)
	s, v, ok := a.place(by, of)
	if !ok || point < 0 {
		return
	}
	m := a.metric
	switch m.Name {
	case "min_over_time":
		s.values[point] = least(s.values[point], v)
	case "max_over_time":
		s.values[point] = -least(-s.values[point], -v)
	case "sum_over_time", "avg_over_time":
		if math.IsNaN(s.values[point]) {
			s.values[point] = 0
		}
		s.values[point] += v * float64(n)
		s.counts[point] += float64(n)
	default:
		s.values[point] += float64(n)
	}
}

// least returns the lesser of two numbers, or b if a is NaN.
func least(a, b float64) float64 {
	if math.IsNaN(a) || b < a {
		return b
	}
	return a
}

// place returns the series of a span and the number that it adds to it, if there is one.
func (a *Aggregator) place(by []Value, of Value) (s *accumulator, v float64, ok bool) {
	m := a.metric
	if m.Of != nil {
		if of.Type == TypeList && len(of.List) > 0 {
			of = of.List[0]
		}
		switch v = of.Number(); {
		case m.Name == "quantile_over_time" || m.Name == "histogram_over_time":
			b := m.bucket(of)
			if len(b) == 0 {
				return nil, 0, false
			}
			by = append(slices.Clip(by), b...)
		case math.IsNaN(v):
			return nil, 0, false
		case *m.Of == Field{Intrinsic, Duration}:
			v /= float64(time.Second)
		}
	}
	s = a.at(by)
	return s, v, s != nil
}

// bucket returns the bucket of a histogram for a value, which is the next power of two, of a
// duration in seconds; none for a fraction, or a value below 2, as in Tempo.
func (m *Metric) bucket(v Value) []Value {
	if m.Name != "quantile_over_time" && m.Name != "histogram_over_time" || v.Int < 2 {
		return nil
	}
	power := math.Ldexp(1, bits.Len64(uint64(v.Int-1)))
	switch v.Type {
	case TypeInt:
		return []Value{floatValue(power)}
	case TypeDuration:
		return []Value{floatValue(power / float64(time.Second))}
	}
	return nil
}

// at returns the series of values, nil if there are too many.
func (a *Aggregator) at(by []Value) *accumulator {
	var name strings.Builder
	for _, v := range by {
		name.WriteString(v.key())
		name.WriteByte(0)
	}
	s, ok := a.series[name.String()]
	if ok {
		return s
	}
	points := a.within.Points()
	if len(a.series) >= a.limits.Series || (len(a.series)+1)*points > a.limits.Points {
		a.full = true
		return nil
	}
	s = &accumulator{labels: a.metric.labels(by), values: make([]float64, points), counts: make([]float64, points)}
	switch a.metric.Name {
	case "min_over_time", "max_over_time", "sum_over_time", "avg_over_time":
		for i := range s.values {
			s.values[i] = math.NaN()
		}
	}
	a.series[name.String()] = s
	return s
}

// labels returns the labels of a series. A value that spans do not have is no label; without
// any, the first one is nil.
func (m *Metric) labels(by []Value) (labels []Label) {
	for i, v := range by {
		switch {
		case i >= len(m.By):
			labels = append(labels, Label{"__bucket", v})
		case v.Type != TypeNil:
			labels = append(labels, Label{m.By[i].String(), v})
		}
	}
	switch {
	case len(m.By) == 0 && len(by) == 0:
		return []Label{{"__name__", textValue(m.Name)}}
	case len(labels) == 0:
		return []Label{{m.By[0].String(), Value{}}}
	}
	return labels
}

// Series returns the series of all spans, sorted by their labels.
func (a *Aggregator) Series() []Series {
	var list []Series
	if a.total != nil {
		list = a.total.series()
	}
	for _, s := range a.series {
		for i := range s.values {
			switch a.metric.Name {
			case "avg_over_time":
				s.values[i] /= s.counts[i]
			case "rate":
				s.values[i] *= 1 / a.within.Step.Seconds() // in this way, as Tempo, to the last bit
			}
		}
		for i, x := range s.exemplars {
			if math.IsNaN(x.Value) {
				s.exemplars[i].Value = s.values[a.within.point(x.Time)]
			}
		}
		list = append(list, Series{s.labels, s.values, s.exemplars})
	}
	if a.metric.Name == "quantile_over_time" {
		list = a.metric.quantile(list)
	}
	slices.SortFunc(list, byLabels)
	for _, s := range a.metric.second {
		list = s.apply(list, a.within)
	}
	return slices.DeleteFunc(list, func(s Series) bool {
		return !slices.ContainsFunc(s.Values, func(v float64) bool { return !math.IsNaN(v) })
	})
}

// byLabels orders series by their labels.
func byLabels(a, b Series) int {
	return slices.CompareFunc(a.Labels, b.Labels, func(a, b Label) int {
		order := cmp.Compare(a.Value.Type, b.Value.Type)
		if order == 0 && a.Value.Type != TypeNil {
			order = compare(a.Value, b.Value)
		}
		return cmp.Or(cmp.Compare(a.Name, b.Name), order)
	})
}

// Wanted returns the number of exemplars that may be added.
func (a *Aggregator) Wanted() int { return max(a.limits.Exemplars-len(a.exemplars), 0) }

// Exemplar adds a span to the series that count it, unless there is one of its trace, or
// there are enough.
func (a *Aggregator) Exemplar(trace *Trace, i int, at time.Time) {
	s := trace.Spans[i]
	if a.Wanted() == 0 || a.exemplars[string(s.GetTraceId())] || a.within.point(at) < 0 || a.total != nil {
		return
	}
	by, of := a.valuesOf(trace, i)
	series, v, ok := a.place(by, of)
	if !ok {
		return
	}
	if a.metric.Of == nil || a.metric.Name == "histogram_over_time" {
		v = math.NaN() // until the series is complete
	} else if a.metric.Name == "quantile_over_time" && *a.metric.Of == (Field{Intrinsic, Duration}) {
		v /= float64(time.Second)
	}
	a.exemplars[string(s.GetTraceId())] = true
	x := Exemplar{Value: v, Time: at}
	for _, f := range append(slices.Clip(a.metric.By), Field{Intrinsic, TraceID}, Field{Intrinsic, SpanID},
		Field{Intrinsic, Name}) {
		if value := trace.Value(f, i); value.Type != TypeNil {
			x.Labels = append(x.Labels, Label{f.String(), value})
		}
	}
	series.exemplars = append(series.exemplars, x)
}

// groupValue returns the value by which Tempo groups: of several events that of the first, and
// no list.
func groupValue(f Field, v Value) Value {
	switch {
	case v.Type == TypeNil && f == Field{Intrinsic, EventName}:
		return textValue("")
	case v.several:
		return v.List[0]
	case v.Type == TypeList:
		return Value{}
	}
	return v
}

// valuesOf returns the values of the metric's By and Of.
func (a *Aggregator) valuesOf(trace *Trace, i int) (by []Value, of Value) {
	by = make([]Value, len(a.metric.By))
	for n, f := range a.metric.By {
		by[n] = groupValue(f, trace.Value(f, i))
	}
	if a.metric.Of != nil {
		of = trace.Value(*a.metric.Of, i)
	}
	return by, of
}
