package traceql

import (
	"slices"
	"time"
)

// maxBy is the largest number of fields by which a metric is grouped, as in Tempo.
const maxBy = 5

// Metric describes how a query for metrics computes series of the spans that it finds.
type Metric struct {
	Name string  // of the function
	By   []Field // one series for each combination of values; none: one for all
	Of   *Field  // what is measured, nil if spans are counted

	quantiles []float64
	compare   *comparison
	second    []second
	at        int // place in the query
}

// comparison is compare(…): spans that match are the selection, others the baseline.
type comparison struct {
	where    expr
	top      int
	from, to int64 // bounds of the selection, nanoseconds since 1970; 0 and 0 for none
}

// second is a stage that follows a metric: topk, bottomk, or a comparison of each value.
type second struct {
	op string
	n  float64
}

// metricNames are the names of the functions of metrics.
func metricNames() []string {
	return []string{"rate", "count_over_time", "min_over_time", "max_over_time", "avg_over_time", "sum_over_time",
		"quantile_over_time", "histogram_over_time", "compare"}
}

// Counts reports whether the metric counts spans: it needs nothing of them but By.
func (m *Metric) Counts() bool { return m.Name == "rate" || m.Name == "count_over_time" }

// fields returns the fields that the metric needs.
func (m *Metric) fields() []Field {
	if m.Of != nil {
		return append(slices.Clip(m.By), *m.Of)
	}
	return m.By
}

// metric parses the function of a metric.
func (p *parser) metric() (err error) {
	t := p.take()
	m := &Metric{Name: t.text, at: t.at}
	if err := p.expect("("); err != nil {
		return err
	}
	switch m.Name {
	case "rate", "count_over_time":
	case "compare":
		m.compare, err = p.comparison()
	default:
		var f Field
		if f, err = p.field(); err != nil {
			return err
		}
		m.Of = &f
		for err == nil && m.Name == "quantile_over_time" && (len(m.quantiles) == 0 || p.is(",")) {
			if err = p.expect(","); err != nil {
				return err
			}
			var v Value
			at := p.peek()
			if v, err = p.number(); err == nil && (v.Number() < 0 || v.Number() > 1 || v.Type == TypeDuration) {
				return errorAt(p.text, at.at, "a quantile is a number from 0 to 1, such as .99, not %s", v)
			}
			m.quantiles = append(m.quantiles, v.Number())
		}
	}
	if err != nil {
		return err
	}
	if err := p.expect(")"); err != nil {
		return err
	}
	if by := p.peek(); m.compare == nil && p.accept("by") {
		if m.By, err = p.fieldList(); err != nil {
			return err
		}
		most := maxBy
		if m.Of != nil && (m.Name == "quantile_over_time" || m.Name == "histogram_over_time" || m.Name == "avg_over_time") {
			most--
		}
		if len(m.By) > most {
			return errorAt(p.text, by.at, "%s can be grouped by %d fields at most, as in Tempo", m.Name, most)
		}
	}
	p.query.Metric = m
	return nil
}

// comparison parses what is in the parentheses of compare.
func (p *parser) comparison() (*comparison, error) {
	f, err := p.braces()
	if err != nil {
		return nil, err
	}
	c := &comparison{where: f.where, top: 10}
	var numbers []int64
	at := p.peek().at
	for p.accept(",") {
		v, err := p.number()
		if err != nil {
			return nil, err
		}
		if v.Type != TypeInt || v.Int <= 0 {
			return nil, errorAt(p.text, at, "compare takes whole numbers above 0 after its spanset, not %s", v)
		}
		numbers = append(numbers, v.Int)
	}
	switch len(numbers) {
	case 3:
		if c.from, c.to = numbers[1], numbers[2]; c.to <= c.from {
			return nil, errorAt(p.text, at, "the end of compare's selection must be after its start")
		}
		fallthrough
	case 1:
		c.top = int(min(numbers[0], 1000))
	case 0:
	default:
		return nil, errorAt(p.text, at, "compare takes a spanset, the number of values, and the start and end of the "+
			"selection in nanoseconds since 1970")
	}
	return c, nil
}

// second parses a stage that follows a metric.
func (p *parser) second() error {
	t := p.peek()
	s := second{op: t.text}
	switch {
	case t.kind == operator && slices.Contains([]string{"=", "!=", "<", "<=", ">", ">="}, t.text):
		p.take()
		v, err := p.number()
		if err != nil {
			return err
		}
		if s.n = v.Number(); v.Type == TypeDuration {
			s.n /= float64(time.Second)
		}
	case p.accept("|"):
		f := p.peek()
		if s.op = f.text; !p.accept("topk") && !p.accept("bottomk") {
			return p.unexpected("after a metric come topk(n), bottomk(n), or a comparison such as > 10")
		}
		if err := p.expect("("); err != nil {
			return err
		}
		v, err := p.number()
		if err != nil {
			return err
		}
		if v.Type != TypeInt || v.Int <= 0 {
			return errorAt(p.text, f.at, "%s takes a whole number above 0, not %s", f.text, v)
		}
		s.n = float64(v.Int)
		if err := p.expect(")"); err != nil {
			return err
		}
	default:
		return p.unexpected("after a metric come | topk(n), | bottomk(n), a comparison such as > 10, or with (…)")
	}
	if p.query.Metric.compare != nil {
		return errorAt(p.text, t.at, "%s cannot follow compare(…), as in Tempo", s.op)
	}
	p.query.Metric.second = append(p.query.Metric.second, s)
	return nil
}
