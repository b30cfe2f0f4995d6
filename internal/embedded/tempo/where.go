package tempo

import (
	"encoding/hex"

	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/traceql"
)

// conditions returns the conditions with which the store finds spans that may fulfil
// terms. all reports that the spans which it finds do.
func conditions(terms []traceql.Term) (list []store.Condition, all bool) {
	var ofRoot []store.Condition
	all = true
	for _, t := range terms {
		c, whole, ok := condition(t)
		all = all && ok && whole
		if ok {
			list = append(list, c)
		} else if c, ok := rootCondition(t); ok {
			ofRoot = append(ofRoot, c)
		}
	}
	if len(list) == 0 { // the root is another span, so its conditions cannot stand beside others
		return ofRoot, all
	}
	return list, all
}

// condition returns a term as the store has it, if it can. whole reports that it says the
// same.
func condition(t traceql.Term) (c store.Condition, whole, ok bool) {
	if len(t.Any) > 0 {
		whole = true
		for _, terms := range t.Any {
			var list []store.Condition
			for _, t := range terms {
				inner, same, ok := condition(t)
				if whole = whole && same && ok; ok {
					list = append(list, inner)
				}
			}
			if len(list) == 0 {
				return c, false, false
			}
			c.Any = append(c.Any, list)
		}
		return c, whole, true
	}
	if t.Root {
		return store.Condition{Scope: store.ScopeIntrinsic, Name: store.Root}, true, true
	}
	if t.Field == (traceql.Field{Scope: traceql.Intrinsic, Name: traceql.TraceID}) && t.Op == "=" {
		id, err := parseTraceID(t.Value.Text)
		return store.Condition{Scope: store.ScopeIntrinsic, Name: store.ID, Op: store.Equal,
			Value: hex.EncodeToString(id[:])}, true, err == nil
	}
	scope, name, ok := storedAs(t.Field)
	if !ok || t.Pattern != nil && !t.Pattern.Cheap() { // the engine could not stop within a match
		return c, false, false
	}
	c = store.Condition{Scope: scope, Name: name, Op: store.Op(t.Op)}
	switch t.Value.Type {
	case traceql.TypeString:
		c.Value = t.Value.Text
	case traceql.TypeFloat:
		c.Value = t.Value.Float
		// Attributes that are numbers are compared exactly; duration is a whole number.
		return c, false, t.Field.Scope != traceql.Intrinsic
	case traceql.TypeBool:
		c.Value = t.Value.Int == 1
	case traceql.TypeNil:
		c.Op = store.Exists
		return c, false, scope != store.ScopeIntrinsic
	default:
		c.Value = t.Value.Int
	}
	return c, true, true
}

// rootCondition returns a condition that the root of a trace fulfils if a term on the trace
// holds.
func rootCondition(t traceql.Term) (c store.Condition, ok bool) {
	if t.Op != "=" || t.Value.Text == "" || t.Field.Scope != traceql.Intrinsic {
		return c, false
	}
	switch t.Field.Name {
	case traceql.RootName:
		return store.Condition{Scope: store.ScopeIntrinsic, Name: store.Name, Op: store.Equal, Value: t.Value.Text}, true
	case traceql.RootServiceName:
		return store.Condition{Scope: store.ScopeResource, Name: store.AttrServiceName, Op: store.Equal,
			Value: t.Value.Text}, true
	}
	return c, false
}

// storedAs returns the store's name of a field, or false if the index does not have it.
func storedAs(f traceql.Field) (scope store.Scope, name string, ok bool) {
	switch f.Scope {
	case traceql.AnyScope:
		return store.ScopeAny, f.Name, true
	case traceql.SpanScope:
		return store.ScopeSpan, f.Name, true
	case traceql.ResourceScope:
		return store.ScopeResource, f.Name, true
	case traceql.Intrinsic:
		switch f.Name {
		case traceql.Name, traceql.Status, traceql.Kind, traceql.Duration: // the store's names are the same
			return store.ScopeIntrinsic, f.Name, true
		}
	}
	return "", "", false
}
