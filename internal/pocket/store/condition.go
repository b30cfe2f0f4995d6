package store

import (
	"strconv"
	"strings"
)

// Scope says where an attribute is.
type Scope string

// The scopes of attributes.
const (
	ScopeResource Scope = "resource"
	ScopeSpan     Scope = "span"
	ScopeAny      Scope = "any" // either
	// ScopeIntrinsic is that of the intrinsics: Name, with texts; Status, Kind and
	// Duration, with numbers (OTLP's, and nanoseconds).
	ScopeIntrinsic Scope = "intrinsic"
)

// The names of intrinsics.
const (
	Name     = "name"
	Status   = "status"
	Kind     = "kind"
	Duration = "duration"
)

// Op is a comparison.
type Op string

// The comparisons. Matches and NotMatches compare with a regular expression that
// the whole text must fulfil.
const (
	Equal        Op = "="
	NotEqual     Op = "!="
	Matches      Op = "=~"
	NotMatches   Op = "!~"
	Less         Op = "<"
	LessEqual    Op = "<="
	Greater      Op = ">"
	GreaterEqual Op = ">="
)

// Condition compares a field of a span with a value.
type Condition struct {
	Scope Scope
	Name  string // of the attribute or intrinsic
	Op    Op
	Value any // string, int64, float64 or bool
}

// filter writes conditions as a filter of the engine. The filter holds for each
// span for which they hold, and it may hold for others.
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

// filter returns "" where the engine cannot help.
func (c Condition) filter() string {
	text, isText := c.Value.(string)
	switch {
	case c.Scope == ScopeIntrinsic && c.Name == Name:
		if f := textFilter(fieldName, c.Op, text); f != "" {
			return "(" + f + " or " + fieldMore + `:="1")`
		}
		return ""
	case c.Scope == ScopeIntrinsic:
		n, ok := c.Value.(int64)
		if !ok {
			return ""
		}
		return intrinsicFilter(c.Name, c.Op, n)
	case c.Scope == ScopeResource && c.Name == AttrServiceName && isText:
		if len(text) >= maxValue {
			return "" // the field has the first bytes of it
		}
		if c.Op == Equal && text != "" {
			return "{" + fieldService + "=" + quote(text) + "}"
		}
		return textFilter(fieldService, c.Op, text)
	}
	any := []string{fieldMore + `:="1"`}
	for _, scope := range c.scopes() {
		name := func(kind string) string { return quote(scope + kind + c.Name) }
		any = append(any, name(typeOther)+":*")
		switch v := c.Value.(type) {
		case string:
			any = append(any, name(typeEmpty)+":*")
			if f := textFilter(name(typeString), c.Op, v); f != "" {
				any = append(any, "("+name(typeString)+":* "+f+")")
			} else {
				any = append(any, name(typeString)+":*")
			}
		case bool:
			any = append(any, name(typeBool)+":*")
		case int64:
			any = append(any, "("+numberFilter(scope+typeInt+c.Name, c.Op, v)+")", name(typeFloat)+":*")
		default:
			any = append(any, name(typeInt)+":*", name(typeFloat)+":*")
		}
	}
	return "(" + strings.Join(any, " or ") + ")"
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

// maxExact is above the numbers that the engine compares exactly: it compares
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
