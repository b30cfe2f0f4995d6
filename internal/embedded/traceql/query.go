package traceql

import (
	"cmp"
	"context"
	"slices"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/embedded/pattern"
)

// serviceName is the attribute of a resource that every span has for Tempo.
const serviceName = "service.name"

// Scope is the kind of a field: an attribute of some scope, or an intrinsic.
type Scope int

// The scopes of attributes, and the intrinsics.
const (
	AnyScope      Scope = iota // the span's attributes, then the resource's
	SpanScope                  // the span's attributes
	ResourceScope              // the resource's attributes

	Name
	Status
	Kind
	Duration
	TraceDuration
	RootName
	RootServiceName
)

// Field names the attribute or the intrinsic that a condition compares.
type Field struct {
	Scope Scope
	Name  string // of an attribute, without the scope; of an intrinsic as TraceQL spells it
}

// String returns the field as a query names it, but for quotes.
func (f Field) String() string {
	switch f.Scope {
	case AnyScope:
		return "." + f.Name
	case SpanScope:
		return "span." + f.Name
	case ResourceScope:
		return "resource." + f.Name
	}
	return f.Name
}

// Type is the type of a value.
type Type int

// The types of values.
const (
	String     Type = iota
	Int             // Value.Int
	Float           // Value.Float
	Bool            // Value.Bool
	Time            // a duration: Value.Int, nanoseconds
	StatusCode      // Value.Int, OTLP's number; Value.Text, the word
	SpanKind        // Value.Int, OTLP's number; Value.Text, the word
)

// Value is the value with which a condition compares a field.
type Value struct {
	Type  Type
	Text  string
	Int   int64
	Float float64
	Bool  bool
}

// Condition is one comparison.
type Condition struct {
	Field Field
	Op    string // = != =~ !~ < <= > >=
	Value Value

	// Pattern is the regular expression of =~ and !~, which the whole text must
	// match; else nil.
	Pattern *pattern.Pattern
}

// Query is a parsed query. It does not change and may be used from many
// goroutines.
type Query struct {
	Metric *Metric // nil for a query that finds spans

	spansets []spanset // at least one; each below its predecessor
	counts   []count   // bounds on the number of the last spanset's spans
	shown    []shownField
	patterns pattern.Set // of all conditions
}

// Metric describes how a query counts the spans of its spanset over time.
type Metric struct {
	Name string  // of the function
	Rate bool    // spans a second
	By   []Field // one series for each combination of values; nil: one for all
}

// shownField is a field that a result shows, with the conditions on it.
type shownField struct {
	field      Field
	conditions []*Condition
}

// spanset is the content of { }.
type spanset struct {
	below string // > (child) or >> (descendant) of the preceding spanset; "" in the first
	where expr   // nil: every span
}

// count is a bound on the number of spans.
type count struct {
	op     string
	number int64
}

// Trace holds the properties of the trace of a span that a query may use.
type Trace struct {
	Duration                  time.Duration
	RootName, RootServiceName string
}

// Span is a span of a trace.
type Span struct {
	*tracepb.Span
	Resource *resourcepb.Resource
}

// Select returns the indexes of the spans of a trace that the query finds: the spans of
// its last spanset, or none if their number does not satisfy the query's count()
// conditions. If ctx ends first, it returns the error of ctx.
func (q *Query) Select(ctx context.Context, spans []Span, trace Trace) (found []int, err error) {
	var in []bool // whether the span at that index is in the preceding spanset
	for _, set := range q.spansets {
		var allowed []bool
		switch set.below {
		case ">":
			allowed = newTree(spans).below(in, false)
		case ">>":
			allowed = newTree(spans).below(in, true)
		}
		found, in = found[:0], make([]bool, len(spans))
		for i, span := range spans {
			s := &subject{ctx: ctx, span: span.Span, resource: span.Resource, trace: trace}
			if (set.below == "" || allowed[i]) && (set.where == nil || set.where.match(s)) {
				in[i] = true
				found = append(found, i)
			}
			if s.err != nil {
				return nil, s.err
			}
		}
	}
	for _, c := range q.counts {
		if !order(c.op, cmp.Compare(int64(len(found)), c.number)) {
			return nil, nil
		}
	}
	return found, nil
}

// Counts returns the number of count() conditions.
func (q *Query) Counts() int { return len(q.counts) }

// MatchedField is a field of a span that a result shows.
type MatchedField struct {
	Field Field
	Value *commonpb.AnyValue // of an attribute; nil for an intrinsic
}

// MatchedFields returns, in query order, the fields whose conditions match span, from
// any spanset. Tempo returns no other fields. Of a list it returns the matching
// elements; a single one is returned without a list. If ctx ends first, it returns the
// error of ctx.
func (q *Query) MatchedFields(ctx context.Context, span Span, trace Trace) (list []MatchedField, err error) {
	s := &subject{ctx: ctx, span: span.Span, resource: span.Resource, trace: trace}
	for _, f := range q.shown {
		var holding []*Condition
		for _, c := range f.conditions {
			if c.match(s) {
				holding = append(holding, c)
			}
		}
		if len(holding) == 0 {
			continue
		}
		shown := MatchedField{Field: f.field}
		if f.field.Scope <= ResourceScope {
			value, _ := Attribute(f.field, span.Span, span.Resource)
			shown.Value = s.elements(value, holding)
		}
		list = append(list, shown)
	}
	return list, s.err
}

// show adds a condition to those whose fields a result shows.
func (q *Query) show(c *Condition, known map[Field]int) {
	i, ok := known[c.Field]
	if !ok {
		i = len(q.shown)
		known[c.Field] = i
		q.shown = append(q.shown, shownField{field: c.Field})
	}
	q.shown[i].conditions = append(q.shown[i].conditions, c)
}

// elements returns a value. If it is a list, it has only the elements that match a
// condition.
func (s *subject) elements(v *commonpb.AnyValue, holding []*Condition) *commonpb.AnyValue {
	array := v.GetArrayValue()
	if array == nil {
		return v
	}
	kept := &commonpb.ArrayValue{}
	for _, e := range array.GetValues() {
		if slices.ContainsFunc(holding, func(c *Condition) bool { return c.value(s, e) }) {
			kept.Values = append(kept.Values, e)
		}
	}
	if len(kept.Values) == 1 {
		return kept.Values[0]
	}
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: kept}}
}

// Required returns, for each spanset, its necessary conditions: those joined by && at
// the top. If no span of a trace satisfies all of them, the query finds nothing in the
// trace. A trace with such spans may still not match.
func (q *Query) Required() (lists [][]Condition) {
	for _, set := range q.spansets {
		lists = append(lists, required(set.where))
	}
	return lists
}

// Conjunction reports whether the query has one spanset that contains each span that
// satisfies all conditions of Required.
func (q *Query) Conjunction() bool {
	var only func(expr) bool
	only = func(e expr) bool {
		all, ok := e.(allOf)
		_, one := e.(*Condition)
		return e == nil || one || ok && !slices.ContainsFunc(all, func(e expr) bool { return !only(e) })
	}
	return len(q.spansets) == 1 && only(q.spansets[0].where)
}

func required(where expr) (list []Condition) {
	var collect func(expr)
	collect = func(e expr) {
		switch e := e.(type) {
		case *Condition:
			list = append(list, *e)
		case allOf:
			for _, e := range e {
				collect(e)
			}
		}
	}
	collect(where)
	return list
}

// subject is a span that is compared with conditions. No condition matches once its
// context has ended.
type subject struct {
	ctx      context.Context
	span     *tracepb.Span
	resource *resourcepb.Resource
	trace    Trace
	err      error // of ctx
}

// expr is a condition or a combination of conditions.
type expr interface{ match(*subject) bool }

type (
	allOf []expr
	anyOf []expr
)

func (l allOf) match(s *subject) bool {
	return !slices.ContainsFunc(l, func(e expr) bool { return !e.match(s) })
}

func (l anyOf) match(s *subject) bool {
	return slices.ContainsFunc(l, func(e expr) bool { return e.match(s) })
}

func (c *Condition) match(s *subject) bool {
	if s.err == nil {
		s.err = s.ctx.Err()
	}
	if s.err != nil {
		return false
	}
	switch c.Field.Scope {
	case Name:
		return c.text(s, s.span.GetName())
	case RootName:
		return c.text(s, s.trace.RootName)
	case RootServiceName:
		return c.text(s, s.trace.RootServiceName)
	case Status:
		code := s.span.GetStatus().GetCode()
		if code < 0 || code > tracepb.Status_STATUS_CODE_ERROR {
			code = tracepb.Status_STATUS_CODE_UNSET
		}
		return order(c.Op, cmp.Compare(int64(code), c.Value.Int))
	case Kind:
		return order(c.Op, cmp.Compare(int64(s.span.GetKind()), c.Value.Int))
	case Duration:
		return order(c.Op, cmp.Compare(int64(s.span.GetEndTimeUnixNano()-s.span.GetStartTimeUnixNano()), c.Value.Int))
	case TraceDuration:
		return order(c.Op, cmp.Compare(int64(s.trace.Duration), c.Value.Int))
	}
	v, ok := Attribute(c.Field, s.span, s.resource)
	return ok && c.value(s, v)
}

// noService returns the service name of a resource without one.
func noService() *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{}}
}

// Attribute returns the value of a field that is an attribute. service.name always
// exists, and is empty if the resource has none.
func Attribute(f Field, span *tracepb.Span, resource *resourcepb.Resource) (*commonpb.AnyValue, bool) {
	if f.Scope == SpanScope || f.Scope == AnyScope {
		if v, ok := lookUp(span.GetAttributes(), f.Name); ok {
			return v, true
		}
	}
	if f.Scope == SpanScope {
		return nil, false
	}
	if v, ok := lookUp(resource.GetAttributes(), f.Name); ok || f.Name != serviceName {
		return v, ok
	}
	return noService(), true
}

func lookUp(kvs []*commonpb.KeyValue, key string) (*commonpb.AnyValue, bool) {
	for _, kv := range kvs {
		if kv.GetKey() == key {
			return kv.GetValue(), true
		}
	}
	return nil, false
}

func (c *Condition) value(s *subject, v *commonpb.AnyValue) bool {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return c.Value.Type == String && c.text(s, v.StringValue)
	case *commonpb.AnyValue_BoolValue:
		return c.Value.Type == Bool && (v.BoolValue == c.Value.Bool) == (c.Op == "=")
	case *commonpb.AnyValue_IntValue:
		switch c.Value.Type {
		case Int, Time:
			return order(c.Op, cmp.Compare(v.IntValue, c.Value.Int))
		case Float:
			return order(c.Op, cmp.Compare(float64(v.IntValue), c.Value.Float))
		}
	case *commonpb.AnyValue_DoubleValue:
		switch c.Value.Type {
		case Int, Time:
			return order(c.Op, cmp.Compare(v.DoubleValue, float64(c.Value.Int)))
		case Float:
			return order(c.Op, cmp.Compare(v.DoubleValue, c.Value.Float))
		}
	case *commonpb.AnyValue_ArrayValue:
		// One element is enough, for != and !~, too.
		return slices.ContainsFunc(v.ArrayValue.GetValues(), func(e *commonpb.AnyValue) bool { return c.value(s, e) })
	}
	return false
}

func (c *Condition) text(s *subject, text string) bool {
	if c.Pattern == nil {
		return order(c.Op, cmp.Compare(text, c.Value.Text))
	}
	matches, err := c.Pattern.Match(s.ctx, text)
	if err != nil {
		s.err = err
		return false
	}
	return matches == (c.Op == "=~")
}

// order reports whether the result of a comparison (-1, 0, 1) satisfies an operator.
func order(op string, c int) bool {
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
