package logql

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// Metric is a metric query: range aggregations, and a PromQL expression over their series.
type Metric struct {
	// Ranges are the range aggregations of the query.
	Ranges []*Range
	// divisors are expressions over the ranges, and over the divisors before them. Where
	// one is zero, the quotient is NaN, unlike in PromQL.
	divisors []string
	expr     string
	sorted   bool // the order of a vector is by sort or sort_desc
}

// node is a part of a metric query: a literal number, or an expression in PromQL.
type node struct {
	expr     string
	literal  *float64
	positive bool // its values are never zero
}

func (n node) text() string {
	if n.literal == nil {
		return n.expr
	}
	return "(" + strconv.FormatFloat(*n.literal, 'g', -1, 64) + ")"
}

// The labels by which PromQL expressions refer to ranges and divisors. Their series do not
// have these labels.
const (
	labelRange   = "__range__"
	labelDivisor = "__divisor__"
)

func reference(label string, i int) string { return fmt.Sprintf(`{%s="%d"}`, label, i) }

func (c *compiler) compileMetric(e *expr) (*Metric, error) {
	c.metric = &Metric{}
	n, err := c.compileExpr(e)
	if err != nil {
		return nil, err
	}
	c.metric.expr = n.text()
	for _, text := range append(c.metric.divisors, c.metric.expr) {
		if _, err := parser.NewParser(parser.Options{}).ParseExpr(text); err != nil {
			return nil, failAt(e.Left.Pos, "%s", promQLError(err))
		}
	}
	return c.metric, nil
}

// promQLError returns the message of an error of Prometheus's parser without its place,
// which is one of the rewritten query.
func promQLError(err error) string {
	var list parser.ParseErrors
	if errors.As(err, &list) && len(list) > 0 {
		return list[0].Err.Error()
	}
	return err.Error()
}

func (c *compiler) compileOperand(o *operand) (node, error) {
	switch {
	case o.Paren != nil:
		return c.compileExpr(o.Paren)
	case o.Number != nil:
		value, err := o.Number.value()
		return node{literal: &value}, err
	case o.Vector != nil:
		value, err := o.Vector.value()
		return node{expr: "vector" + node{literal: &value}.text()}, err
	case o.Replace != nil:
		return c.compileReplace(o)
	case o.Sum != nil:
		return c.compileAggregation(o.Sum)
	case o.Range != nil:
		return c.compileRange(o.Range, nil)
	}
	return node{}, failAt(o.Pos, "a query for log lines cannot be a part of a metric query: write for example count_over_time({...}[5m])")
}

func (n *number) value() (float64, error) {
	value, err := parseFloat(n.Sign + n.Text)
	if err != nil {
		return 0, failAt(n.Pos, "%v", err)
	}
	return value, nil
}

// compileReplace compiles label_replace. A dot of its expression does not match a line
// feed, unlike in PromQL.
func (c *compiler) compileReplace(o *operand) (node, error) {
	if len(o.Replace.Args) != 4 {
		return node{}, failAt(o.Pos, `label_replace takes a metric and four strings: label_replace(metric, "to", "replacement", "from", "regex")`)
	}
	inner, err := c.compileExpr(o.Replace.Inner)
	if err != nil {
		return node{}, err
	}
	args := []string{inner.text()}
	for i, q := range o.Replace.Args {
		text, err := q.text()
		if err != nil {
			return node{}, err
		}
		if i == 3 {
			if err := c.patterns.Check(text, maxReplace); err != nil {
				return node{}, failAt(q.Pos, "invalid regex in label_replace: %v", err)
			}
			text = "(?-s:" + text + ")"
		}
		args = append(args, strconv.Quote(text))
	}
	return node{expr: "label_replace(" + strings.Join(args, ", ") + ")"}, nil
}

// maxReplace bounds the expression of label_replace, whose matches cannot be stopped.
const maxReplace = 500

func (c *compiler) compileAggregation(a *aggregation) (node, error) {
	name := strings.ToLower(a.Func)
	g, err := oneGrouping(a)
	if err != nil {
		return node{}, err
	}
	sorts, takes := strings.HasPrefix(name, "sort"), strings.HasSuffix(name, "k")
	switch {
	case name == "approx_topk":
		return node{}, failAt(a.Pos, "the embedded stack does not serve %q, which needs a setting of the real Loki; use topk", name)
	case takes != (a.Param != nil):
		return node{}, failAt(a.Pos, "%s: topk and bottomk take a number before the metric, as in topk(5, ...), others do not", name)
	case sorts && g != nil && len(g.names) > 0:
		return node{}, failAt(a.Pos, "sort and sort_desc doesn't allow grouping by")
	}
	if r := a.Inner.rangeExpr(); r != nil && name == "sum" && sums(r.Func) && r.After == nil {
		return c.compileRange(r, cmp.Or(g, &groupBy{}))
	}
	inner, err := c.compileExpr(a.Inner)
	if err != nil {
		return node{}, err
	}
	text := name
	if g != nil && !sorts {
		text += " " + map[bool]string{false: "by", true: "without"}[g.without] + " " + quotedNames(g.names)
	}
	param := ""
	if takes {
		if n, err := strconv.Atoi(*a.Param); err != nil || n <= 0 {
			return node{}, failAt(a.Pos, "invalid parameter (must be a whole number greater than 0) %s(%s", name, *a.Param)
		}
		param = *a.Param + ", "
	}
	c.metric.sorted = c.metric.sorted || sorts
	return node{expr: text + " (" + param + inner.text() + ")"}, nil
}

func oneGrouping(a *aggregation) (*groupBy, error) {
	if a.Before != nil && a.After != nil {
		return nil, failAt(a.After.Pos, "%s is grouped twice; write by (...) either before or after the parentheses", a.Func)
	}
	return cmp.Or(a.Before, a.After).compile(), nil
}

func (g *grouping) compile() *groupBy {
	if g == nil {
		return nil
	}
	return &groupBy{names: g.Names, without: strings.EqualFold(g.How, "without")}
}

// rangeExpr returns the range aggregation that an expression is, or nil.
func (e *expr) rangeExpr() *rangeExpr {
	switch {
	case len(e.Rest) > 0:
		return nil
	case e.Left.Paren != nil:
		return e.Left.Paren.rangeExpr()
	default:
		return e.Left.Range
	}
}

// sums reports whether the sum of a function's series is the function of all their lines.
func sums(function string) bool {
	return slices.Contains([]string{"rate", "count_over_time", "bytes_rate", "bytes_over_time", "sum_over_time"}, strings.ToLower(function))
}
