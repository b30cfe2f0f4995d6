package sqlexport

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
)

// timeForm sorts as text: every time has nine decimals.
const timeForm = "2006-01-02T15:04:05.000000000Z"

// stamp returns a time of OTLP as text and as an integer of nanoseconds since
// 1970. Times after 2262, which no such integer holds, become the last one.
func stamp(ns uint64) (string, int64) {
	clamped := int64(min(ns, math.MaxInt64))
	return time.Unix(0, clamped).UTC().Format(timeForm), clamped
}

// milliseconds returns how long something took, 0 if it ended before it began.
func milliseconds(start, end uint64) float64 {
	if end < start {
		return 0
	}
	return float64(end-start) / 1e6
}

// enum returns a name of OTLP as a column has it: SPAN_KIND_SERVER as "server". A
// number without a name is returned as it is.
func enum(prefix, name string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }

// attributesJSON returns attributes as a JSON object in their order. Of a key that
// is there twice SQLite's ->> finds the first.
func attributesJSON(list []*commonpb.KeyValue) string { return string(appendObject(nil, list)) }

func appendObject(b []byte, list []*commonpb.KeyValue) []byte {
	b = append(b, '{')
	for i, kv := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, kv.GetKey()), ':')
		b = appendValue(b, kv.GetValue())
	}
	return append(b, '}')
}

// appendValue appends a value as JSON. What JSON has no form for is a text: bytes
// in base64, NaN and the infinities by name.
func appendValue(b []byte, v *commonpb.AnyValue) []byte {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return appendText(b, v.StringValue)
	case *commonpb.AnyValue_BoolValue:
		return strconv.AppendBool(b, v.BoolValue)
	case *commonpb.AnyValue_IntValue:
		return strconv.AppendInt(b, v.IntValue, 10)
	case *commonpb.AnyValue_DoubleValue:
		return appendFloat(b, v.DoubleValue)
	case *commonpb.AnyValue_BytesValue:
		return appendText(b, base64.StdEncoding.EncodeToString(v.BytesValue))
	case *commonpb.AnyValue_ArrayValue:
		b = append(b, '[')
		for i, element := range v.ArrayValue.GetValues() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, element)
		}
		return append(b, ']')
	case *commonpb.AnyValue_KvlistValue:
		return appendObject(b, v.KvlistValue.GetValues())
	}
	return append(b, "null"...)
}

func appendFloat(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	}
	n := len(b)
	b = strconv.AppendFloat(b, f, 'g', -1, 64)
	if !strings.ContainsAny(string(b[n:]), ".e") {
		b = append(b, ".0"...) // SQLite reads a number without a point as an integer
	}
	return b
}

// appendText appends a text as a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendText(b []byte, s string) []byte {
	b, err := jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil { // the text is valid
		panic(err)
	}
	return b
}
