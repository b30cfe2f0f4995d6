package logql

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Range is a range aggregation: it computes series from the lines that pass its selector
// and pipeline.
type Range struct {
	Selector Selector
	Pipeline Pipeline
	// Length is the lookback of each point, and Offset the time by which the lookback
	// lies before the point: a point at t has the lines in (t-Offset-Length, t-Offset].
	Length, Offset time.Duration
	// Bytes is set for functions that add up the bytes of the texts.
	Bytes bool

	perSecond bool              // rate and bytes_rate
	reduce    reducer           // of the values that are unwrapped; nil for functions that count
	absent    map[string]string // labels of absent_over_time; nil for other functions
	grouping  *groupBy          // nil: one series per set of labels
	unwrapped string            // label that is no label of the series
}

// groupBy lists the labels that the series of a group share, or those that they do not
// have (without).
type groupBy struct {
	names   []string
	without bool
}

// parts are the pieces of what a range aggregation reads.
type parts struct {
	selector *selector
	stages   []*stage
	unwrap   *unwrap
	length   time.Duration
	offset   time.Duration
}

// flatten collects the pieces of a range, which may be in parentheses.
func (r *logRange) flatten(p *parts) error {
	if r.Inner != nil {
		if err := r.Inner.flatten(p); err != nil {
			return err
		}
	} else {
		p.selector = r.Selector
	}
	for _, part := range r.Parts {
		switch {
		case part.Range != nil:
			d, err := model.ParseDuration(*part.Range)
			switch {
			case err != nil:
				return failAt(part.Pos, "%v", err)
			case p.length != 0:
				return failAt(part.Pos, "there are two ranges")
			case d <= 0 || time.Duration(d) > MaxRange:
				return failAt(part.Pos, "the range must be longer than zero and at most a year")
			}
			p.length = time.Duration(d)
		case part.Offset != nil:
			d, err := parseDuration(part.Offset.Text)
			switch {
			case err != nil:
				return failAt(part.Pos, "%v", err)
			case p.length == 0:
				return failAt(part.Pos, "offset stands behind the range, as in [5m] offset 1h")
			case d > MaxRange:
				return failAt(part.Pos, "the offset may be at most a year")
			}
			if p.offset = d; part.Offset.Sign != "" {
				p.offset = -d
			}
		default:
			if p.unwrap != nil && part.Stage.Filter == nil {
				return failAt(part.Pos, "only filters on labels may follow unwrap")
			}
			p.unwrap = cmp.Or(p.unwrap, part.Stage.Unwrap)
			p.stages = append(p.stages, part.Stage)
		}
	}
	return nil
}

// compileRange compiles a range aggregation. The grouping is that of a sum around it, or nil.
func (c *compiler) compileRange(e *rangeExpr, sum *groupBy) (node, error) {
	if len(c.metric.Ranges) == MaxRanges {
		return node{}, failAt(e.Pos, "the query has more than %d range aggregations", MaxRanges)
	}
	name := strings.ToLower(e.Func)
	var p parts
	if err := e.Of.flatten(&p); err != nil {
		return node{}, err
	}
	if p.length == 0 {
		return node{}, failAt(e.Pos, "%s needs a range, such as [5m]", name)
	}
	r := &Range{Length: p.length, Offset: p.offset, Bytes: strings.HasPrefix(name, "bytes"), perSecond: strings.HasSuffix(name, "rate"), grouping: sum}
	if e.After != nil {
		r.grouping = e.After.compile()
	}
	if err := r.setFunction(name, e, p.unwrap); err != nil {
		return node{}, err
	}
	var err error
	if r.Selector, err = c.compileSelector(p.selector); err != nil {
		return node{}, err
	}
	if name == "absent_over_time" {
		if r.absent, err = absentLabels(p.selector); err != nil {
			return node{}, err
		}
		r.grouping = &groupBy{}
	}
	if r.Pipeline, err = c.compileRangePipeline(r, p.stages); err != nil {
		return node{}, err
	}
	c.metric.Ranges = append(c.metric.Ranges, r)
	return node{expr: reference(labelRange, len(c.metric.Ranges)-1), positive: r.reduce == nil && !r.Bytes}, nil
}

// setFunction sets what the function computes, and checks what goes with it.
func (r *Range) setFunction(name string, e *rangeExpr, u *unwrap) error {
	counts := slices.Contains([]string{"rate", "count_over_time", "bytes_rate", "bytes_over_time", "absent_over_time"}, name)
	groups := []string{"avg_over_time", "stddev_over_time", "stdvar_over_time", "quantile_over_time", "max_over_time", "min_over_time", "first_over_time", "last_over_time"}
	quantile := 0.0
	switch {
	case e.After != nil && !slices.Contains(groups, name):
		return failAt(e.Pos, "grouping not allowed for %s aggregation", name)
	case u == nil && !counts:
		return failAt(e.Pos, "invalid aggregation %s without unwrap", name)
	case u != nil && counts && name != "rate" && name != "absent_over_time":
		return failAt(e.Pos, "invalid aggregation %s with unwrap", name)
	case name == "quantile_over_time" && e.Param == nil:
		return failAt(e.Pos, "parameter required for operation %s", name)
	case name != "quantile_over_time" && e.Param != nil:
		return failAt(e.Pos, "parameter %s not supported for operation %s", *e.Param, name)
	case e.Param != nil:
		var err error
		if quantile, err = parseFloat(*e.Param); err != nil {
			return failAt(e.Pos, "%v", err)
		}
	}
	if u == nil {
		return nil
	}
	r.unwrapped = u.label()
	if name != "absent_over_time" {
		r.reduce = reducerOf(name, quantile, r.Length)
	}
	return nil
}

// compileRangePipeline compiles the pipeline of a range aggregation, and finds out which
// labels it needs.
func (c *compiler) compileRangePipeline(r *Range, stages []*stage) (Pipeline, error) {
	c.needs = &needs{}
	if !r.Bytes {
		stages = withoutFormats(stages)
	}
	patterns := c.patterns
	p, err := c.compilePipeline(stages)
	if err != nil {
		return p, err
	}
	g := r.grouping
	if g == nil || g.without {
		*c.needs = needs{all: true}
		return p, nil
	}
	c.needs.addNames(g.names...)
	if r.unwrapped != "" {
		c.needs.addNames(r.unwrapped)
	}
	if len(c.needs.names) == 0 {
		c.patterns = patterns // they are compiled again, without the parsers, which Loki does not run then
		return c.compilePipeline(withoutParsers(stages))
	}
	return p, nil
}

// absentLabels returns the labels of the series of absent_over_time: those that the
// selector compares with one text only.
func absentLabels(s *selector) (map[string]string, error) {
	labels := map[string]string{}
	var others []string
	for _, m := range s.Matchers {
		text, err := m.Value.text()
		if err != nil {
			return nil, err
		}
		if _, again := labels[m.Name]; m.Op == "=" && !again {
			labels[m.Name] = text
		} else {
			others = append(others, m.Name)
		}
	}
	for _, name := range others {
		delete(labels, name)
	}
	return labels, nil
}
