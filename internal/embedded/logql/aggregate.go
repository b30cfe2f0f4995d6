package logql

import (
	"context"
	"maps"
	"slices"
	"time"
)

// Point is a value at a time.
type Point struct {
	Time  time.Time
	Value float64
}

// Series is a set of labels with its points in order of time. A point whose
// range has no line is left out.
type Series struct {
	Metric map[string]string
	Points []Point
}

// Aggregator computes the series of a range aggregation from the lines that pass its
// pipeline. For functions that count, it keeps two numbers per series and step, however
// many lines there are; for others, every value.
type Aggregator struct {
	query             *Range
	start, step, span int64 // nanoseconds
	points            int
	kept              int // changes, or values, of all series
	work              int // values of the ranges of all points
	series            map[string]*partial
}

// partial is one series.
type partial struct {
	metric map[string]string
	// changes[i] is the difference of the number of lines in range, and of their bytes,
	// between the step first+i-1 and the step first+i.
	changes []change
	first   int
	values  []value
}

type change struct{ lines, bytes int64 }

// Aggregate returns an Aggregator without lines.
func (r *Range) Aggregate(s Steps) (*Aggregator, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return &Aggregator{
		query: r, start: s.Start.Add(-r.Offset).UnixNano(), step: int64(s.Step), span: int64(r.Length),
		points: int(s.End.Sub(s.Start)/s.Step) + 1, series: make(map[string]*partial),
	}, nil
}

// Lines returns the time [from, to) of the lines that count.
func (r *Range) Lines(s Steps) (from, to time.Time) {
	return s.Start.Add(time.Nanosecond - r.Length - r.Offset), s.End.Add(time.Nanosecond - r.Offset)
}

// Add adds a line, by its time in nanoseconds since 1970. Lines of functions that do not
// count come in order of time. Its error, a *PipelineError or a PointLimitError, ends the query.
func (a *Aggregator) Add(at int64, l Output) error {
	if kind := l.Parsed[LabelError]; kind != "" && !l.tolerated {
		return &PipelineError{Kind: kind, Labels: l.All()}
	}
	if a.query.reduce == nil {
		return a.add(l.Labels, []int64{at}, []int{len(l.Text)})
	}
	s := a.seriesOf(l.Labels)
	if a.kept++; a.kept > MaxValues {
		return ValueLimitError{}
	}
	s.values = append(s.values, value{at, l.Value})
	return nil
}

// AddLines adds lines of a stream that have the same values of the metadata by which
// the query groups (see [Range.Counted]): by their times, in nanoseconds since 1970, and
// the lengths of their texts. Its error ends the query.
func (a *Aggregator) AddLines(stream, metadata map[string]string, times []int64, sizes []int) error {
	return a.add(withMetadata(stream, metadata), times, sizes)
}

func (a *Aggregator) add(l Labels, times []int64, sizes []int) error {
	var s *partial
	for i, at := range times {
		// The line is in range of the points in [at, at+span).
		first := int(min(max(ceilDiv(at-a.start, a.step), 0), int64(a.points)))
		after := int(min(ceilDiv(at+a.span-a.start, a.step), int64(a.points)))
		if first >= after {
			continue
		}
		if s == nil {
			s = a.seriesOf(l)
		}
		if err := a.grow(s, first, after); err != nil {
			return err
		}
		size := int64(sizes[i])
		s.changes[first-s.first].lines++
		s.changes[first-s.first].bytes += size
		s.changes[after-s.first].lines--
		s.changes[after-s.first].bytes -= size
	}
	return nil
}

// grow makes room for changes from one step to another.
func (a *Aggregator) grow(s *partial, first, last int) error {
	if s.changes == nil {
		s.first = first
	}
	from, to := min(first, s.first), max(last+1, s.first+len(s.changes))
	if more := to - from - len(s.changes); more > 0 {
		if a.kept += more; a.kept > MaxTotal {
			return PointLimitError{}
		}
		grown := make([]change, to-from, min(2*(to-from), a.points+1))
		copy(grown[s.first-from:], s.changes)
		if from == s.first && to-from <= cap(s.changes) {
			grown = s.changes[:to-from]
		}
		s.changes, s.first = grown, from
	}
	return nil
}

// seriesOf returns the series to which a line belongs. It creates the series if needed.
func (a *Aggregator) seriesOf(l Labels) *partial {
	metric := a.query.metric(l)
	key := FormatLabels(metric)
	s, ok := a.series[key]
	if !ok {
		s = &partial{metric: metric}
		a.series[key] = s
	}
	return s
}

// metric returns the labels of the series of a line. Labels without a value are left
// out.
func (r *Range) metric(l Labels) map[string]string {
	if g := r.grouping; g != nil && !g.without {
		by := make(map[string]string, len(g.names))
		for _, name := range g.names {
			if value, ok := l.get(name); ok && value != "" {
				by[name] = value
			}
		}
		return by
	}
	all := l.All()
	maps.DeleteFunc(all, func(name, value string) bool {
		return value == "" || name == r.unwrapped || r.grouping != nil && slices.Contains(r.grouping.names, name)
	})
	return all
}

// Series returns the series, in order of labels. Its error is that of ctx, or a
// PointLimitError.
func (a *Aggregator) Series(ctx context.Context) ([]Series, error) {
	if a.query.absent != nil {
		return a.absent(), nil
	}
	found := make([]Series, 0, len(a.series))
	total := 0
	for _, key := range slices.Sorted(maps.Keys(a.series)) {
		s := a.series[key]
		points := a.counts(s)
		if a.query.reduce != nil {
			var err error
			if points, err = a.reduced(ctx, s.values); err != nil {
				return nil, err
			}
		}
		if total += len(points); total > MaxTotal {
			return nil, PointLimitError{}
		}
		if len(points) > 0 {
			found = append(found, Series{Metric: s.metric, Points: points})
		}
	}
	return found, nil
}

// at returns the time of a point.
func (a *Aggregator) at(i int) time.Time {
	return time.Unix(0, a.start+int64(i)*a.step).Add(a.query.Offset)
}

func (a *Aggregator) counts(s *partial) []Point {
	var points []Point
	var in change // lines in range
	for i, c := range s.changes {
		in.lines += c.lines
		in.bytes += c.bytes
		if in.lines == 0 {
			continue
		}
		value := float64(in.lines)
		if a.query.Bytes {
			value = float64(in.bytes)
		}
		if a.query.perSecond {
			value /= a.query.Length.Seconds()
		}
		points = append(points, Point{Time: a.at(s.first + i), Value: value})
	}
	return points
}

// absent returns one series with a point where there is no line.
func (a *Aggregator) absent() []Series {
	present := map[int64]bool{}
	for _, s := range a.series {
		for _, p := range a.counts(s) {
			present[p.Time.UnixNano()] = true
		}
	}
	var points []Point
	for i := range a.points {
		if at := a.at(i); !present[at.UnixNano()] {
			points = append(points, Point{Time: at, Value: 1})
		}
	}
	if points == nil {
		return nil
	}
	return []Series{{Metric: a.query.absent, Points: points}}
}

// ceilDiv returns a/b rounded up, for b > 0.
func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b > 0 {
		q++
	}
	return q
}
