package logql

import (
	"math"
	"slices"
	"strings"
)

// level returns the precedence of an operator.
func level(op string) int {
	return slices.IndexFunc([]string{"or", "and unless", "== != >= <= > <", "+ -", "* / %", "^"}, func(ops string) bool {
		return slices.Contains(strings.Fields(ops), op)
	})
}

func (c *compiler) compileExpr(e *expr) (node, error) {
	if len(e.Rest) > MaxOperators {
		return node{}, failAt(e.Rest[MaxOperators].Pos, "more than %d operators between metrics", MaxOperators)
	}
	left, err := c.compileOperand(e.Left)
	if err != nil {
		return node{}, err
	}
	n, _, err := c.climb(left, e.Rest, 0)
	return n, err
}

// climb applies the operators of a level or above it to what stands left of them, and
// returns the operators that are left over.
func (c *compiler) climb(left node, rest []*operation, lowest int) (node, []*operation, error) {
	for len(rest) > 0 && level(strings.ToLower(rest[0].Op)) >= lowest {
		o := rest[0]
		at := level(strings.ToLower(o.Op))
		right, err := c.compileOperand(o.Right)
		if err != nil {
			return node{}, nil, err
		}
		rest = rest[1:]
		for len(rest) > 0 {
			next := level(strings.ToLower(rest[0].Op))
			if next < at || next == at && o.Op != "^" {
				break
			}
			if right, rest, err = c.climb(right, rest, next); err != nil {
				return node{}, nil, err
			}
		}
		if left, err = c.combine(left, o, right); err != nil {
			return node{}, nil, err
		}
	}
	return left, rest, nil
}

// combine applies an operator.
func (c *compiler) combine(left node, o *operation, right node) (node, error) {
	op := strings.ToLower(o.Op)
	set := level(op) <= level("and")
	switch {
	case set && (left.literal != nil || right.literal != nil):
		return node{}, failAt(o.Pos, "unexpected literal for a leg of logical/set binary operation (%s): it combines vectors", op)
	case left.literal != nil && right.literal != nil:
		value := fold(op, *left.literal, *right.literal)
		return node{literal: &value}, nil
	case op == "/" && right.literal != nil && *right.literal == 0:
		nan := math.NaN()
		right.literal = &nan
	case op == "/" && right.literal == nil && !right.positive:
		c.metric.divisors = append(c.metric.divisors, right.text())
		right.expr = reference(labelDivisor, len(c.metric.divisors)-1)
	}
	text := op
	if o.Bool && level(op) == level("==") {
		text += " bool"
	}
	if m := o.Matching; m != nil {
		text += " " + m.How + quotedNames(m.Names)
		if m.Side != "" {
			text += " " + m.Side
			if m.Shared != nil {
				text += quotedNames(m.Shared.Names)
			}
		}
	}
	return node{expr: "(" + left.text() + " " + strings.ToLower(text) + " " + right.text() + ")"}, nil
}

// fold applies an operator to two numbers. Comparisons are 1 or 0.
func fold(op string, a, b float64) float64 {
	is := func(ok bool) float64 {
		if ok {
			return 1
		}
		return 0
	}
	switch op {
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	case "/":
		if b == 0 {
			return math.NaN()
		}
		return a / b
	case "%":
		return math.Mod(a, b)
	case "^":
		return math.Pow(a, b)
	case "==":
		return is(a == b)
	case "!=":
		return is(a != b)
	case ">":
		return is(a > b)
	case ">=":
		return is(a >= b)
	case "<":
		return is(a < b)
	default:
		return is(a <= b)
	}
}
