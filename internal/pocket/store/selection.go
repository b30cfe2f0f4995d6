package store

import (
	"context"
	"fmt"
	"math"
)

// maxClasses bounds what a search remembers of classes. Where as many fit, all are
// looked at, and Match tells which spans are wanted.
const maxClasses = 50_000

// selection is the conditions of a search, made ready: which classes fulfil
// those on service, name, kind, status and die, and the tests of a duration.
type selection struct {
	never   bool           // no span can fulfil it
	classes map[int64]bool // nil: all
	longest int64          // the shortest duration that can fulfil it
	tests   []func(duration int64) bool
}

// holds tells whether a span fulfils all conditions.
func (s selection) holds(h head) bool {
	if s.classes != nil && !s.classes[h.class] {
		return false
	}
	for _, test := range s.tests {
		if !test(h.duration) {
			return false
		}
	}
	return true
}

func (s *Store) compile(ctx context.Context, conditions []Condition) (selection, error) {
	sel := selection{longest: math.MinInt64}
	var tests []func(spanClass) bool
	for _, c := range conditions {
		var test func(spanClass) bool
		var err error
		switch c.Column {
		case ColumnService:
			test, err = textTest(c, "service", func(k spanClass) string { return k.service })
		case ColumnName:
			test, err = textTest(c, "name", func(k spanClass) string { return k.name })
		case ColumnDie:
			if test, err = textTest(c, "die", func(k spanClass) string { return k.die }); err == nil {
				has := test
				test = func(k spanClass) bool { return k.die != "" && has(k) } // a span without one fulfils nothing
			}
		case ColumnStatus:
			test, err = numberTest(c, "status", func(k spanClass) int64 { return int64(k.status) })
		case ColumnKind:
			test, err = numberTest(c, "kind", func(k spanClass) int64 { return int64(k.kind) })
		default:
			err = sel.addDuration(c)
		}
		if err != nil {
			return sel, err
		}
		if test != nil {
			tests = append(tests, test)
		}
	}
	if len(tests) == 0 {
		return sel, nil
	}
	sel.classes = make(map[int64]bool)
	err := s.eachClass(ctx, func(id int64, c spanClass) {
		for _, test := range tests {
			if !test(c) {
				return
			}
		}
		if len(sel.classes) < maxClasses {
			sel.classes[id] = true
		}
	})
	sel.never = len(sel.classes) == 0
	if len(sel.classes) >= maxClasses {
		sel.classes = nil
	}
	return sel, err
}

func (s *selection) addDuration(c Condition) error {
	test, err := comparison(c, "duration")
	if err != nil {
		return err
	}
	s.tests = append(s.tests, test)
	if c.Op == Equal || c.Op == Greater || c.Op == GreaterEqual {
		s.longest = max(s.longest, c.Number)
	}
	return nil
}

func textTest(c Condition, name string, text func(spanClass) string) (func(spanClass) bool, error) {
	switch c.Op {
	case Equal:
		return func(k spanClass) bool { return text(k) == c.Text }, nil
	case NotEqual:
		return func(k spanClass) bool { return text(k) != c.Text }, nil
	case Matches, NotMatches:
		if c.Matches == nil {
			return nil, fmt.Errorf("comparing column %s: no regular expression", name)
		}
		return func(k spanClass) bool { return c.Matches(text(k)) == (c.Op == Matches) }, nil
	default:
		return nil, fmt.Errorf("comparing column %s: operator %q is not for text", name, c.Op)
	}
}

func numberTest(c Condition, name string, number func(spanClass) int64) (func(spanClass) bool, error) {
	test, err := comparison(c, name)
	return func(k spanClass) bool { return test(number(k)) }, err
}

// comparison compares a number with the condition's.
func comparison(c Condition, name string) (func(int64) bool, error) {
	switch c.Op {
	case Equal:
		return func(n int64) bool { return n == c.Number }, nil
	case NotEqual:
		return func(n int64) bool { return n != c.Number }, nil
	case Less:
		return func(n int64) bool { return n < c.Number }, nil
	case LessEqual:
		return func(n int64) bool { return n <= c.Number }, nil
	case Greater:
		return func(n int64) bool { return n > c.Number }, nil
	case GreaterEqual:
		return func(n int64) bool { return n >= c.Number }, nil
	default:
		return nil, fmt.Errorf("comparing column %s: operator %q is not for numbers", name, c.Op)
	}
}

// eachClass reads span_class, some tens of rows unless names of spans are made
// up for each.
func (s *Store) eachClass(ctx context.Context, yield func(int64, spanClass)) error {
	rows, err := s.read.QueryContext(ctx, "SELECT id, service, name, kind, status, die FROM span_class")
	if err != nil {
		return fmt.Errorf("reading span classes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var c spanClass
		if err := rows.Scan(&id, &c.service, &c.name, &c.kind, &c.status, &c.die); err != nil {
			return fmt.Errorf("reading span class: %w", err)
		}
		yield(id, c)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading span classes: %w", err)
	}
	return nil
}
