package store

import (
	"strconv"
	"strings"
)

// Scope is the place of an attribute.
type Scope string

// The scopes of attributes.
const (
	ScopeResource Scope = "resource"
	ScopeSpan     Scope = "span"
	ScopeAny      Scope = "any" // either
	// ScopeIntrinsic is the scope of the intrinsics: Name, with texts; Status, Kind and
	// Duration, with numbers (OTLP's, and nanoseconds).
	ScopeIntrinsic Scope = "intrinsic"
)

// The names of intrinsics. A condition on ID, that of the trace, compares all hex digits,
// with [Equal]. One on Root holds for spans without a parent; its operator and value do not
// count.
const (
	ID       = fieldTrace
	Root     = fieldRoot
	Name     = "name"
	Status   = "status"
	Kind     = "kind"
	Duration = "duration"
)

// Op is a comparison.
type Op string

// The comparisons. Matches and NotMatches compare with a regular expression for the whole
// text.
const (
	Equal        Op = "="
	NotEqual     Op = "!="
	Matches      Op = "=~"
	NotMatches   Op = "!~"
	Less         Op = "<"
	LessEqual    Op = "<="
	Greater      Op = ">"
	GreaterEqual Op = ">="
	Exists       Op = "exists" // the value does not count
)

// Condition compares a field of a span with a value.
type Condition struct {
	Scope Scope
	Name  string // of the attribute or intrinsic
	Op    Op
	Value any // string, int64, float64 or bool

	// Any, if it is not empty, is the whole condition: that all conditions of one of its
	// lists hold.
	Any [][]Condition
}

// filter writes conditions as a filter of the engine. The filter matches each span that
// they match, and it may match others.
func filter(conditions []Condition) string {
	var all []string
	for _, c := range conditions {
		if f := c.filter(); f != "" {
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		return everything
	}
	return strings.Join(all, " ")
}

// filter returns a filter that matches each span that the condition matches, or "" if the
// engine has no such filter.
func (c Condition) filter() string {
	var alternatives []string
	for _, list := range c.Any {
		f := filter(list)
		if f == everything {
			return ""
		}
		alternatives = append(alternatives, "("+f+")")
	}
	if len(c.Any) > 0 {
		return "(" + strings.Join(alternatives, " or ") + ")"
	}
	exact, any := c.exact()
	if c.Scope == ScopeIntrinsic && c.Name == Root {
		return "(" + exact + " or " + any[0] + ")"
	}
	attribute := Attribute{c.Scope, c.Name}
	switch {
	case attribute.service() || c.Scope == ScopeIntrinsic && c.Name != Name:
		return exact // the index has these of each span
	case exact != "":
		any = append(any, exact)
	case c.Scope == ScopeIntrinsic:
		return ""
	default: // spans that have the attribute
		for _, name := range attribute.fields() {
			any = append(any, quote(name)+":*")
		}
		any = append(any, attribute.absent()...)
	}
	return "(" + strings.Join(append(any, fieldMore+`:="1"`), " or ") + ")"
}

// exact returns a filter that matches exactly the spans that the condition matches, except
// for spans that a filter of doubt matches or that have the field more. It returns "" if
// there is none.
func (c Condition) exact() (filter string, doubt []string) {
	var alternatives []string
	for _, list := range c.Any {
		f, unsure := exactFilter(list)
		if f == "" {
			return "", nil
		}
		alternatives, doubt = append(alternatives, "("+f+")"), append(doubt, unsure...)
	}
	if len(c.Any) > 0 {
		return "(" + strings.Join(alternatives, " or ") + ")", doubt
	}
	text, isText := c.Value.(string)
	n, isInt := c.Value.(int64)
	attribute := Attribute{c.Scope, c.Name}
	switch {
	case c.Scope == ScopeIntrinsic && c.Name == Name:
		return parens(textFilter(fieldName, c.Op, text)), nil
	case c.Scope == ScopeIntrinsic && c.Name == Root: // rows of older versions do not have it
		return fieldRoot + `:="1"`, []string{"!" + fieldRoot + ":*"}
	case c.Scope == ScopeIntrinsic && c.Name == ID && isText:
		return parens(textFilter(fieldTrace, c.Op, text)), nil
	case c.Scope == ScopeIntrinsic && isInt && n > -maxExact && n < maxExact:
		return parens(intrinsicFilter(c.Name, c.Op, n)), nil
	case c.Scope == ScopeIntrinsic, attribute.service() && (!isText || len(text) >= maxValue): // the field has the first bytes
		return "", nil
	case attribute.service() && c.Op == Equal && text != "":
		return "{" + fieldService + "=" + quote(text) + "}", nil
	case attribute.service():
		return parens(textFilter(fieldService, c.Op, text)), attribute.doubt()
	}
	var any []string
	above := "" // matches if no preceding scope has the attribute
	for _, scope := range c.scopes() {
		name := func(kind string) string { return quote(scope + kind + c.Name) }
		switch v := c.Value.(type) {
		case string:
			f := textFilter(name(typeString), c.Op, v)
			if f == "" {
				return "", nil
			}
			if any = append(any, "("+above+name(typeString)+":* "+f+")"); c.Op == Equal && v == "" || c.Op == NotEqual && v != "" {
				any = append(any, "("+above+name(typeEmpty)+":*)")
			} else if c.Op == Matches || c.Op == NotMatches {
				doubt = append(doubt, name(typeEmpty)+":*")
			}
		case bool:
			any = append(any, "("+above+name(typeBool)+":="+quote(strconv.FormatBool(v == (c.Op == Equal)))+")")
		case int64:
			if v <= -maxExact || v >= maxExact {
				return "", nil
			}
			any = append(any, "("+above+numberFilter(scope+typeInt+c.Name, c.Op, v)+")")
			doubt = append(doubt, name(typeFloat)+":*")
		default:
			return "", nil
		}
		for _, kind := range kinds() {
			above += "!" + name(kind) + ":* "
		}
	}
	return "(" + strings.Join(any, " or ") + ")", append(doubt, append(attribute.doubt(), attribute.absent()...)...)
}

// exactFilter writes conditions as a filter of the engine that matches exactly the spans
// that they match, except for spans that a filter of doubt matches. It returns "" if there
// is none.
func exactFilter(conditions []Condition) (exact string, doubt []string) {
	doubt = []string{fieldMore + `:="1"`}
	all := []string{everything}
	for _, c := range conditions {
		f, unsure := c.exact()
		if f == "" {
			return "", nil
		}
		all = append(all, f)
		doubt = append(doubt, unsure...)
	}
	return strings.Join(all, " "), doubt
}

// parens encloses a filter, if there is one.
func parens(filter string) string {
	if filter == "" {
		return ""
	}
	return "(" + filter + ")"
}

// intrinsicFilter compares an intrinsic that is a number. A status that OTLP does not
// have is none.
func intrinsicFilter(name string, op Op, n int64) string {
	if name == Status && n == 0 && op == Equal {
		return "!" + Status + ":in(1,2)"
	}
	if name == Status && n == 0 && op == NotEqual {
		return Status + ":in(1,2)"
	}
	return numberFilter(name, op, n)
}

func (c Condition) scopes() []string {
	switch c.Scope {
	case ScopeResource:
		return []string{scopeResource}
	case ScopeSpan:
		return []string{scopeSpan}
	}
	return []string{scopeSpan, scopeResource}
}

func textFilter(field string, op Op, text string) string {
	switch op {
	case Equal:
		return field + ":=" + quote(text)
	case NotEqual:
		return "!" + field + ":=" + quote(text)
	case Matches:
		return field + ":~" + quote("^(?s:"+text+")$")
	case NotMatches:
		return "!" + field + ":~" + quote("^(?s:"+text+")$")
	}
	return ""
}

// maxExact is the first number beyond those that the engine compares exactly: it compares
// float64.
const maxExact = 1 << 53

func numberFilter(field string, op Op, n int64) string {
	value := strconv.FormatInt(n, 10)
	switch {
	case op == Equal:
		return quote(field) + ":=" + quote(value)
	case op == NotEqual:
		return quote(field) + ":* !" + quote(field) + ":=" + quote(value)
	case n >= maxExact || n <= -maxExact:
		return quote(field) + ":*"
	}
	return quote(field) + ":" + string(op) + value
}
