package logql

import (
	"strings"

	"dicelab/internal/embedded/pattern"
)

// compiler compiles the syntax tree of one query.
type compiler struct {
	patterns pattern.Set // its regular expressions
}

func (c *compiler) compile(e *expr) (*Query, error) {
	switch {
	case e.Paren != nil:
		return c.compile(e.Paren)
	case e.Log != nil:
		return c.compileStages(e.Log.Selector, e.Log.Stages)
	case e.Metric.Sum != nil:
		return c.compileSum(e.Metric.Sum)
	default:
		return c.compileRange(e.Metric.Range)
	}
}

func (c *compiler) compileSum(s *sumExpr) (*Query, error) {
	if s.Before != nil && s.After != nil {
		return nil, failAt(s.After.Pos, "sum is grouped twice; write by (...) either before or after the parentheses")
	}
	inner := *s.Inner
	var names []string
	for _, by := range []*grouping{s.Before, s.After} {
		if by != nil {
			names = by.Names
		}
	}
	if len(names) == 0 && !filtersLabels(inner.Stages) {
		// The query needs no label, so Loki does not parse the lines, and a line that
		// is not JSON counts like any other.
		inner.Stages = withoutJSON(inner.Stages)
	}
	q, err := c.compileRange(&inner)
	if err != nil {
		return nil, err
	}
	q.Aggregation.Sum, q.Aggregation.By = true, names
	return q, nil
}

func (c *compiler) compileRange(r *rangeExpr) (*Query, error) {
	window := r.Early
	switch {
	case window == nil && r.Late == nil:
		return nil, failAt(r.Pos, "%s needs a range, such as [5m]", r.Func)
	case window != nil && r.Late != nil:
		return nil, failAt(r.Late.Pos, "%s has two ranges", r.Func)
	case window == nil:
		window = r.Late
	}
	d, err := parseDuration(window.Text)
	if err != nil {
		return nil, failAt(window.Pos, "%v", err)
	}
	if d <= 0 || d > MaxRange {
		return nil, failAt(window.Pos, "the range must be longer than zero and at most a year")
	}
	q, err := c.compileStages(r.Selector, r.Stages)
	if err != nil {
		return nil, err
	}
	q.Aggregation = &Aggregation{Rate: strings.HasSuffix(r.Func, "rate"), Bytes: strings.HasPrefix(r.Func, "bytes"), Range: d}
	return q, nil
}

func (c *compiler) compileStages(s *selector, stages []*stage) (*Query, error) {
	selector, err := c.compileSelector(s)
	if err != nil {
		return nil, err
	}
	pipeline, err := c.compilePipeline(stages)
	if err != nil {
		return nil, err
	}
	return &Query{Selector: selector, Pipeline: pipeline}, nil
}

func (c *compiler) compilePipeline(stages []*stage) (Pipeline, error) {
	if len(stages) > MaxStages {
		return Pipeline{}, failAt(stages[MaxStages].Pos, "the query has %d stages: at most %d are allowed", len(stages), MaxStages)
	}
	p := Pipeline{complete: true}
	parsed := false
	for _, s := range stages {
		f, err := c.compileStage(s)
		if err != nil {
			return Pipeline{}, err
		}
		p.stages = append(p.stages, f)
		parsed = parsed || s.JSON
		p.require(s, parsed)
	}
	return p, nil
}

func (c *compiler) compileStage(s *stage) (stageFunc, error) {
	switch {
	case s.Line != nil:
		return c.compileLine(s.Line)
	case s.JSON:
		return parseJSON, nil
	default:
		return c.compileOr(s.Filter)
	}
}

func filtersLabels(stages []*stage) bool {
	for _, s := range stages {
		if s.Filter != nil {
			return true
		}
	}
	return false
}

func withoutJSON(stages []*stage) []*stage {
	var kept []*stage
	for _, s := range stages {
		if !s.JSON {
			kept = append(kept, s)
		}
	}
	return kept
}
