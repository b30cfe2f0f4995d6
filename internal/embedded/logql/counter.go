package logql

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Bounds of the answer to a metric query: the first two are those of Loki.
const (
	MaxPoints = 11_000 // steps between start and end
	MaxSeries = 500
	MaxTotal  = 500_000 // points of all series: some 16 MB of JSON
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

// PipelineError reports a line that a metric query cannot count, because a stage failed
// on it. Loki, too, does not guess whether such a line counts.
type PipelineError struct {
	Kind   string // value of LabelError
	Labels map[string]string
}

func (e *PipelineError) Error() string {
	return fmt.Sprintf("pipeline error: '%s' for series: '%s'.\n"+
		"Use a label filter to intentionally skip this error. (e.g | __error__!=\"%s\").\n"+
		"To skip all potential errors you can match empty errors. (e.g | __error__=\"\")", e.Kind, FormatLabels(e.Labels), e.Kind)
}

// SeriesLimitError reports a metric query whose result has more than MaxSeries series.
type SeriesLimitError struct{}

func (SeriesLimitError) Error() string {
	return fmt.Sprintf("maximum number of series (%d) reached for a single query; add up series with sum by (...), "+
		"choose fewer streams or a shorter time", MaxSeries)
}

// PointLimitError reports a metric query whose result may have more than MaxTotal points.
type PointLimitError struct{}

func (PointLimitError) Error() string {
	return fmt.Sprintf("the series of the answer may have more than %d points together; increase the step, "+
		"or add up series with sum by (...)", MaxTotal)
}

// Counter evaluates a metric query from the lines that pass its pipeline, in any order.
// It keeps two numbers per series and step, however many lines there are.
type Counter struct {
	query             *Aggregation
	start, step, span int64 // nanoseconds
	points            int
	series            map[string]*counts
}

// counts is one series. changes[i] is the difference of the number of lines in range,
// and of their bytes, between step i-1 and step i.
type counts struct {
	metric  map[string]string
	changes []change
}

type change struct{ lines, bytes int64 }

// NewCounter returns a Counter for points at start, start+step and so on up to end. An
// instant query has start equal to end. The step is at least a millisecond, the
// resolution of Loki's responses, and there may be at most MaxPoints+1 steps.
func (a *Aggregation) NewCounter(start, end time.Time, step time.Duration) (*Counter, error) {
	switch {
	case end.Before(start):
		return nil, fmt.Errorf("end timestamp must not be before start time")
	case step < time.Millisecond:
		return nil, fmt.Errorf("the step %v is too short; the shortest is 1ms", step)
	case end.Sub(start)/step > MaxPoints+1: // one more, for a start and an end that were moved to multiples of step
		return nil, fmt.Errorf("exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter")
	}
	return &Counter{
		query: a, start: start.UnixNano(), step: int64(step), span: int64(a.Range),
		points: int(end.Sub(start)/step) + 1, series: make(map[string]*counts),
	}, nil
}

// Add counts a line with the length of its text. Its error, a *PipelineError, a
// SeriesLimitError or a PointLimitError, ends the query.
func (c *Counter) Add(at time.Time, size int, l Labels) error {
	if kind := l.Parsed[LabelError]; kind != "" {
		return &PipelineError{Kind: kind, Labels: l.All()}
	}
	return c.add(l, []int64{at.UnixNano()}, []int{size})
}

// AddLines counts lines of a stream that have the same values of the metadata by which
// the query groups (see [Query.Counted]): by their times, in nanoseconds since 1970, and
// the lengths of their texts. Its error ends the query.
func (c *Counter) AddLines(stream, metadata map[string]string, times []int64, sizes []int) error {
	return c.add(withMetadata(stream, metadata), times, sizes)
}

func (c *Counter) add(l Labels, times []int64, sizes []int) error {
	var s *counts
	for i, at := range times {
		// The line is in range of the points in [at, at+span).
		first := max(ceilDiv(at-c.start, c.step), 0)
		after := min(ceilDiv(at+c.span-c.start, c.step), int64(c.points))
		if first >= after {
			continue
		}
		if s == nil {
			var err error
			if s, err = c.seriesOf(l); err != nil {
				return err
			}
		}
		s.changes[first].lines++
		s.changes[first].bytes += int64(sizes[i])
		s.changes[after].lines--
		s.changes[after].bytes -= int64(sizes[i])
	}
	return nil
}

// seriesOf returns the series in which a line counts. It creates the series if needed.
func (c *Counter) seriesOf(l Labels) (*counts, error) {
	metric := c.metric(l)
	key := FormatLabels(metric)
	s, ok := c.series[key]
	if !ok {
		if len(c.series) == MaxSeries {
			return nil, SeriesLimitError{}
		}
		if (len(c.series)+1)*c.points > MaxTotal {
			return nil, PointLimitError{}
		}
		s = &counts{metric: metric, changes: make([]change, c.points+1)}
		c.series[key] = s
	}
	return s, nil
}

// metric returns the labels of the series of a line. Labels without a value are left
// out.
func (c *Counter) metric(l Labels) map[string]string {
	if !c.query.Sum {
		all := l.All()
		maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
		return all
	}
	by := make(map[string]string, len(c.query.By))
	for _, name := range c.query.By {
		if value, ok := l.get(name); ok && value != "" {
			by[name] = value
		}
	}
	return by
}

// Series returns the counted series, in order of labels.
func (c *Counter) Series() []Series {
	found := make([]Series, 0, len(c.series))
	for _, key := range slices.Sorted(maps.Keys(c.series)) {
		s := c.series[key]
		points := c.pointsOf(s)
		found = append(found, Series{Metric: s.metric, Points: points})
	}
	return found
}

func (c *Counter) pointsOf(s *counts) []Point {
	var points []Point
	var in change // lines in range
	for i := range c.points {
		in.lines += s.changes[i].lines
		in.bytes += s.changes[i].bytes
		if in.lines == 0 {
			continue
		}
		value := float64(in.lines)
		if c.query.Bytes {
			value = float64(in.bytes)
		}
		if c.query.Rate {
			value /= c.query.Range.Seconds()
		}
		points = append(points, Point{Time: time.Unix(0, c.start+int64(i)*c.step), Value: value})
	}
	return points
}

// ceilDiv returns a/b rounded up, for b > 0.
func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b > 0 {
		q++
	}
	return q
}

// FormatLabels writes labels as Loki does, in order of name: {a="b", c="d"}.
func FormatLabels(l map[string]string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(l)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s=%q", name, l[name])
	}
	b.WriteByte('}')
	return b.String()
}
