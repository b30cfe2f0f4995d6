package traceql

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dicelab/internal/embedded/pattern"
)

// MaxLength is the greatest length of a query, in bytes.
const MaxLength = 16 << 10

// MaxSpansets is the largest number of spansets in a query: each is compared with every
// span of every trace that is read.
const MaxSpansets = 10

// Bounds of the nesting of a query. The parser calls itself for each level, and so does
// the evaluation.
const (
	MaxDepth = 100          // parentheses within parentheses
	maxBegun = 4 * MaxDepth // spansets that are parsed before their number is an error
)

// Error describes an error in a query and its place, in Tempo's form.
type Error struct {
	Line, Column int // from 1; the column counts characters
	Message      string
}

func (e *Error) Error() string {
	return fmt.Sprintf("invalid TraceQL query: parse error at line %d, col %d: %s", e.Line, e.Column, e.Message)
}

func errorAt(pos lexer.Position, format string, args ...any) *Error {
	return &Error{Line: max(pos.Line, 1), Column: max(pos.Column, 1), Message: fmt.Sprintf(format, args...)}
}

// unsupported returns an error that names a construct, and the way to the whole language.
func unsupported(pos lexer.Position, what string) *Error {
	return errorAt(pos, "%s not supported by the embedded stack: start the lab with --stack=native, which runs Tempo itself", what)
}

// Parser parses queries. It may be used from many goroutines.
type Parser struct {
	parser *participle.Parser[queryNode]
}

// NewParser returns a parser.
func NewParser() (*Parser, error) {
	p, err := newParser()
	if err != nil {
		return nil, fmt.Errorf("building the TraceQL parser: %w", err)
	}
	return &Parser{parser: p}, nil
}

// Parse parses a query that finds spans; the error is an [*Error].
func (p *Parser) Parse(text string) (*Query, error) {
	q, pos, err := p.parse(text)
	if err == nil && q.Metric != nil {
		return nil, errorAt(pos, "| rate() and | count_over_time() make a query for metrics, which /api/metrics/query_range and /api/metrics/query answer")
	}
	return q, err
}

// ParseMetric parses a query for metrics; the error is an [*Error].
func (p *Parser) ParseMetric(text string) (*Query, error) {
	q, pos, err := p.parse(text)
	switch {
	case err != nil:
		return nil, err
	case q.Metric == nil:
		return nil, errorAt(pos, "a query for metrics ends with | rate() or | count_over_time(), which by (...) may follow: other functions are not supported by the embedded stack: "+
			"start the lab with --stack=native, which runs Tempo itself")
	case len(q.spansets) > 1 || len(q.counts) > 0:
		return nil, unsupported(pos, "counting what > or >> or | count() finds is")
	}
	for _, f := range q.Metric.By {
		if f.Scope == Duration || f.Scope >= TraceDuration {
			return nil, unsupported(pos, "counting by "+f.Name+" is")
		}
	}
	for _, f := range q.shown {
		if f.field.Scope >= TraceDuration {
			return nil, unsupported(pos, "counting by a condition on "+f.field.Name+", of which the trace has to be read, is")
		}
	}
	return q, nil
}

// parse parses a query and returns where its metric begins, or its end.
func (p *Parser) parse(text string) (*Query, lexer.Position, error) {
	pos := lexer.Position{Line: 1, Column: 1}
	node, err := p.tree(text)
	if err != nil {
		return nil, pos, err
	}
	q, err := build(node, text)
	if err != nil {
		return nil, pos, err
	}
	if node.Metric == nil {
		pos.Advance(text)
		return q, pos, nil
	}
	q.Metric = &Metric{Rate: node.Metric.Func == "rate", Name: node.Metric.Func}
	for _, by := range node.Metric.By {
		f, err := parseField(by)
		if err != nil {
			return nil, pos, err
		}
		q.Metric.By = append(q.Metric.By, f)
	}
	return q, node.Metric.Pos, nil
}

// tree parses a query into its syntax tree.
func (p *Parser) tree(text string) (*queryNode, error) {
	if len(text) > MaxLength {
		return nil, errorAt(lexer.Position{}, "the query has %d bytes: at most %d are allowed", len(text), MaxLength)
	}
	start := lexer.Position{Line: 1, Column: 1}
	if trimmed := strings.TrimSpace(text); trimmed == "" {
		return nil, errorAt(start, "the query is empty: {} finds every trace")
	} else if trimmed[0] != '{' {
		return nil, errorAt(start, "a query begins with {, as in { status = error }: anything else is not supported by the embedded stack: start the lab with --stack=native, which runs Tempo itself")
	}
	if err := p.checkNesting(text); err != nil {
		return nil, err
	}
	node, err := p.parser.ParseString("", text)
	if err != nil {
		var perr participle.Error
		if errors.As(err, &perr) {
			return nil, errorAt(perr.Position(), "syntax error: %s", hint(perr.Message()))
		}
		return nil, errorAt(start, "syntax error: %v", err)
	}
	return node, nil
}

// build compiles a syntax tree into a query.
func build(node *queryNode, text string) (q *Query, err error) {
	q = &Query{}
	b := builder{query: q, fields: make(map[Field]int)}
	last := node.Spanset
	for below := ""; ; {
		step := spanset{below: below}
		if last.Where != nil {
			if step.where, err = b.where(last.Where); err != nil {
				return nil, err
			}
		}
		q.spansets = append(q.spansets, step)
		if last.Below == nil {
			break
		}
		if len(q.spansets) == MaxSpansets {
			return nil, errorAt(last.Below.Pos, "the query has more than %d spansets", MaxSpansets)
		}
		below, last = last.Below.Op, last.Below.Spanset
	}
	if q.counts, err = counts(last.Counts); err != nil {
		return nil, err
	}
	switch {
	case last.Close != "" && node.Tail != nil && (node.Tail.First == ">" || node.Tail.First == ">>"):
		return nil, errorAt(node.Tail.Pos, "syntax error: after %[1]s comes a spanset, as in { status = error } %[1]s { kind = server }", node.Tail.First)
	case last.Close != "" && node.Tail != nil:
		return nil, unsupported(node.Tail.Pos, tail(node.Tail.First))
	case last.Close != "":
		return q, nil
	case node.Tail != nil:
		return nil, errorAt(node.Tail.Pos, "syntax error: %s", hint(fmt.Sprintf("unexpected token %q", node.Tail.First)))
	}
	start := lexer.Position{Line: 1, Column: 1}
	start.Advance(text)
	return nil, errorAt(start, "syntax error: %s", hint(`unexpected token "<EOF>"`))
}

// checkNesting rejects a query that nests too deeply for the parser. If text has no tokens,
// it returns nil, since the parser has the error for that.
func (p *Parser) checkNesting(text string) error {
	tokens, err := p.parser.Lex("", strings.NewReader(text))
	if err != nil {
		return nil
	}
	depth, begun := 0, 0
	for _, t := range tokens {
		switch t.Value {
		case "(":
			depth++
		case ")":
			depth--
		case "{":
			begun++
		}
		if depth > MaxDepth {
			return errorAt(t.Pos, "the query has more than %d parentheses within each other", MaxDepth)
		}
		if begun > maxBegun {
			return errorAt(t.Pos, "the query has more than %d spansets", MaxSpansets)
		}
	}
	return nil
}

func counts(nodes []*countNode) (list []count, err error) {
	for _, n := range nodes {
		number, err := strconv.ParseInt(n.Number, 10, 64)
		if err != nil {
			return nil, errorAt(n.Pos, "count() is compared with a whole number, as in | count() > 2")
		}
		list = append(list, count{n.Op, number})
	}
	return list, nil
}

// hint returns the parser's message in terms of the query.
func hint(message string) string {
	message, _, _ = strings.Cut(message, " (expected") // it names the grammar's parts
	for _, operator := range []string{"+", "-", "*", "/", "%", "^", "!"} {
		if strings.HasSuffix(message, strconv.Quote(operator)) {
			return message + ": arithmetic and negation are not supported by the embedded stack, --stack=native has them"
		}
	}
	if strings.HasSuffix(message, `"<EOF>"`) {
		return "the query ends too early: a { or ( is not closed, or a value is missing"
	}
	return message + ": a condition is a name, one of = != =~ !~ < <= > >=, and a value; conditions are joined by && and ||"
}

// tail returns a name for the token that follows a spanset.
func tail(token string) string {
	switch token {
	case "|":
		return "pipelines (|) but for | count() > n are"
	case "&&", "||":
		return "combining spansets ({…} " + token + " {…}) is"
	case "<", "<<", "~", "!>", "!>>", "!<", "!<<", "!~", "!", "&>", "&>>", "&<", "&<<", "&~":
		return "structural operators but for > and >> (here: " + token + ") are"
	}
	return fmt.Sprintf("%q after the spanset is", token)
}

// builder compiles a syntax tree into a query.
type builder struct {
	query  *Query
	fields map[Field]int // indexes into query.shown
}

// where joins conditions as Tempo does: && and || have one precedence.
func (b *builder) where(n *whereNode) (expr, error) {
	joined, err := b.term(n.First)
	if err != nil {
		return nil, err
	}
	for _, next := range n.Rest {
		e, err := b.term(next.Term)
		if err != nil {
			return nil, err
		}
		if next.Op == "&&" {
			joined = allOf{joined, e}
		} else {
			joined = anyOf{joined, e}
		}
	}
	return joined, nil
}

func (b *builder) term(n *termNode) (expr, error) {
	if n.Group != nil {
		return b.where(n.Group)
	}
	return b.condition(n.Condition)
}

func (b *builder) condition(n *conditionNode) (expr, error) {
	field, err := parseField(n.Field)
	if err != nil {
		return nil, err
	}
	if n.Value == nil {
		return nil, unsupported(n.Pos, "a name that is not compared at once (a bare name, arithmetic) is")
	}
	value, err := parseValue(*n.Value, field)
	if err != nil {
		return nil, err
	}
	c := &Condition{Field: field, Op: n.Op, Value: value}
	if err := c.check(n.Value.Pos, &b.query.patterns); err != nil {
		return nil, err
	}
	b.query.show(c, b.fields)
	return c, nil
}

// ParseField parses the name of a field as in a query, such as span.die.type or status.
// The error is an [*Error].
func ParseField(text string) (Field, error) {
	return parseField(fieldNode{Pos: lexer.Position{Line: 1, Column: 1}, Text: text})
}

func parseField(n fieldNode) (Field, error) {
	scope, name, dotted := strings.Cut(n.Text, ".")
	if !dotted {
		switch n.Text {
		case "name", "span:name":
			return Field{Name, "name"}, nil
		case "status", "span:status":
			return Field{Status, "status"}, nil
		case "kind", "span:kind":
			return Field{Kind, "kind"}, nil
		case "duration", "span:duration":
			return Field{Duration, "duration"}, nil
		case "traceDuration", "trace:duration":
			return Field{TraceDuration, "traceDuration"}, nil
		case "rootName", "trace:rootName":
			return Field{RootName, "rootName"}, nil
		case "rootServiceName", "trace:rootService":
			return Field{RootServiceName, "rootServiceName"}, nil
		}
		return Field{}, unsupported(n.Pos, fmt.Sprintf("%q is not a name that can be compared here (name, status, kind, duration, traceDuration, rootName, rootServiceName, or an attribute such as span.%s); it is", n.Text, n.Text))
	}
	name, err := unquoteParts(name)
	if err != nil {
		return Field{}, errorAt(n.Pos, "syntax error: name %s: %v", n.Text, err)
	}
	switch scope {
	case "":
		return Field{Scope: AnyScope, Name: name}, nil
	case "resource":
		return Field{Scope: ResourceScope, Name: name}, nil
	case "span":
		return Field{Scope: SpanScope, Name: name}, nil
	}
	return Field{}, unsupported(n.Pos, fmt.Sprintf("scope %q (of resource, span and none) is", scope))
}

// unquoteParts resolves the quoted parts of a name: span."a b".c is a b.c.
func unquoteParts(name string) (string, error) {
	var b strings.Builder
	for name != "" {
		i := strings.IndexByte(name, '"')
		if i < 0 {
			break
		}
		b.WriteString(name[:i])
		quoted, err := strconv.QuotedPrefix(name[i:])
		if err != nil {
			return "", errors.New("a quoted part is not closed")
		}
		part, err := strconv.Unquote(quoted)
		if err != nil {
			return "", fmt.Errorf("reading quoted part: %w", err)
		}
		b.WriteString(part)
		name = name[i+len(quoted):]
	}
	return b.String() + name, nil
}

func parseValue(n valueNode, field Field) (Value, error) {
	switch {
	case n.String != nil:
		s, err := strconv.Unquote(*n.String)
		if err != nil {
			return Value{}, errorAt(n.Pos, "syntax error: string %s: %v (a backslash is written \\\\, or use backticks)", *n.String, err)
		}
		return Value{Type: String, Text: s}, nil
	case n.Open != nil:
		return Value{}, errorAt(n.Pos, "syntax error: the text that begins here with %.1s does not end", *n.Open)
	case n.Raw != nil:
		return Value{Type: String, Text: strings.Trim(*n.Raw, "`")}, nil
	case n.Duration != nil:
		d, err := time.ParseDuration(*n.Duration)
		if err != nil {
			return Value{}, errorAt(n.Pos, "syntax error: duration %s: write it like 100ms, 1.5s or 2m", *n.Duration)
		}
		return Value{Type: Time, Int: int64(d)}, nil
	case n.Number != nil:
		if i, err := strconv.ParseInt(*n.Number, 10, 64); err == nil {
			return Value{Type: Int, Int: i}, nil
		}
		f, err := strconv.ParseFloat(*n.Number, 64)
		if err != nil || math.IsInf(f, 0) {
			return Value{}, errorAt(n.Pos, "syntax error: number %s is out of range", *n.Number)
		}
		return Value{Type: Float, Float: f}, nil
	}
	return parseWord(n.Pos, *n.Word, field)
}

func parseWord(pos lexer.Position, word string, field Field) (Value, error) {
	if word == "true" || word == "false" {
		return Value{Type: Bool, Bool: word == "true"}, nil
	}
	if word == "nil" {
		return Value{}, unsupported(pos, "comparing with nil is")
	}
	switch field.Scope {
	case Status:
		if code, ok := tracepb.Status_StatusCode_value["STATUS_CODE_"+strings.ToUpper(word)]; ok {
			return Value{Type: StatusCode, Int: int64(code), Text: word}, nil
		}
	case Kind:
		if kind, ok := tracepb.Span_SpanKind_value["SPAN_KIND_"+strings.ToUpper(word)]; ok {
			return Value{Type: SpanKind, Int: int64(kind), Text: word}, nil
		}
	default:
		if strings.Contains(word, ".") {
			return Value{}, unsupported(pos, "comparing two fields is")
		}
		return Value{}, errorAt(pos, "syntax error: %s is no value: quote text, as in %q", word, word)
	}
	return Value{}, errorAt(pos, "%s: %s", word, wants(field))
}

// wants returns a description of the values with which an intrinsic can be compared.
func wants(field Field) string {
	switch field.Scope {
	case Status:
		return "status is compared with ok, error or unset, by = or !="
	case Kind:
		return "kind is compared with unspecified, internal, server, client, producer or consumer, by = or !="
	case Duration, TraceDuration:
		return field.Name + " is compared with a duration such as 100ms or 1.5s"
	}
	return field.Name + ` is compared with text such as "roll"`
}

// check rejects a condition that can never match because of its types, and compiles its
// regular expression.
func (c *Condition) check(pos lexer.Position, patterns *pattern.Set) error {
	equality := c.Op == "=" || c.Op == "!="
	var ok bool
	switch c.Field.Scope {
	case Status:
		ok = c.Value.Type == StatusCode && equality
	case Kind:
		ok = c.Value.Type == SpanKind && equality
	case Duration, TraceDuration:
		ok = c.Value.Type == Time
	case Name, RootName, RootServiceName:
		ok = c.Value.Type == String
	default:
		ok = true
	}
	if !ok {
		return errorAt(pos, "%s", wants(c.Field))
	}
	if c.Op == "=~" || c.Op == "!~" {
		if c.Value.Type != String {
			return errorAt(pos, "%s compares with text, a regular expression such as %s \"GET.*\"", c.Op, c.Op)
		}
		re, err := patterns.Compile(c.Value.Text, pattern.Whole)
		if err != nil {
			return errorAt(pos, "regular expression: %v", err)
		}
		c.Pattern = re
	}
	if c.Value.Type == Bool && !equality {
		return errorAt(pos, "true and false are compared by = or !=")
	}
	return nil
}
