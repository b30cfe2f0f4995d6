package logql

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/buger/jsonparser"
)

// Bounds of what is extracted from one line. An object is read once for each level
// around it, and a name contains the names of all objects around it.
const (
	MaxJSONDepth     = 64        // objects within objects
	MaxJSONLabels    = 1_000     // labels
	MaxJSONExtracted = 512 << 10 // bytes of names and values: twice the longest line
)

// The errors of a line that exceeds a bound. Labels that were extracted before stay.
var (
	errJSONDepth     = fmt.Errorf("the line has more than %d JSON objects within each other", MaxJSONDepth)
	errJSONLabels    = fmt.Errorf("the line has more than %d JSON fields", MaxJSONLabels)
	errJSONExtracted = fmt.Errorf("the JSON fields of the line, with the names of the objects around each, have more than %d bytes", MaxJSONExtracted)
)

// parseJSON extracts every text, number and boolean from a line that is a JSON object.
// Names of nested ones are joined by "_"; arrays and nulls are left out, as in Loki. The
// parser is the one that Loki uses, so that both reject the same lines with the same
// errors. A line that exceeds a bound counts as one that cannot be parsed.
func parseJSON(e *entry) bool {
	p := jsonParser{entry: e}
	if err := jsonparser.ObjectEach([]byte(e.text), p.field("", 1)); err != nil {
		e.err, e.errDetails = ErrorJSON, err.Error()
	}
	return true
}

// jsonParser extracts the fields of one line.
type jsonParser struct {
	*entry
	bytes int // of names and values so far
}

// field returns the handler of a field of an object. The object is at a depth from 1,
// and its own name is prefix.
func (p *jsonParser) field(prefix string, depth int) func(key, value []byte, kind jsonparser.ValueType, _ int) error {
	return func(key, value []byte, kind jsonparser.ValueType, _ int) error {
		if p.ended = p.ctx.Err(); p.ended != nil {
			return p.ended
		}
		if p.bytes += len(prefix) + len(key); p.bytes > MaxJSONExtracted {
			return errJSONExtracted
		}
		name := fieldName(prefix, string(key))
		switch kind {
		case jsonparser.Object:
			if depth == MaxJSONDepth {
				return errJSONDepth
			}
			return jsonparser.ObjectEach(value, p.field(name, depth+1))
		case jsonparser.String:
			return p.extract(name, unescape(value))
		case jsonparser.Number, jsonparser.Boolean:
			return p.extract(name, string(value))
		}
		return nil
	}
}

// extract sets a label under a name that is free. If two fields have one name, the first
// stays.
func (p *jsonParser) extract(name, value string) error {
	if name == "" {
		return nil
	}
	_, inStream := p.Stream[name]
	_, inMetadata := p.Metadata[name]
	if inStream || inMetadata {
		name += extractedSuffix
	}
	if _, again := p.Parsed[name]; again {
		return nil
	}
	if len(p.Parsed) == MaxJSONLabels {
		return errJSONLabels
	}
	if p.bytes += len(value); p.bytes > MaxJSONExtracted {
		return errJSONExtracted
	}
	p.parsed(name, value)
	return nil
}

// fieldName returns the label name for a field: it replaces every character that a label
// name may not have by "_", and puts one before a first digit.
func fieldName(prefix, key string) string {
	key = strings.TrimSpace(key)
	if prefix != "" {
		key = prefix + "_" + key
	} else if key != "" && key[0] >= '0' && key[0] <= '9' {
		key = "_" + key
	}
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, key)
}

// unescape returns the text of a JSON string. Invalid UTF-8 becomes a space, as in Loki,
// since a label cannot have it.
func unescape(raw []byte) string {
	text, err := jsonparser.Unescape(raw, nil)
	if err != nil {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError {
			return ' '
		}
		return r
	}, string(text))
}
