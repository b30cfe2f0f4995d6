package traceql

import "dicelab/internal/embedded/pattern"

// Term is a condition that an index may check: Field, Op and Value; or, if Any is not empty,
// that all terms of one of its lists hold; or, with Root, that the span has no parent.
type Term struct {
	Field   Field
	Op      string // = != =~ !~ < <= > >=, or Exists
	Value   Value
	Pattern *pattern.Pattern // of =~ and !~
	Any     [][]Term
	Root    bool
}

// Exists is the Op of a term that holds if the span has the field.
const Exists = exists

// Candidates returns terms of which a trace that the query finds has a span that fulfils
// all. A trace with such a span may still not match.
func (q *Query) Candidates() []Term { return ofPipeline(q.stages, false) }

// Found returns terms that each span that the query finds fulfils. exact reports that a
// span that fulfils them is found.
func (q *Query) Found() (terms []Term, exact bool) {
	if len(q.stages) == 1 {
		if f, ok := q.stages[0].(*filter); ok {
			return required(f.where)
		}
	}
	return ofPipeline(q.stages, true), false
}

// ofPipeline returns the terms of a pipeline: those of a span of each trace; or, with
// found, of each span that is found.
func ofPipeline(stages []stage, found bool) []Term {
	if len(stages) == 0 {
		return nil
	}
	terms := ofStage(stages[0], found)
	for _, s := range stages[1:] {
		f, ok := s.(*filter)
		if _, first := stages[0].(*filter); !ok || !first && !found {
			break
		}
		more, _ := required(f.where)
		terms = append(terms, more...)
	}
	return terms
}

func ofStage(s stage, found bool) []Term {
	switch s := s.(type) {
	case *filter:
		terms, _ := required(s.where)
		return terms
	case pipe:
		return ofPipeline(s, found)
	case *combination:
		left, right := ofStage(s.l, found), ofStage(s.r, found)
		switch {
		case s.op == "||", found && (s.op == "&&" || s.op[0] == '&'):
			return anyOf(left, right)
		case s.op[0] == '!', found, len(right) >= len(left):
			return right
		}
		return left
	}
	return nil
}

func anyOf(left, right []Term) []Term {
	if len(left) == 0 || len(right) == 0 {
		return nil
	}
	return []Term{{Any: [][]Term{left, right}}}
}

// required returns terms that hold if an expression does. exact reports that the
// expression also holds if they do.
func required(e expr) (terms []Term, exact bool) {
	switch e := e.(type) {
	case constant:
		return nil, e.value.isTrue()
	case *unary:
		if f, ok := e.x.(Field); ok && e.op == exists {
			return []Term{{Field: f, Op: Exists}}, true
		}
	case *binary:
		if isRoot(e) {
			return []Term{{Root: true}}, true
		}
		if c := e.condition; c != nil {
			return []Term{{Field: c.field, Op: c.op, Value: c.value, Pattern: c.pattern}}, true
		}
		left, l := required(e.l)
		right, r := required(e.r)
		switch e.op {
		case "&&":
			return append(left, right...), l && r
		case "||":
			return anyOf(left, right), l && r && len(left) > 0 && len(right) > 0
		}
	}
	return nil, false
}
