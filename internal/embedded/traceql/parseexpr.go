package traceql

import (
	"math"
	"slices"
	"strings"
)

// level returns the precedence of an operator of expressions: && and || have one, then
// comparisons, sums, products and powers. It returns -1 for others.
func level(op string) int {
	switch op {
	case "&&", "||":
		return 0
	case "=", "!=", "<", "<=", ">", ">=", "=~", "!~":
		return 1
	case "+", "-":
		return 2
	case "*", "/", "%":
		return 4
	case "^":
		return 5
	}
	return -1
}

// notLevel is the precedence of !, and of the sign -.
const (
	notLevel  = 3
	signLevel = 2
)

// expression parses an expression of operators that have at least that precedence.
// Operators of one precedence are applied from left to right, but for ^.
func (p *parser) expression(least int) (expr, error) {
	left, err := p.operand()
	for err == nil {
		t := p.peek()
		precedence := level(t.text)
		if t.kind != operator || precedence < least {
			return left, nil
		}
		p.take()
		if p.is("nil") && (t.text == "=" || t.text == "!=") {
			p.take()
			left, err = p.null(t, left)
			continue
		}
		more := precedence + 1
		if t.text == "^" {
			more = precedence
		}
		var right expr
		if right, err = p.expression(more); err == nil {
			left, err = p.binary(t, left, right)
		}
	}
	return nil, err
}

// operand parses what operators combine.
func (p *parser) operand() (expr, error) {
	t := p.peek()
	if p.is("(") || p.is("!") || p.is("-") || p.next > 0 && p.tokens[p.next-1].text == "^" {
		leave, err := p.nest()
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	switch {
	case p.accept("("):
		e, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		return e, p.expect(")")
	case p.accept("!"):
		return p.unary(t, notLevel)
	case p.accept("-"):
		return p.unary(t, signLevel+1)
	case t.kind == literal:
		return constant{p.take().value}, nil
	case p.accept("nil"):
		op := p.peek()
		if !p.accept("=") && !p.accept("!=") {
			return nil, p.unexpected("nil is compared with = or !=, as in { span.retries != nil }")
		}
		if p.accept("nil") {
			return constant{boolValue(false)}, nil
		}
		e, err := p.expression(level("=") + 1)
		if err != nil {
			return nil, err
		}
		return p.null(op, e)
	}
	if t.kind == identifier {
		if c, ok := word2value(t.text); ok {
			p.take()
			return constant{c}, nil
		}
	}
	if t.kind == identifier || t.kind == attribute {
		return p.field()
	}
	return nil, p.unexpected("expected a field such as span.http.route or duration, a number, a duration, or a text in " +
		"quotes")
}

// word2value returns the value of a word that is one.
func word2value(text string) (Value, bool) {
	switch text {
	case "true", "false":
		return boolValue(text == "true"), true
	case "minInt":
		return intValue(math.MinInt64), true
	case "maxInt":
		return intValue(math.MaxInt64), true
	}
	if n := slices.Index(statusWords(), text); n >= 0 {
		return Value{Type: TypeStatus, Int: int64(n)}, true
	}
	n := slices.Index(kindWords(), text)
	return Value{Type: TypeKind, Int: int64(n)}, n >= 0
}

// null returns e = nil or e != nil.
func (p *parser) null(op token, e expr) (expr, error) {
	u := &unary{op.text + " nil", e}
	f, ok := e.(Field)
	switch {
	case !ok && !e.ofSpan():
		return constant{boolValue(u.op == exists)}, nil
	case !ok || u.op == exists:
		return u, nil
	case f.Scope == Intrinsic:
		return nil, errorAt(p.text, op.at, "%s = nil never holds, since every span has it", f)
	case f == Field{ResourceScope, serviceName}:
		return nil, errorAt(p.text, op.at, "%s = nil never holds: a resource without it has an empty one", f)
	}
	return u, nil
}

// unary parses the operand of ! or of the sign -.
func (p *parser) unary(op token, least int) (expr, error) {
	e, err := p.expression(least)
	if err != nil {
		return nil, err
	}
	if t := e.typ(); t != typeUnknown && (op.text == "!" && t != TypeBool || op.text == "-" && !t.numeric()) {
		return nil, errorAt(p.text, op.at, "%s cannot be applied to a %v", op.text, t)
	}
	u := &unary{op.text, e}
	if !e.ofSpan() {
		return constant{u.eval(nil)}, nil
	}
	return u, nil
}

// binary checks and returns an operation.
func (p *parser) binary(op token, l, r expr) (expr, error) {
	if err := checkOperands(op.text, l.typ(), r.typ()); err != nil {
		return nil, errorAt(p.text, op.at, "{ … %s … }: %v", op.text, err)
	}
	b := &binary{op: op.text, l: l, r: r}
	if op.text == "=~" || op.text == "!~" {
		var err error
		if b.pattern, err = p.compile(op.at, op.text, r); err != nil {
			return nil, err
		}
	}
	left, lf := l.(Field)
	right, rf := r.(Field)
	lc, lok := l.(constant)
	rc, rok := r.(constant)
	switch {
	case lok && rok && b.pattern == nil:
		if v := b.eval(&subject{}); v.Type != TypeNil {
			return constant{v}, nil
		}
		return nil, errorAt(p.text, op.at, "%s has no result", b)
	case level(op.text) != level("="):
	case lf && rok:
		b.condition = &condition{left, op.text, wholeID(left, op.text, rc.value), b.pattern}
	case rf && lok && b.pattern == nil:
		turned := map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}
		b.condition = &condition{right, op.text, wholeID(right, op.text, lc.value), nil}
		if to, ok := turned[op.text]; ok {
			b.condition.op = to
		}
	}
	return b, nil
}

// wholeID returns an ID with all digits, where leading zeros may be left out.
func wholeID(f Field, op string, v Value) Value {
	digits := 0
	switch f {
	case Field{Intrinsic, TraceID}, Field{Intrinsic, LinkTraceID}:
		digits = 32
	case Field{Intrinsic, SpanID}, Field{Intrinsic, ParentID}, Field{Intrinsic, LinkSpanID}:
		digits = 16
	}
	if missing := digits - len(v.Text); missing > 0 && v.Text != "" && (op == "=" || op == "!=") {
		return textValue(strings.ToLower(strings.Repeat("0", missing) + v.Text))
	}
	return v
}
