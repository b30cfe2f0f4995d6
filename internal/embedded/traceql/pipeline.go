package traceql

import (
	"context"
	"math"
	"slices"
)

// Spanset is a set of spans of a trace.
type Spanset struct {
	Spans      []int // indexes
	Attributes []Attribute
}

// Attribute is a value of a spanset: by what it was grouped, or what was computed of it.
type Attribute struct {
	Name  string
	Value Value
}

// with returns the spanset with other spans.
func (s Spanset) with(spans []int) Spanset { return Spanset{spans, s.Attributes} }

// add returns the spanset with one more attribute.
func (s Spanset) add(name string, v Value) Spanset {
	return Spanset{s.Spans, append(slices.Clip(s.Attributes), Attribute{name, v})}
}

// run is the evaluation of a query over a trace.
type run struct{ subject }

// Select returns the spansets that the query finds in a trace, none if the trace does not
// match. If ctx ends first, it returns the error of ctx.
func (q *Query) Select(ctx context.Context, trace *Trace) ([]Spanset, error) {
	all := make([]int, len(trace.Spans))
	for i := range all {
		all[i] = i
	}
	r := &run{subject{ctx: ctx, trace: trace, err: ctx.Err()}}
	found := r.pipeline(q.stages, []Spanset{{Spans: all}})
	return found, r.err
}

// stage is a part of a pipeline. It returns only spansets that have a span.
type stage interface {
	apply(r *run, in []Spanset) []Spanset
}

func (r *run) pipeline(stages []stage, sets []Spanset) []Spanset {
	for _, s := range stages {
		if r.err != nil || len(sets) == 0 {
			return nil
		}
		sets = s.apply(r, sets)
	}
	return sets
}

// filter keeps the spans of each spanset that fulfil where: { where }.
type filter struct{ where expr }

func (f *filter) apply(r *run, in []Spanset) (out []Spanset) {
	for _, set := range in {
		var found []int
		for _, i := range set.Spans {
			if r.i = i; f.where.eval(&r.subject).isTrue() {
				found = append(found, i)
			}
			if r.err != nil {
				return nil
			}
		}
		if len(found) > 0 {
			out = append(out, set.with(found))
		}
	}
	return out
}

// pipe is a pipeline in parentheses.
type pipe []stage

func (p pipe) apply(r *run, in []Spanset) []Spanset { return r.pipeline(p, in) }

// combination is an operation on the spansets that two stages find.
type combination struct {
	op   string
	l, r stage
}

func (c *combination) apply(r *run, in []Spanset) (out []Spanset) {
	for _, set := range in {
		left, right := c.l.apply(r, []Spanset{set}), c.r.apply(r, []Spanset{set})
		if r.err != nil {
			return nil
		}
		var found []int
		switch {
		case c.op == "||" || c.op == "&&" && len(left) > 0 && len(right) > 0:
			found = union(spansOf(left), spansOf(right))
		case c.op != "&&":
			found = r.related(c.op, spansOf(left), spansOf(right))
		}
		if len(found) > 0 {
			out = append(out, set.with(found))
		}
	}
	return out
}

// related returns the spans of the right set that have a relation to one of the left set;
// with ! those that do not; with & also those of the left set to which they have it.
func (r *run) related(op string, left, right []int) (found []int) {
	tree := r.trace.structure()
	kind, relation := op[0], op
	if kind == '!' || kind == '&' {
		relation = op[1:]
	}
	marked := tree.relate(relation, r.set(left))
	for _, i := range right {
		if marked[i] == (kind != '!') {
			found = append(found, i)
		}
	}
	if kind != '&' {
		return found
	}
	inverse := map[string]string{">": "<", ">>": "<<", "<": ">", "<<": ">>", "~": "~"}
	marked = tree.relate(inverse[relation], r.set(right))
	var lefts []int
	for _, i := range left {
		if marked[i] {
			lefts = append(lefts, i)
		}
	}
	return union(lefts, found)
}

// set returns which spans of the trace are in a list.
func (r *run) set(spans []int) []bool {
	in := make([]bool, len(r.trace.Spans))
	for _, i := range spans {
		in[i] = true
	}
	return in
}

func spansOf(sets []Spanset) (all []int) {
	if len(sets) == 1 {
		return sets[0].Spans
	}
	for _, s := range sets {
		all = append(all, s.Spans...)
	}
	return all
}

// union returns the spans of both lists, each once.
func union(a, b []int) []int {
	seen := make(map[int]bool, len(a)+len(b))
	var all []int
	for _, i := range slices.Concat(a, b) {
		if !seen[i] {
			seen[i] = true
			all = append(all, i)
		}
	}
	return all
}

// group splits each spanset by the values of an expression: by(…).
type group struct{ by expr }

func (g *group) apply(r *run, in []Spanset) (out []Spanset) {
	for _, set := range in {
		places := map[string]int{} // in out
		for _, i := range set.Spans {
			r.i = i
			v := g.by.eval(&r.subject)
			at, ok := places[v.key()]
			if !ok {
				at = len(out)
				places[v.key()] = at
				out = append(out, set.with(nil).add("by("+g.by.String()+")", v))
			}
			out[at].Spans = append(out[at].Spans, i)
		}
	}
	return out
}

// coalesce joins the spansets: coalesce().
type coalesce struct{}

func (coalesce) apply(_ *run, in []Spanset) []Spanset {
	return []Spanset{{Spans: union(spansOf(in), nil)}}
}

// aggregate keeps the spansets of which a computed value satisfies a comparison, such as
// max(duration) > 1s.
type aggregate struct {
	name  string // count, min, max, sum, avg
	of    expr   // nil for count
	op    string
	value Value
}

func (a *aggregate) String() string {
	if a.of == nil {
		return a.name + "()"
	}
	return a.name + "(" + a.of.String() + ")"
}

func (a *aggregate) apply(r *run, in []Spanset) (out []Spanset) {
	for _, set := range in {
		v := a.compute(r, set)
		if v.Type != TypeNil && r.compares(a.op, v, a.value, nil) {
			out = append(out, set.add(a.String(), v))
		}
	}
	return out
}

// compute returns the value of a spanset, nil if no span has one.
func (a *aggregate) compute(r *run, set Spanset) (result Value) {
	if a.of == nil {
		return intValue(int64(len(set.Spans)))
	}
	n := 0
	for _, i := range set.Spans {
		r.i = i
		v := a.of.eval(&r.subject)
		switch {
		case !v.Type.numeric():
			continue
		case n == 0:
			result = v
		case a.name == "min" && compare(v, result) < 0, a.name == "max" && compare(v, result) > 0:
			result = v
		case (a.name == "sum" || a.name == "avg") && v.Type == result.Type:
			result.Int, result.Float = result.Int+v.Int, result.Float+v.Float
		}
		n++
	}
	if a.name != "avg" || n == 0 {
		return result
	}
	switch result.Type {
	case TypeDuration:
		result.Int /= int64(n)
		return result
	case TypeInt:
		return floatValue(float64(result.Int) / float64(n))
	}
	return floatValue(result.Float / math.Max(float64(n), 1))
}

// choose shows fields of the spans: select(…). See shown.
type choose struct{ fields []Field }

func (choose) apply(_ *run, in []Spanset) []Spanset { return in }
