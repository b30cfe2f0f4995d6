package traceql

import (
	"cmp"
	"regexp"
	"slices"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// serviceName is the attribute of a resource that every span has for Tempo.
const serviceName = "service.name"

// Scope says what a field is: an attribute of some scope, or an intrinsic.
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

// Field is what a condition is about.
type Field struct {
	Scope Scope
	Name  string // of an attribute, without the scope; of an intrinsic as TraceQL spells it
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

// Value is what a field is compared with.
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

	pattern *regexp.Regexp // for =~ and !~
}

// Query is a parsed query. It does not change and may be used from many
// goroutines.
type Query struct {
	spansets []spanset // at least one; each below the one before
	counts   []count   // of the last one's spans
	// conditions are all of them, in order of appearance.
	conditions []*Condition
}

// spanset is what stands in { }.
type spanset struct {
	below string // > (child) or >> (descendant) of the one before; "" in the first
	where expr   // nil: every span
}

// count is a bound on the number of spans.
type count struct {
	op     string
	number int64
}

// Trace is what a query may ask about the trace of a span.
type Trace struct {
	Duration                  time.Duration
	RootName, RootServiceName string
}

// Span is a span of a trace.
type Span struct {
	*tracepb.Span
	Resource *resourcepb.Resource
}

// Select gives the spans of a trace that the query finds, as indexes into spans:
// of several spansets the last one's; none if their number is not what the query
// wants.
func (q *Query) Select(spans []Span, trace Trace) (found []int) {
	var in []bool // whether the span at that index is in the spanset before
	for _, set := range q.spansets {
		var allowed []bool
		switch set.below {
		case ">":
			allowed = newTree(spans).below(in, false)
		case ">>":
			allowed = newTree(spans).below(in, true)
		}
		found, in = found[:0], make([]bool, len(spans))
		for i, s := range spans {
			if (set.below == "" || allowed[i]) && (set.where == nil || set.where.match(&subject{span: s.Span, resource: s.Resource, trace: trace})) {
				in[i] = true
				found = append(found, i)
			}
		}
	}
	for _, c := range q.counts {
		if !order(c.op, cmp.Compare(int64(len(found)), c.number)) {
			return nil
		}
	}
	return found
}

// Counts is on how many bounds the number of spans is held.
func (q *Query) Counts() int { return len(q.counts) }

// Shown is a field of a span that a result shows.
type Shown struct {
	Field Field
	Value *commonpb.AnyValue // of an attribute; nil for an intrinsic
}

// Shown lists what a result shows of a span that was found: each field, in order
// of appearance, of which a condition of the query holds for the span, wherever in
// the query it stands. Tempo reads no other value. Of a list it is the elements for
// which one holds; one alone stands for itself.
func (q *Query) Shown(span Span, trace Trace) (list []Shown) {
	s := &subject{span: span.Span, resource: span.Resource, trace: trace}
	for i, c := range q.conditions {
		same := func(o *Condition) bool { return o.Field == c.Field }
		if slices.ContainsFunc(q.conditions[:i], same) {
			continue
		}
		var holding []*Condition
		for _, o := range q.conditions[i:] {
			if same(o) && o.match(s) {
				holding = append(holding, o)
			}
		}
		if len(holding) == 0 {
			continue
		}
		shown := Shown{Field: c.Field}
		if c.Field.Scope <= ResourceScope {
			value, _ := Attribute(c.Field, span.Span, span.Resource)
			shown.Value = elements(value, holding)
		}
		list = append(list, shown)
	}
	return list
}

// elements is a value without the elements, if it is a list, for which no condition
// holds.
func elements(v *commonpb.AnyValue, holding []*Condition) *commonpb.AnyValue {
	array := v.GetArrayValue()
	if array == nil {
		return v
	}
	kept := &commonpb.ArrayValue{}
	for _, e := range array.GetValues() {
		if slices.ContainsFunc(holding, func(c *Condition) bool { return c.value(e) }) {
			kept.Values = append(kept.Values, e)
		}
	}
	if len(kept.Values) == 1 {
		return kept.Values[0]
	}
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: kept}}
}

// Required lists, for each spanset, conditions that one span of a trace must
// fulfil, all of them, or the query finds nothing in it: those joined by && at
// the top. A trace with such spans may still not match.
func (q *Query) Required() (lists [][]Condition) {
	for _, set := range q.spansets {
		lists = append(lists, required(set.where))
	}
	return lists
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

type subject struct {
	span     *tracepb.Span
	resource *resourcepb.Resource
	trace    Trace
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
	switch c.Field.Scope {
	case Name:
		return c.text(s.span.GetName())
	case RootName:
		return c.text(s.trace.RootName)
	case RootServiceName:
		return c.text(s.trace.RootServiceName)
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
	return ok && c.value(v)
}

// noService is the name of the service of a resource that has none.
func noService() *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{}}
}

// Attribute gives the value of a field that is an attribute. The service's name is
// always there, and empty where the resource has none.
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

func (c *Condition) value(v *commonpb.AnyValue) bool {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return c.Value.Type == String && c.text(v.StringValue)
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
		return slices.ContainsFunc(v.ArrayValue.GetValues(), c.value)
	}
	return false
}

func (c *Condition) text(s string) bool {
	switch c.Op {
	case "=~":
		return c.pattern.MatchString(s)
	case "!~":
		return !c.pattern.MatchString(s)
	}
	return order(c.Op, cmp.Compare(s, c.Value.Text))
}

// order says whether a comparison's outcome (-1, 0, 1) fulfils an operator.
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
