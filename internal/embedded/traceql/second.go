package traceql

import (
	"math"
	"slices"
)

// apply returns what a stage after a metric leaves of series, which are sorted by labels.
func (s second) apply(list []Series, within Range) []Series {
	if s.op != "topk" && s.op != "bottomk" {
		for i := range list {
			for n, v := range list[i].Values {
				if c, ok := ordering(v, s.n); !ok || !ordered(s.op, c) {
					list[i].Values[n] = math.NaN()
				}
			}
		}
		return list
	}
	if len(list) <= int(s.n) {
		return list
	}
	kept := make([]Series, len(list))
	for i := range list {
		kept[i] = list[i]
		kept[i].Values = slices.Repeat([]float64{math.NaN()}, within.Points())
	}
	for point := range within.Points() {
		var order []int
		for i := range list {
			if !math.IsNaN(list[i].Values[point]) {
				order = append(order, i)
			}
		}
		slices.SortStableFunc(order, func(a, b int) int {
			c, _ := ordering(list[a].Values[point], list[b].Values[point])
			if s.op == "topk" {
				return -c
			}
			if c == 0 { // of equal ones, Tempo drops the first by name
				return b - a
			}
			return c
		})
		for _, i := range order[:min(len(order), int(s.n))] {
			kept[i].Values[point] = list[i].Values[point]
		}
	}
	return kept
}

// ordering compares two numbers, unless one is NaN.
func ordering(a, b float64) (c int, ok bool) {
	switch {
	case a < b:
		return -1, true
	case a > b:
		return 1, true
	}
	return 0, a == b
}

// quantile returns series of quantiles, made of series of the buckets of histograms.
func (m *Metric) quantile(buckets []Series) (list []Series) {
	groups := map[string][]Series{} // by the labels without the bucket
	var names []string
	for _, s := range buckets {
		name := ""
		for _, l := range s.Labels[:len(s.Labels)-1] {
			name += l.Name + "\x00" + l.Value.key() + "\x00"
		}
		if groups[name] == nil {
			names = append(names, name)
		}
		groups[name] = append(groups[name], s)
	}
	for _, name := range names {
		group := groups[name]
		bound := func(s Series) float64 { return s.Labels[len(s.Labels)-1].Value.Float }
		slices.SortFunc(group, func(a, b Series) int { c, _ := ordering(bound(a), bound(b)); return c })
		var exemplars []Exemplar
		for _, s := range group {
			exemplars = append(exemplars, s.Exemplars...)
		}
		for n, q := range m.quantiles {
			labels := append(slices.Clone(group[0].Labels[:len(group[0].Labels)-1]), Label{"p", floatValue(q)})
			values := make([]float64, len(group[0].Values))
			for point := range values {
				var bounds, counts []float64
				for _, s := range group {
					if s.Values[point] > 0 {
						bounds, counts = append(bounds, bound(s)), append(counts, s.Values[point])
					}
				}
				values[point] = quantile(q, bounds, counts)
			}
			s := Series{Labels: labels, Values: values}
			if n == 0 {
				s.Exemplars = exemplars
			}
			list = append(list, s)
		}
	}
	return list
}

// quantile returns a quantile of values, of which a count is in each bucket up to a bound.
// Between the bounds of a bucket it interpolates exponentially: the values that it must
// include, rounded up, are spread evenly over the logarithm. It is 0 without values.
func quantile(q float64, bounds, counts []float64) float64 {
	total := 0.0
	for _, n := range counts {
		total += n
	}
	if total == 0 {
		return 0
	}
	wanted := max(math.Ceil(q*total), 1)
	for i, n := range counts {
		switch {
		case n == wanted:
			return bounds[i]
		case n > wanted:
			high := math.Log2(bounds[i])
			low := high - 1
			if i > 0 {
				low = math.Log2(bounds[i-1])
			}
			return math.Pow(2, low+(high-low)*wanted/n)
		}
		wanted -= n
	}
	return bounds[len(bounds)-1]
}
