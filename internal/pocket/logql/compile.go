package logql

// compile turns a syntax tree into a query.
func compile(e *expr) (*Query, error) {
	switch {
	case e.Paren != nil:
		return compile(e.Paren)
	case e.Log != nil:
		return compileStages(e.Log.Selector, e.Log.Stages)
	case e.Metric.Sum != nil:
		return compileSum(e.Metric.Sum)
	default:
		return compileRange(e.Metric.Range)
	}
}

func compileSum(s *sumExpr) (*Query, error) {
	if s.Before != nil && s.After != nil {
		return nil, failAt(s.After.Pos, "sum is grouped twice; write by (...) either before or after the parentheses")
	}
	q, err := compileRange(s.Inner)
	if err != nil {
		return nil, err
	}
	q.Aggregation.Sum = true
	for _, by := range []*grouping{s.Before, s.After} {
		if by != nil {
			q.Aggregation.By = by.Names
		}
	}
	if len(q.Aggregation.By) == 0 && !filtersLabels(s.Inner.Stages) {
		// Nobody asks for a label, so Loki does not parse the lines, and one that
		// is not JSON counts like any other.
		q.Pipeline, err = compilePipeline(withoutJSON(s.Inner.Stages))
	}
	return q, err
}

func compileRange(r *rangeExpr) (*Query, error) {
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
	q, err := compileStages(r.Selector, r.Stages)
	if err != nil {
		return nil, err
	}
	q.Aggregation = &Aggregation{Rate: r.Func == "rate", Range: d}
	return q, nil
}

func compileStages(s *selector, stages []*stage) (*Query, error) {
	selector, err := compileSelector(s)
	if err != nil {
		return nil, err
	}
	pipeline, err := compilePipeline(stages)
	if err != nil {
		return nil, err
	}
	return &Query{Selector: selector, Pipeline: pipeline}, nil
}

func compilePipeline(stages []*stage) (Pipeline, error) {
	p := Pipeline{equal: make(map[string]string)}
	parsed := false
	for _, s := range stages {
		f, err := compileStage(s)
		if err != nil {
			return Pipeline{}, err
		}
		p.stages = append(p.stages, f)
		parsed = parsed || s.JSON
		if s.Filter != nil && !parsed {
			s.Filter.equalities(p.equal)
		}
	}
	return p, nil
}

func compileStage(s *stage) (stageFunc, error) {
	switch {
	case s.Line != nil:
		return compileLine(s.Line)
	case s.JSON:
		return parseJSON, nil
	default:
		return compileOr(s.Filter)
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

// equalities collects the conditions name="value" that hold whenever the filter
// does. Of two for one name the first is taken: both hold.
func (f *orFilter) equalities(found map[string]string) {
	if len(f.Terms) != 1 {
		return
	}
	for _, t := range f.Terms[0].Terms {
		if t.Paren != nil {
			t.Paren.equalities(found)
		} else if c := t.Cond; c.Op == "=" && c.Value.Text != nil {
			text, err := c.Value.Text.text()
			if _, known := found[c.Name]; err == nil && text != "" && !known {
				found[c.Name] = text
			}
		}
		if t.Rest != nil {
			t.Rest.equalities(found)
		}
	}
}
