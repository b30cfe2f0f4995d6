package logql

import (
	"context"
	"math"
	"slices"
	"time"
)

// value is a value that was unwrapped from a line.
type value struct {
	at int64 // nanoseconds since 1970
	v  float64
}

// reducer computes the value of a point from the values in its range, of which there is
// one at least, in order of time.
type reducer func([]value) float64

// reducerOf returns the reducer of a function.
func reducerOf(name string, quantile float64, length time.Duration) reducer {
	switch name {
	case "rate":
		return func(in []value) float64 { return sum(in) / length.Seconds() }
	case "rate_counter":
		return func(in []value) float64 { return counterRate(in, length.Seconds()) }
	case "sum_over_time":
		return sum
	case "avg_over_time":
		return mean
	case "min_over_time":
		return func(in []value) float64 { return best(in, func(a, b float64) bool { return a < b }) }
	case "max_over_time":
		return func(in []value) float64 { return best(in, func(a, b float64) bool { return a > b }) }
	case "stdvar_over_time":
		return variance
	case "stddev_over_time":
		return func(in []value) float64 { return math.Sqrt(variance(in)) }
	case "quantile_over_time":
		return func(in []value) float64 { return quantileOf(in, quantile) }
	case "first_over_time":
		return func(in []value) float64 { return in[0].v }
	default: // "last_over_time": there is no other
		return func(in []value) float64 { return in[len(in)-1].v }
	}
}

func sum(in []value) (total float64) {
	for _, x := range in {
		total += x.v
	}
	return total
}

func mean(in []value) float64 {
	m := 0.0
	for i, x := range in {
		n := float64(i + 1)
		if next := m + (x.v/n - m/n); !math.IsInf(m, 0) || math.IsNaN(x.v) || math.IsInf(x.v, 0) && x.v != m {
			m = next
		}
	}
	return m
}

// best returns the value that is better than all others; NaN is worse than any.
func best(in []value, better func(a, b float64) bool) float64 {
	out := in[0].v
	for _, x := range in[1:] {
		if better(x.v, out) || math.IsNaN(out) {
			out = x.v
		}
	}
	return out
}

// variance is the mean of the squared distances from the mean, by Welford's algorithm.
func variance(in []value) float64 {
	m, squares := 0.0, 0.0
	for i, x := range in {
		d := x.v - m
		m += d / float64(i+1)
		squares += d * (x.v - m)
	}
	return squares / float64(len(in))
}

// quantileOf interpolates between the two values around the quantile.
func quantileOf(in []value, q float64) float64 {
	switch {
	case q < 0:
		return math.Inf(-1)
	case q > 1:
		return math.Inf(1)
	}
	sorted := make([]float64, len(in))
	for i, x := range in {
		sorted[i] = x.v
	}
	slices.Sort(sorted)
	rank := q * float64(len(sorted)-1)
	lower := int(math.Floor(rank))
	upper := min(lower+1, len(sorted)-1)
	weight := rank - math.Floor(rank)
	return sorted[lower]*(1-weight) + sorted[upper]*weight
}

// counterRate returns the increase per second of a counter, which begins anew where it
// falls. Like Loki's, it is extrapolated to the range by seconds where the time between
// the values is in microseconds, so that hardly anything is added.
func counterRate(in []value, length float64) float64 {
	if len(in) < 2 {
		return 0
	}
	first, last := in[0], in[len(in)-1]
	increase := last.v - first.v
	before := 0.0
	for _, x := range in {
		if x.v < before {
			increase += before
		}
		before = x.v
	}
	interval := float64(last.at-first.at) / 1000
	between := interval / float64(len(in)-1)
	start := length
	if increase > 0 && first.v >= 0 {
		start = min(start, interval*(first.v/increase))
	}
	if start >= between*1.1 {
		start = between / 2
	}
	return increase * ((interval + start) / interval) / length
}

// reduced returns the points of a series of values.
func (a *Aggregator) reduced(ctx context.Context, values []value) ([]Point, error) {
	var points []Point
	from, to := 0, 0
	for i := range a.points {
		end := a.start + int64(i)*a.step
		for to < len(values) && values[to].at <= end {
			to++
		}
		for from < to && values[from].at <= end-a.span {
			from++
		}
		if from == to {
			continue
		}
		if a.work += to - from; a.work > MaxWork {
			return nil, WorkLimitError{}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		points = append(points, Point{Time: a.at(i), Value: a.query.reduce(values[from:to])})
	}
	return points, nil
}
