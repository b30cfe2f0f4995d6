package traceql

import (
	"context"

	"dicelab/internal/embedded/pattern"
)

// MaxLength is the greatest length of a query, in bytes.
const MaxLength = 16 << 10

// MaxSpansets is the largest number of spansets in a query: each is compared with every
// span of every trace that is read.
const MaxSpansets = 10

// MaxDepth is the deepest nesting of a query. The parser calls itself for each level, and
// so does the evaluation.
const MaxDepth = 100

// Query is a parsed query. It does not change and may be used from many goroutines.
type Query struct {
	Metric *Metric          // nil for a query that finds spans
	Hints  map[string]Value // of with(…)

	stages   []stage
	shown    []shownField
	patterns pattern.Set // of all conditions
}

// shownField is a field that a result shows, and when.
type shownField struct {
	field      Field
	always     bool // if the span has it
	absent     bool // if the span does not have it, as nil
	conditions []*condition
}

// MatchedField is a field of a span that a result shows.
type MatchedField struct {
	Field Field
	Value Value
}

// MatchedFields returns, in query order, the fields of a span that a result shows, as in
// Tempo: those whose conditions hold, of any spanset, and those that select(…), by(…) or an
// expression names. Of a list it returns the elements for which a condition holds; a
// single one is returned without a list. If ctx ends first, it returns the error of ctx.
func (q *Query) MatchedFields(ctx context.Context, trace *Trace, i int) (list []MatchedField, err error) {
	s := &subject{ctx: ctx, trace: trace, i: i, err: ctx.Err()}
	for _, f := range q.shown {
		v := trace.Value(f.field, i)
		switch {
		case v.Type == TypeNil && f.absent:
			v = textValue("nil")
		case v.Type == TypeNil:
			continue
		case !f.always:
			if v = s.holding(v, f.conditions); v.Type == TypeNil {
				continue
			}
		}
		if v.several { // Tempo shows the last
			v = v.List[len(v.List)-1]
		}
		list = append(list, MatchedField{f.field, v})
	}
	return list, s.err
}

// holding returns a value if a condition holds for it: of a list, the elements for which one
// does.
func (s *subject) holding(v Value, conditions []*condition) Value {
	if v.Type == TypeList {
		var kept []Value
		for _, e := range v.List {
			if held := s.holding(e, conditions); held.Type != TypeNil {
				kept = append(kept, held)
			}
		}
		return listOf(kept, v.several)
	}
	for _, c := range conditions {
		if c.holds(s, v) {
			return v
		}
	}
	return Value{}
}

// show adds the fields of an expression to those that a result shows.
func (q *Query) show(e expr) {
	switch e := e.(type) {
	case Field:
		q.shownField(e).always = true
	case *unary:
		if f, ok := e.x.(Field); ok && e.op == absent {
			q.shownField(f).absent = true
			return
		}
		q.show(e.x)
	case *binary:
		if c := e.condition; c != nil {
			f := q.shownField(c.field)
			f.conditions = append(f.conditions, c)
			return
		}
		q.show(e.l)
		q.show(e.r)
	}
}

func (q *Query) shownField(field Field) *shownField {
	for i := range q.shown {
		if q.shown[i].field == field {
			return &q.shown[i]
		}
	}
	q.shown = append(q.shown, shownField{field: field})
	return &q.shown[len(q.shown)-1]
}

// OfTrace reports whether the query needs whole traces: it compares spans with each other,
// or has conditions on properties of their trace, or counts or groups by these.
func (q *Query) OfTrace() bool {
	for i, s := range q.stages {
		switch s := s.(type) {
		case *filter:
			if i > 0 || ofTrace(s.where) {
				return true
			}
		case choose:
		default:
			return true
		}
	}
	if m := q.Metric; m != nil {
		for _, f := range m.fields() {
			if f.OfTrace() {
				return true
			}
		}
		return m.compare != nil // the names of roots are among what it compares
	}
	return false
}

func ofTrace(e expr) bool {
	switch e := e.(type) {
	case Field:
		return e.OfTrace()
	case *unary:
		return ofTrace(e.x)
	case *binary:
		return !isRoot(e) && (ofTrace(e.l) || ofTrace(e.r))
	}
	return false
}

// isRoot reports whether an expression holds for roots alone, which have no parent ID:
// nestedSetParent < 0 or = -1.
func isRoot(e *binary) bool {
	c := e.condition
	return c != nil && c.field == Field{Intrinsic, NestedSetParent} && c.value.Type == TypeInt &&
		(c.op == "<" && c.value.Int == 0 || (c.op == "=" || c.op == "<=") && c.value.Int == -1)
}
