package store

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
)

// Attributes are kept as a JSON object that a person and SQL can read:
//
//	{"die.type":"risky","http.response.status_code":200,"ratio":1.0}
//
// A number with a point or an exponent is a double, any other an integer. What
// JSON cannot say (bytes, doubles that are not finite, values that are not set,
// a key that comes twice) is shown as well as possible, and exact is false: then
// the attributes are kept as protobuf too.

// maxDepth is how deep lists and maps are shown; deeper ones are null. SQLite
// refuses JSON deeper than 1,000.
const maxDepth = 64

// appendAttributes appends kvs as JSON.
func appendAttributes(b []byte, kvs []*commonpb.KeyValue) (_ []byte, exact bool) {
	return appendObject(b, kvs, 0)
}

func appendObject(b []byte, kvs []*commonpb.KeyValue, depth int) (_ []byte, exact bool) {
	exact = !repeats(kvs)
	b = append(b, '{')
	for i, kv := range kvs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, kv.GetKey()), ':')
		var ok bool
		b, ok = appendValue(b, kv.GetValue(), depth+1)
		exact = exact && ok && len(kv.ProtoReflect().GetUnknown()) == 0 && kv.GetKeyStrindex() == 0
	}
	return append(b, '}'), exact
}

// repeats tells whether a key comes twice. Few keys are compared with each other;
// of a hundred thousand that would take seconds.
func repeats(kvs []*commonpb.KeyValue) bool {
	if len(kvs) > 32 {
		seen := make(map[string]bool, len(kvs))
		for _, kv := range kvs {
			seen[kv.GetKey()] = true
		}
		return len(seen) < len(kvs)
	}
	for i, kv := range kvs {
		for _, before := range kvs[:i] {
			if before.GetKey() == kv.GetKey() {
				return true
			}
		}
	}
	return false
}

func appendValue(b []byte, v *commonpb.AnyValue, depth int) (_ []byte, exact bool) {
	if depth > maxDepth {
		return append(b, "null"...), false
	}
	exact = len(v.ProtoReflect().GetUnknown()) == 0
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return appendString(b, v.StringValue), exact
	case *commonpb.AnyValue_BoolValue:
		return strconv.AppendBool(b, v.BoolValue), exact
	case *commonpb.AnyValue_IntValue:
		return strconv.AppendInt(b, v.IntValue, 10), exact
	case *commonpb.AnyValue_DoubleValue:
		if math.IsNaN(v.DoubleValue) || math.IsInf(v.DoubleValue, 0) {
			return appendString(b, strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)), false
		}
		n := len(b)
		b = strconv.AppendFloat(b, v.DoubleValue, 'g', -1, 64)
		if !bytes.ContainsAny(b[n:], ".e") {
			b = append(b, ".0"...)
		}
		return b, exact
	case *commonpb.AnyValue_ArrayValue:
		b = append(b, '[')
		for i, e := range v.ArrayValue.GetValues() {
			if i > 0 {
				b = append(b, ',')
			}
			var ok bool
			b, ok = appendValue(b, e, depth+1)
			exact = exact && ok
		}
		return append(b, ']'), exact
	case *commonpb.AnyValue_KvlistValue:
		b, ok := appendObject(b, v.KvlistValue.GetValues(), depth+1)
		return b, exact && ok
	case *commonpb.AnyValue_BytesValue:
		return appendString(b, base64.StdEncoding.EncodeToString(v.BytesValue)), false
	}
	return append(b, "null"...), false
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			quoted, err := json.Marshal(s)
			if err != nil { // not possible: a string always has a JSON form
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// decodeAttributes reads what appendAttributes wrote.
func decodeAttributes(text []byte) ([]*commonpb.KeyValue, error) {
	if string(text) == "{}" {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := decodeValue(d)
	if err == nil {
		if _, err2 := d.Token(); err2 != io.EOF {
			err = fmt.Errorf("text after the object")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("decoding attributes %.100q: %w", text, err)
	}
	if v.GetKvlistValue() == nil {
		return nil, fmt.Errorf("decoding attributes %.100q: not an object", text)
	}
	return v.GetKvlistValue().GetValues(), nil
}

func decodeValue(d *json.Decoder) (*commonpb.AnyValue, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case string:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: token}}, nil
	case bool:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: token}}, nil
	case json.Number:
		if strings.ContainsAny(token.String(), ".eE") {
			f, err := token.Float64()
			return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: f}}, err
		}
		i, err := token.Int64()
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: i}}, err
	case json.Delim:
		if token == '[' {
			return decodeArray(d)
		}
		return decodeObject(d)
	}
	return &commonpb.AnyValue{}, nil // null
}

func decodeArray(d *json.Decoder) (*commonpb.AnyValue, error) {
	list := &commonpb.ArrayValue{}
	for d.More() {
		v, err := decodeValue(d)
		if err != nil {
			return nil, err
		}
		list.Values = append(list.Values, v)
	}
	_, err := d.Token()
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: list}}, err
}

func decodeObject(d *json.Decoder) (*commonpb.AnyValue, error) {
	list := &commonpb.KeyValueList{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := decodeValue(d)
		if err != nil {
			return nil, err
		}
		list.Values = append(list.Values, &commonpb.KeyValue{Key: fmt.Sprint(key), Value: v})
	}
	_, err := d.Token()
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: list}}, err
}
