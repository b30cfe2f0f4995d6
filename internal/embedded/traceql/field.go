package traceql

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Scope is the place of an attribute; or it says that a field is an intrinsic.
type Scope int

// The scopes of fields.
const (
	AnyScope             Scope = iota // the span's attributes, then the resource's
	SpanScope                         // the span's attributes
	ResourceScope                     // the resource's attributes
	EventScope                        // attributes of the span's events
	LinkScope                         // attributes of the span's links
	InstrumentationScope              // attributes of the span's instrumentation scope
	Intrinsic                         // Field.Name is one of the names below
)

// The names of intrinsics, as Tempo has them in responses.
const (
	Name            = "name"
	Status          = "status"
	StatusMessage   = "statusMessage"
	Kind            = "kind"
	Duration        = "duration"
	SpanID          = "span:id"
	ParentID        = "span:parentID"
	ChildCount      = "span:childCount"
	TraceID         = "trace:id"
	TraceDuration   = "traceDuration"
	RootName        = "rootName"
	RootServiceName = "rootServiceName"
	EventName       = "event:name"
	EventTime       = "event:timeSinceStart"
	LinkSpanID      = "link:spanID"
	LinkTraceID     = "link:traceID"
	ScopeName       = "instrumentation:name"
	ScopeVersion    = "instrumentation:version"
	NestedSetLeft   = "nestedSetLeft"
	NestedSetRight  = "nestedSetRight"
	NestedSetParent = "nestedSetParent"
)

// serviceName is the attribute of a resource that every span has for Tempo.
const serviceName = "service.name"

// Field names an attribute or an intrinsic.
type Field struct {
	Scope Scope
	Name  string // of an attribute, without the scope
}

// scopeNames are the names of scopes in queries.
func scopeNames() map[string]Scope {
	return map[string]Scope{
		"": AnyScope, "span": SpanScope, "resource": ResourceScope, "event": EventScope, "link": LinkScope,
		"instrumentation": InstrumentationScope,
	}
}

// String returns the scope as queries name it, "" for AnyScope.
func (s Scope) String() string {
	return [...]string{"", "span", "resource", "event", "link", "instrumentation", "intrinsic"}[s]
}

// String returns the field as a query names it.
func (f Field) String() string {
	if f.Scope == Intrinsic {
		return f.Name
	}
	name := f.Name
	if strings.ContainsFunc(name, func(r rune) bool { return !inName(r) }) {
		name = strconv.Quote(name)
	}
	return f.Scope.String() + "." + name
}

// aliases are the other names of intrinsics.
func aliases() map[string]string {
	return map[string]string{
		"span:name": Name, "span:status": Status, "span:statusMessage": StatusMessage, "span:kind": Kind,
		"span:duration": Duration, "trace:duration": TraceDuration, "trace:rootName": RootName,
		"trace:rootService": RootServiceName,
	}
}

// Intrinsics returns the names of all intrinsics.
func Intrinsics() []string {
	return []string{Name, Status, StatusMessage, Kind, Duration, SpanID, ParentID, ChildCount, TraceID, TraceDuration,
		RootName, RootServiceName, EventName, EventTime, LinkSpanID, LinkTraceID, ScopeName, ScopeVersion,
		NestedSetLeft, NestedSetRight, NestedSetParent}
}

// typ returns the type of an intrinsic, or typeUnknown.
func (f Field) typ() Type {
	if f.Scope != Intrinsic {
		return typeUnknown
	}
	switch f.Name {
	case Duration, TraceDuration, EventTime:
		return TypeDuration
	case Status:
		return TypeStatus
	case Kind:
		return TypeKind
	case ChildCount, NestedSetLeft, NestedSetRight, NestedSetParent:
		return TypeInt
	}
	return TypeString
}

// OfTrace reports whether more than the span itself is needed to find the field's value.
func (f Field) OfTrace() bool {
	if f.Scope != Intrinsic {
		return false
	}
	switch f.Name {
	case TraceDuration, RootName, RootServiceName, ChildCount, NestedSetLeft, NestedSetRight, NestedSetParent:
		return true
	}
	return false
}

// ParseField parses the name of a field as in a query, such as span.die.type or status.
// The error is an [*Error].
func ParseField(text string) (Field, error) {
	tokens, err := lex(text)
	if err != nil {
		return Field{}, err
	}
	p := &parser{text: text, tokens: tokens}
	f, err := p.field()
	if err == nil {
		err = p.end()
	}
	return f, err
}

// intrinsic returns the intrinsic of a name.
func intrinsic(name string) (Field, error) {
	if canonical, ok := aliases()[name]; ok {
		name = canonical
	}
	if slices.Contains(Intrinsics(), name) {
		return Field{Intrinsic, name}, nil
	}
	if name == "parent" {
		return Field{}, errors.New("parent is not supported, neither here nor by Tempo: use span:parentID or nestedSetParent")
	}
	return Field{}, fmt.Errorf("%q is not a field: an attribute has a scope, as in span.%[1]s or .%[1]s; "+
		"intrinsics are name, status, kind, duration, span:id, trace:duration, event:name and others", name)
}

// unquoteParts removes the quotes of the parts of a name that have them: a."b c".d is a.b c.d.
func unquoteParts(name string) (string, error) {
	if !strings.Contains(name, `"`) {
		return name, nil
	}
	var out strings.Builder
	for rest := name; rest != ""; {
		before, quoted, found := strings.Cut(rest, `"`)
		out.WriteString(before)
		if !found {
			break
		}
		prefix, err := strconv.QuotedPrefix(`"` + quoted)
		if err != nil {
			return "", errors.New("a quote is not closed")
		}
		part, err := strconv.Unquote(prefix)
		if err != nil {
			return "", errors.New(`within quotes only \" and \\ are escaped`)
		}
		out.WriteString(part)
		rest = quoted[len(prefix)-1:]
	}
	return out.String(), nil
}
