package traceql

import (
	"cmp"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Type is the type of a value.
type Type int

// The types of values.
const (
	TypeNil      Type = iota // of an attribute that a span does not have
	TypeInt                  // Value.Int
	TypeFloat                // Value.Float
	TypeString               // Value.Text
	TypeBool                 // Value.Int, 0 or 1
	TypeDuration             // Value.Int, nanoseconds
	TypeStatus               // Value.Int, OTLP's number
	TypeKind                 // Value.Int, OTLP's number
	TypeList                 // Value.List, of at least two elements; an empty list is nil
	typeUnknown              // of an attribute, before a span is known
)

// String returns the name of the type, as messages have it.
func (t Type) String() string {
	return [...]string{"nil", "whole number", "number", "text", "boolean", "duration", "status", "kind", "list", "attribute"}[t]
}

func (t Type) numeric() bool { return t == TypeInt || t == TypeFloat || t == TypeDuration }

// Value is a value in a query, or of a field of a span. The zero value is nil.
type Value struct {
	Type  Type
	Int   int64
	Float float64
	Text  string
	List  []Value

	several bool // of List: the values of several events or links
}

func intValue(n int64) Value     { return Value{Type: TypeInt, Int: n} }
func floatValue(f float64) Value { return Value{Type: TypeFloat, Float: f} }
func textValue(s string) Value   { return Value{Type: TypeString, Text: s} }

func boolValue(b bool) Value {
	v := Value{Type: TypeBool}
	if b {
		v.Int = 1
	}
	return v
}

func (v Value) isTrue() bool { return v.Type == TypeBool && v.Int == 1 }

// Number returns a number, or a duration in nanoseconds; NaN for other types.
func (v Value) Number() float64 {
	switch v.Type {
	case TypeInt, TypeDuration:
		return float64(v.Int)
	case TypeFloat:
		return v.Float
	}
	return math.NaN()
}

// statusWords and kindWords are TraceQL's words for OTLP's numbers.
func statusWords() []string { return []string{"unset", "ok", "error"} }
func kindWords() []string {
	return []string{"unspecified", "internal", "server", "client", "producer", "consumer"}
}

func word(words []string, n int64) string {
	if n < 0 || n >= int64(len(words)) {
		return words[0]
	}
	return words[n]
}

// String returns the value as Tempo shows it.
func (v Value) String() string {
	switch v.Type {
	case TypeInt:
		return strconv.FormatInt(v.Int, 10)
	case TypeFloat:
		text := strconv.FormatFloat(v.Float, 'g', -1, 64)
		if !strings.ContainsAny(text, "e.IN") {
			text += ".0"
		}
		return text
	case TypeString:
		return v.Text
	case TypeBool:
		return strconv.FormatBool(v.Int == 1)
	case TypeDuration:
		return time.Duration(v.Int).String()
	case TypeStatus:
		return word(statusWords(), v.Int)
	case TypeKind:
		return word(kindWords(), v.Int)
	case TypeList:
		texts := make([]string, len(v.List))
		for i, e := range v.List {
			if texts[i] = e.String(); e.Type == TypeString {
				texts[i] = "`" + e.Text + "`"
			}
		}
		return "[" + strings.Join(texts, ", ") + "]"
	}
	return "nil"
}

// key returns a text that is the same for values of the same type and content.
func (v Value) key() string { return string(rune('0'+v.Type)) + v.String() }

// Any returns the value in OTLP's form, as Tempo's responses have it.
func (v Value) Any() *commonpb.AnyValue {
	switch v.Type {
	case TypeInt:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: v.Int}}
	case TypeFloat:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: v.Float}}
	case TypeBool:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: v.Int == 1}}
	case TypeList:
		list := &commonpb.ArrayValue{}
		for _, e := range v.List {
			list.Values = append(list.Values, e.Any())
		}
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: list}}
	}
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v.String()}}
}

// fromAny returns the value of an attribute. Maps and bytes are nil: TraceQL has no values
// of these types.
func fromAny(v *commonpb.AnyValue) Value {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return textValue(v.StringValue)
	case *commonpb.AnyValue_BoolValue:
		return boolValue(v.BoolValue)
	case *commonpb.AnyValue_IntValue:
		return intValue(v.IntValue)
	case *commonpb.AnyValue_DoubleValue:
		return floatValue(v.DoubleValue)
	case *commonpb.AnyValue_ArrayValue:
		var list []Value
		for _, e := range v.ArrayValue.GetValues() {
			list = append(list, fromAny(e))
		}
		return listOf(list, false)
	}
	return Value{}
}

// listOf returns a list. As in Tempo, one of a single element is that.
func listOf(list []Value, several bool) Value {
	switch len(list) {
	case 0:
		return Value{}
	case 1:
		return list[0]
	}
	return Value{Type: TypeList, List: list, several: several}
}

// Of returns v, which is a string, int64, float64, bool or nil, as the value of a field: a
// whole number may be a status, a kind or a duration.
func (f Field) Of(v any) Value {
	switch v := v.(type) {
	case string:
		return textValue(v)
	case int64:
		t := f.typ()
		if t == TypeStatus && (v < 0 || v > int64(tracepb.Status_STATUS_CODE_ERROR)) {
			v = 0 // as in statusOf
		}
		if t == TypeStatus || t == TypeKind || t == TypeDuration {
			return Value{Type: t, Int: v}
		}
		return intValue(v)
	case float64:
		return floatValue(v)
	case bool:
		return boolValue(v)
	}
	return Value{}
}

func statusOf(s *tracepb.Span) Value {
	code := s.GetStatus().GetCode()
	if code < 0 || code > tracepb.Status_STATUS_CODE_ERROR {
		code = tracepb.Status_STATUS_CODE_UNSET
	}
	return Value{Type: TypeStatus, Int: int64(code)}
}

// idValue returns the hex digits of an ID.
func idValue(id []byte) Value { return textValue(hex.EncodeToString(id)) }

// compare orders two values of one type, or two numbers.
func compare(a, b Value) int {
	switch {
	case a.Type == TypeString && b.Type == TypeString:
		return strings.Compare(a.Text, b.Text)
	case a.Type == TypeFloat || b.Type == TypeFloat:
		return cmp.Compare(a.Number(), b.Number())
	}
	return cmp.Compare(a.Int, b.Int)
}
