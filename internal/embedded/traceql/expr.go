package traceql

import (
	"context"
	"fmt"
	"math"

	"dicelab/internal/embedded/pattern"
)

// expr is an expression about one span.
type expr interface {
	// typ returns the type of the result, typeUnknown if only a span decides it.
	typ() Type
	String() string
	// ofSpan reports whether the result depends on the span.
	ofSpan() bool
	eval(s *subject) Value
}

// subject is a span for which an expression is evaluated. Once its context has ended, no
// regular expression matches.
type subject struct {
	ctx   context.Context
	trace *Trace
	i     int   // index of the span
	err   error // of ctx
}

// constant is a value in the query, or an expression of such values.
type constant struct{ value Value }

func (c constant) typ() Type           { return c.value.Type }
func (c constant) ofSpan() bool        { return false }
func (c constant) eval(*subject) Value { return c.value }
func (c constant) String() string {
	if c.value.Type == TypeString {
		return "`" + c.value.Text + "`"
	}
	return c.value.String()
}

func (f Field) ofSpan() bool          { return true }
func (f Field) eval(s *subject) Value { return s.trace.Value(f, s.i) }

// unary is -x, !x, or exists and absent for x != nil and x = nil.
type unary struct {
	op string
	x  expr
}

const (
	exists = "!= nil"
	absent = "= nil"
)

func (u *unary) ofSpan() bool { return u.x.ofSpan() }

func (u *unary) typ() Type {
	if u.op == "-" {
		return u.x.typ()
	}
	return TypeBool
}

func (u *unary) String() string {
	inner := u.x.String()
	if _, ok := u.x.(*binary); ok {
		inner = "(" + inner + ")"
	}
	if u.op == exists || u.op == absent {
		return inner + " " + u.op
	}
	return u.op + inner
}

func (u *unary) eval(s *subject) Value {
	v := u.x.eval(s)
	switch u.op {
	case exists:
		return boolValue(v.Type != TypeNil)
	case absent:
		return boolValue(v.Type == TypeNil)
	case "!":
		if v.Type == TypeBool {
			return boolValue(v.Int == 0)
		}
	case "-":
		if v.Type.numeric() {
			v.Int, v.Float = -v.Int, -v.Float
			return v
		}
	}
	return Value{}
}

// binary is an operation on two expressions.
type binary struct {
	op        string
	l, r      expr
	pattern   *pattern.Pattern // of =~ and !~
	condition *condition       // if a field is compared with a constant
}

// condition compares a field with a value.
type condition struct {
	field   Field
	op      string // = != =~ !~ < <= > >=
	value   Value
	pattern *pattern.Pattern // of =~ and !~
}

func (b *binary) ofSpan() bool { return b.l.ofSpan() || b.r.ofSpan() }

func (b *binary) typ() Type {
	switch {
	case !arithmetic(b.op):
		return TypeBool
	case b.l.typ() != typeUnknown:
		return b.l.typ()
	}
	return b.r.typ()
}

func (b *binary) String() string {
	part := func(e expr) string {
		if _, ok := e.(*binary); ok {
			return "(" + e.String() + ")"
		}
		return e.String()
	}
	return part(b.l) + " " + b.op + " " + part(b.r)
}

func arithmetic(op string) bool {
	switch op {
	case "+", "-", "*", "/", "%", "^":
		return true
	}
	return false
}

func (b *binary) eval(s *subject) Value {
	if b.condition != nil {
		return boolValue(b.condition.holds(s, s.trace.Value(b.condition.field, s.i)))
	}
	l := b.l.eval(s)
	switch b.op {
	case "&&":
		return boolValue(l.isTrue() && b.r.eval(s).isTrue())
	case "||":
		// Tempo has no result if a side is no boolean, unless the first one decides.
		r := Value{Type: TypeBool}
		if !l.isTrue() {
			r = b.r.eval(s)
		}
		return boolValue(l.Type == TypeBool && r.Type == TypeBool && (l.isTrue() || r.isTrue()))
	}
	r := b.r.eval(s)
	if arithmetic(b.op) {
		return calculate(b.op, l, r)
	}
	return boolValue(s.compares(b.op, l, r, b.pattern))
}

// holds reports whether the value of the condition's field satisfies it. As in Tempo, a
// whole number is compared with a whole number only where the field is an attribute,
// and any other number with others.
func (c *condition) holds(s *subject, v Value) bool {
	if v.Type == TypeList {
		for _, e := range v.List {
			if c.holds(s, e) {
				return true
			}
		}
		return false
	}
	if c.field.Scope != Intrinsic && v.Type != c.value.Type {
		return false
	}
	return s.compares(c.op, v, c.value, c.pattern)
}

// compares reports whether a comparison holds. It does not if the types do not fit.
func (s *subject) compares(op string, l, r Value, p *pattern.Pattern) bool {
	switch {
	case l.Type == TypeList || r.Type == TypeList:
		for _, e := range append(append([]Value{}, l.List...), r.List...) {
			if l.Type == TypeList && s.compares(op, e, r, p) || l.Type != TypeList && s.compares(op, l, e, p) {
				return true
			}
		}
		return false
	case p != nil:
		if l.Type != TypeString {
			return false
		}
		matches, err := p.Match(s.ctx, l.Text)
		if err != nil {
			s.err = err
			return false
		}
		return matches == (op == "=~")
	case l.Type.numeric() && r.Type.numeric(), l.Type == r.Type && l.Type != TypeNil:
		return ordered(op, compare(l, r))
	}
	return false
}

// ordered reports whether the result of a comparison (-1, 0, 1) satisfies an operator.
func ordered(op string, c int) bool {
	switch op {
	case "=":
		return c == 0
	case "!=":
		return c != 0
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	}
	return false
}

// calculate returns the result of arithmetic: a whole number of two whole numbers, else a
// number. A duration counts in nanoseconds. It is nil if there is none.
func calculate(op string, l, r Value) Value {
	if !l.Type.numeric() || !r.Type.numeric() {
		return Value{}
	}
	if l.Type == TypeInt && r.Type == TypeInt {
		return calculateInt(op, l.Int, r.Int)
	}
	a, b := l.Number(), r.Number()
	switch op {
	case "+":
		return floatValue(a + b)
	case "-":
		return floatValue(a - b)
	case "*":
		return floatValue(a * b)
	case "/":
		return floatValue(a / b)
	case "%":
		return floatValue(math.Mod(a, b))
	}
	return floatValue(math.Pow(a, b))
}

func calculateInt(op string, a, b int64) Value {
	switch {
	case op == "+":
		return intValue(a + b)
	case op == "-":
		return intValue(a - b)
	case op == "*":
		return intValue(a * b)
	case op == "^":
		return intValue(int64(math.Pow(float64(a), float64(b))))
	case b == 0:
		return Value{}
	case op == "%" && b == -1: // the quotient of the least number would overflow
		return intValue(0)
	case op == "%":
		return intValue(a % b)
	case b == -1:
		return intValue(-a)
	}
	return intValue(a / b)
}

// checkOperands returns an error if an operator has operands of types that do not fit,
// before a span is known.
func checkOperands(op string, l, r Type) error {
	fit := l == r || l == typeUnknown || r == typeUnknown || l.numeric() && r.numeric()
	if !fit {
		return fmt.Errorf("%s cannot combine a %v with a %v", op, l, r)
	}
	for _, t := range []Type{l, r} {
		ok := true
		switch t {
		case TypeBool:
			ok = op == "&&" || op == "||" || op == "=" || op == "!="
		case TypeInt, TypeFloat, TypeDuration:
			ok = op != "&&" && op != "||" && op != "=~" && op != "!~"
		case TypeString:
			ok = op != "&&" && op != "||" && !arithmetic(op)
		case TypeStatus, TypeKind:
			ok = op == "=" || op == "!="
		}
		if !ok {
			return fmt.Errorf("%s cannot be applied to a %v", op, t)
		}
	}
	return nil
}
