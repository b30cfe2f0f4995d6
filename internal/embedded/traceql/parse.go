package traceql

import (
	"slices"

	"dicelab/internal/embedded/pattern"
)

// parser reads the tokens of a query.
type parser struct {
	text     string
	tokens   []token // the last is the end
	next     int
	depth    int
	spansets int
	query    *Query
}

// Parse parses a query that finds spans; the error is an [*Error].
func Parse(text string) (*Query, error) {
	q, at, err := parse(text)
	if err == nil && q.Metric != nil {
		return nil, errorAt(text, at, "| %s(…) makes a query for metrics, which /api/metrics/query_range and "+
			"/api/metrics/query answer", q.Metric.Name)
	}
	return q, err
}

// ParseMetric parses a query for metrics; the error is an [*Error].
func ParseMetric(text string) (*Query, error) {
	q, at, err := parse(text)
	if err == nil && q.Metric == nil {
		return nil, errorAt(text, at, "a query for metrics ends with a function such as | rate() or | "+
			"quantile_over_time(duration, .9), which by (…) may follow")
	}
	return q, err
}

// parse parses a query and returns the place where its metric begins, or its end.
func parse(text string) (*Query, int, error) {
	tokens, err := lex(text)
	if err != nil {
		return nil, 0, err
	}
	p := &parser{text: text, tokens: tokens, query: &Query{Hints: map[string]Value{}}}
	if p.peek().kind == end {
		return nil, 0, p.errorHere("the query is empty: {} finds every trace")
	}
	if err := p.root(); err != nil {
		return nil, 0, err
	}
	at := len(text)
	if p.query.Metric != nil {
		at = p.query.Metric.at
	}
	return p.query, at, nil
}

func (p *parser) peek() token { return p.tokens[p.next] }

func (p *parser) take() token {
	t := p.tokens[p.next]
	if t.kind != end {
		p.next++
	}
	return t
}

// is reports whether the next token is an operator or a word.
func (p *parser) is(text string) bool {
	t := p.peek()
	return (t.kind == operator || t.kind == identifier) && t.text == text
}

// accept takes the next token if it is text.
func (p *parser) accept(text string) bool {
	if !p.is(text) {
		return false
	}
	p.next++
	return true
}

// expect takes the next tokens, which must be those.
func (p *parser) expect(texts ...string) error {
	for _, text := range texts {
		if !p.accept(text) {
			return p.unexpected("expected " + text)
		}
	}
	return nil
}

func (p *parser) errorHere(format string, args ...any) error {
	return errorAt(p.text, p.peek().at, format, args...)
}

// unexpected returns an error about the next token.
func (p *parser) unexpected(hint string) error {
	if t := p.peek(); t.kind != end {
		return p.errorHere("syntax error: unexpected %s: %s", t.text, hint)
	}
	return p.errorHere("syntax error: the query ends too early: %s", hint)
}

func (p *parser) end() error {
	if p.peek().kind != end {
		return p.unexpected("the query could end here")
	}
	return nil
}

// nest counts a level of nesting, which begins with the next token; call the function that
// it returns at its end.
func (p *parser) nest() (leave func(), err error) {
	if p.depth++; p.depth > MaxDepth {
		return nil, p.errorHere("the query has more than %d parentheses or signs within each other", MaxDepth)
	}
	return func() { p.depth-- }, nil
}

// root parses a whole query: a pipeline, a metric, and hints.
func (p *parser) root() (err error) {
	if p.query.stages, err = p.pipeline(); err != nil {
		return err
	}
	for {
		switch {
		case p.is("with"):
			err = p.hints()
		case p.query.Metric == nil && p.is("|"):
			p.take()
			err = p.metric()
		case p.query.Metric != nil && p.peek().kind != end:
			err = p.second()
		default:
			return p.end()
		}
		if err != nil {
			return err
		}
	}
}

// pipeline parses stages that | separates, up to a metric.
func (p *parser) pipeline() (stages []stage, err error) {
	for {
		if len(stages) == 0 && p.is("coalesce") {
			return nil, p.unexpected("a pipeline cannot begin with coalesce()")
		}
		s, err := p.stage()
		if err != nil {
			return nil, err
		}
		stages = append(stages, s)
		if !p.is("|") || slices.Contains(metricNames(), p.tokens[p.next+1].text) {
			return stages, nil
		}
		p.take()
	}
}

func (p *parser) stage() (stage, error) {
	t := p.peek()
	switch {
	case t.kind == identifier && slices.Contains([]string{"count", "min", "max", "sum", "avg"}, t.text):
		return p.aggregate()
	case p.is("by"):
		return p.group()
	case p.accept("coalesce"):
		return coalesce{}, p.expect("(", ")")
	case p.accept("select"):
		fields, err := p.fieldList()
		for _, f := range fields {
			p.query.show(f)
		}
		return choose{fields}, err
	case p.is("{"), p.is("("):
		return p.combined()
	case t.kind == literal || p.is("-"):
		return nil, p.unexpected("a comparison of a computed value begins with the function, as in count() > 1")
	}
	return nil, p.unexpected("expected a spanset such as { status = error }, or count, min, max, sum, avg, by, coalesce " +
		"or select")
}

// structural reports whether an operator relates spansets by the structure of the trace.
func structural(op string) bool {
	switch op {
	case ">", ">>", "<", "<<", "~", "!>", "!>>", "!<", "!<<", "!~", "&>", "&>>", "&<", "&<<", "&~":
		return true
	}
	return false
}

// combined parses spansets that operators combine. && and || have one precedence, below
// that of the structural operators, which have one, too.
func (p *parser) combined() (stage, error) {
	return p.leftToRight(p.structure, func(op string) bool { return op == "&&" || op == "||" })
}

func (p *parser) structure() (stage, error) { return p.leftToRight(p.spanset, structural) }

func (p *parser) leftToRight(operand func() (stage, error), combines func(op string) bool) (stage, error) {
	left, err := operand()
	for err == nil {
		t := p.peek()
		if t.kind != operator || !combines(t.text) {
			return left, nil
		}
		p.take()
		var right stage
		if right, err = operand(); err == nil && structural(t.text) && (grouped(left) || grouped(right)) {
			err = errorAt(p.text, t.at, "%s relates one spanset to another: end the pipeline that has by(…) with | "+
				"coalesce()", t.text)
		}
		left = &combination{t.text, left, right}
	}
	return nil, err
}

// grouped reports whether a stage may return several spansets.
func grouped(s stage) (is bool) {
	if stages, ok := s.(pipe); ok {
		for _, s := range stages {
			switch s.(type) {
			case *group:
				is = true
			case coalesce:
				is = false
			}
		}
	}
	return is
}

// spanset parses { … }, or a pipeline in parentheses.
func (p *parser) spanset() (stage, error) {
	if p.is("(") {
		leave, err := p.nest()
		if err != nil {
			return nil, err
		}
		defer leave()
		p.take()
		stages, err := p.pipeline()
		if err != nil {
			return nil, err
		}
		return pipe(stages), p.expect(")")
	}
	return p.braces()
}

func (p *parser) braces() (*filter, error) {
	if p.spansets++; p.spansets > MaxSpansets {
		return nil, p.errorHere("the query has more than %d spansets", MaxSpansets)
	}
	if err := p.expect("{"); err != nil {
		return nil, err
	}
	f := &filter{where: constant{boolValue(true)}}
	if p.accept("}") {
		return f, nil
	}
	at := p.peek().at
	where, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if t := where.typ(); t != TypeBool && t != typeUnknown {
		return nil, errorAt(p.text, at, "{ %s } is a %v: a condition is true or false, as in { status = error }", where, t)
	}
	f.where = where
	p.query.show(where)
	return f, p.expect("}")
}

func (p *parser) group() (stage, error) {
	if err := p.expect("by", "("); err != nil {
		return nil, err
	}
	at := p.peek().at
	by, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if !by.ofSpan() {
		return nil, errorAt(p.text, at, "by(%s) is the same for all spans: it needs a field", by)
	}
	p.query.show(by)
	return &group{by}, p.expect(")")
}

// aggregate parses a computed value that is compared with a number, such as
// max(duration) > 1s.
func (p *parser) aggregate() (stage, error) {
	a := &aggregate{name: p.take().text}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	of := TypeInt
	if a.name != "count" {
		at := p.peek().at
		var err error
		if a.of, err = p.expression(0); err != nil {
			return nil, err
		}
		of = a.of.typ()
		if of != typeUnknown && !of.numeric() || !a.of.ofSpan() {
			return nil, errorAt(p.text, at, "%s needs a number or a duration of the span, such as duration or span.size: %s "+
				"is none", a.name, a.of)
		}
		p.query.show(a.of)
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	t := p.peek()
	if t.kind != operator || !slices.Contains([]string{"=", "!=", "<", "<=", ">", ">="}, t.text) {
		return nil, p.unexpected(a.String() + " must be compared with a number or a duration, as in | " + a.String() +
			" > 2: Tempo supports no arithmetic here")
	}
	a.op = p.take().text
	var err error
	if a.value, err = p.number(); err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind == operator && arithmetic(t.text) {
		return nil, p.unexpected("Tempo supports no arithmetic here")
	}
	return a, nil
}

// number parses a number or a duration, which may be negative.
func (p *parser) number() (Value, error) {
	negative := p.accept("-")
	t := p.peek()
	if t.kind != literal || !t.value.Type.numeric() {
		return Value{}, p.unexpected("expected a number or a duration")
	}
	p.take()
	if negative {
		t.value.Int, t.value.Float = -t.value.Int, -t.value.Float
	}
	return t.value, nil
}

// fieldList parses fields in parentheses.
func (p *parser) fieldList() (list []Field, err error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	for {
		f, err := p.field()
		if err != nil {
			return nil, err
		}
		if list = append(list, f); !p.accept(",") {
			return list, p.expect(")")
		}
	}
}

// field parses the name of a field.
func (p *parser) field() (Field, error) {
	switch t := p.peek(); t.kind {
	case attribute:
		return p.take().field, nil
	case identifier:
		f, err := intrinsic(t.text)
		if err != nil {
			return f, p.errorHere("%v", err)
		}
		p.take()
		return f, nil
	}
	return Field{}, p.unexpected("expected the name of a field, such as span.http.route or duration")
}

// hints parses with(name = value, …).
func (p *parser) hints() error {
	if err := p.expect("with", "("); err != nil {
		return err
	}
	for {
		t := p.peek()
		if t.kind != identifier {
			return p.unexpected("expected the name of a hint, as in with (most_recent=true)")
		}
		p.take()
		if err := p.expect("="); err != nil {
			return err
		}
		e, err := p.operand()
		if err != nil {
			return err
		}
		c, ok := e.(constant)
		if !ok {
			return errorAt(p.text, t.at, "the value of the hint %s must be a constant", t.text)
		}
		if p.query.Hints[t.text] = c.value; !p.accept(",") {
			return p.expect(")")
		}
	}
}

// compile compiles a regular expression.
func (p *parser) compile(at int, op string, r expr) (*pattern.Pattern, error) {
	c, ok := r.(constant)
	if !ok || c.value.Type != TypeString {
		return nil, errorAt(p.text, at, "%s compares with a text, a regular expression such as %[1]s \"GET.*\"", op)
	}
	re, err := p.query.patterns.Compile(c.value.Text, pattern.Whole)
	if err != nil {
		return nil, errorAt(p.text, at, "regular expression: %v", err)
	}
	return re, nil
}
