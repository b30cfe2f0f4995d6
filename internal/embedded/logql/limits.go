package logql

import (
	"fmt"
	"time"
)

// Bounds of a metric query. The first two are those of Loki.
const (
	MaxPoints = 11_000     // steps between start and end
	MaxSeries = 500        // of the answer
	MaxTotal  = 500_000    // points of all series of a range aggregation, and of the answer: some 16 MB of JSON
	MaxValues = 1_000_000  // that are unwrapped, of a range aggregation: 16 MB
	MaxWork   = 50_000_000 // values of all ranges together
)

// ValueLimitError reports a query that unwraps more than MaxValues values.
type ValueLimitError struct{}

func (ValueLimitError) Error() string {
	return fmt.Sprintf("the query unwraps more than %d values; choose fewer streams or a shorter time", MaxValues)
}

// WorkLimitError reports a query whose ranges have more than MaxWork values together.
type WorkLimitError struct{}

func (WorkLimitError) Error() string {
	return fmt.Sprintf("the ranges of all points have more than %d values together; choose a longer step or a shorter range", MaxWork)
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

// Steps are the times of the points of a query: Start, Start+Step and so on up to End. An
// instant query has one.
type Steps struct {
	Start, End time.Time
	Step       time.Duration // whole milliseconds
	Instant    bool
}

// check returns the error of steps that are too many or too short. One more than
// MaxPoints is allowed, for a start and an end that were moved to multiples of the step.
func (s Steps) check() error {
	switch {
	case s.End.Before(s.Start):
		return fmt.Errorf("end timestamp must not be before start time")
	case s.Step < time.Millisecond:
		return fmt.Errorf("the step %v is too short; the shortest is 1ms", s.Step)
	case s.End.Sub(s.Start)/s.Step > MaxPoints+1:
		return fmt.Errorf("exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter")
	}
	return nil
}
