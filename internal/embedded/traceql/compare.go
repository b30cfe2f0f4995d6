package traceql

import (
	"slices"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
)

// totals counts the values of all attributes of spans, for compare(…): of the selection and
// of the baseline.
type totals struct {
	comparison *comparison
	sides      [2]map[Field]map[string]*tally // baseline, selection
	n          int                            // of tallies
}

// tally counts one value.
type tally struct {
	value  Value
	counts []float64 // of each point
	total  float64
}

func newTotals(c *comparison) *totals {
	return &totals{comparison: c, sides: [2]map[Field]map[string]*tally{{}, {}}}
}

// add counts a span. It reports false if there are too many values.
func (t *totals) add(s *subject, at time.Time, within Range, limits Limits) (all bool) {
	c, side, all := t.comparison, 0, true
	if c.to == 0 || at.UnixNano() > c.from && at.UnixNano() <= c.to {
		if c.where.eval(s).isTrue() {
			side = 1
		}
	}
	point := within.point(at)
	s.trace.attributes(s.i, func(f Field, v Value) {
		values := t.sides[side][f]
		if values == nil {
			values = map[string]*tally{}
			t.sides[side][f] = values
		}
		counted := values[v.key()]
		if counted == nil {
			if t.n++; t.n > limits.Points/within.Points() {
				all = false
				return
			}
			counted = &tally{value: v, counts: make([]float64, within.Points())}
			values[v.key()] = counted
		}
		counted.counts[point]++
		counted.total++
	})
	return all
}

// series returns the most frequent values of each attribute on either side, and the number
// of spans that have the attribute.
func (t *totals) series() (list []Series) {
	for side, name := range []string{"baseline", "selection"} {
		for f, values := range t.sides[side] {
			var order []*tally
			sum := make([]float64, 0)
			for _, v := range values {
				order = append(order, v)
				sum = append(sum, make([]float64, len(v.counts)-len(sum))...)
				for i, n := range v.counts {
					sum[i] += n
				}
			}
			slices.SortFunc(order, func(a, b *tally) int {
				if a.total != b.total {
					c, _ := ordering(b.total, a.total)
					return c
				}
				return byLabels(Series{Labels: []Label{{"", a.value}}}, Series{Labels: []Label{{"", b.value}}})
			})
			for _, v := range order[:min(len(order), t.comparison.top)] {
				list = append(list, metaSeries(name, f, v.value, v.counts))
			}
			list = append(list, metaSeries(name+"_total", f, Value{}, sum))
		}
	}
	return list
}

func metaSeries(kind string, f Field, v Value, counts []float64) Series {
	return Series{Labels: []Label{{"__meta_type", textValue(kind)}, {f.String(), v}}, Values: counts}
}

// attributes calls yield with the attributes of a span, and with those intrinsics that
// several spans may share.
func (t *Trace) attributes(i int, yield func(Field, Value)) {
	for _, name := range []string{Name, Status, StatusMessage, Kind, RootName, RootServiceName, ScopeName, ScopeVersion} {
		yield(Field{Intrinsic, name}, t.intrinsic(name, i))
	}
	s := t.Spans[i]
	each := func(scope Scope, kvs []*commonpb.KeyValue) {
		seen := map[string]bool{}
		for _, kv := range kvs {
			if v := fromAny(kv.GetValue()); v.Type != TypeNil && !seen[kv.GetKey()] {
				if seen[kv.GetKey()] = true; v.Type == TypeList {
					v = Value{} // as in Tempo
				}
				yield(Field{scope, kv.GetKey()}, v)
			}
		}
	}
	each(SpanScope, s.GetAttributes())
	each(ResourceScope, s.Resource.GetAttributes())
	each(InstrumentationScope, s.Scope.GetAttributes())
}
