package conformance

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// width is the length beyond which a line of a golden file is wrapped.
const width = 120

// format writes a decoded JSON value so that changes can be reviewed: a value that fits
// into a line is in one, and keys are sorted.
func format(v any) string {
	var b strings.Builder
	write(&b, v, "")
	b.WriteByte('\n')
	return b.String()
}

func write(b *strings.Builder, v any, indent string) {
	if line := oneLine(v); len(indent)+len(line) <= width {
		b.WriteString(line)
		return
	}
	deeper := indent + "  "
	switch v := v.(type) {
	case map[string]any:
		b.WriteString("{\n")
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteString(",\n")
			}
			b.WriteString(deeper + oneLine(key) + ": ")
			write(b, v[key], deeper)
		}
		b.WriteString("\n" + indent + "}")
	case []any:
		b.WriteString("[\n")
		for i, element := range v {
			if i > 0 {
				b.WriteString(",\n")
			}
			b.WriteString(deeper)
			write(b, element, deeper)
		}
		b.WriteString("\n" + indent + "]")
	default:
		b.WriteString(oneLine(v))
	}
}

// oneLine returns a value as JSON with a space after each comma and colon.
func oneLine(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, oneLine(key)+": "+oneLine(v[key]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		var parts []string
		for _, element := range v {
			parts = append(parts, oneLine(element))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err) // it was decoded from JSON
	}
	return strings.TrimSuffix(b.String(), "\n")
}
