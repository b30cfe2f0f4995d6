package logql

import (
	"strings"
	"unicode/utf8"

	"github.com/buger/jsonparser"
)

// parseJSON takes every text, number and boolean out of a line that is a JSON
// object. Names of nested ones are joined by "_"; arrays and nulls are left out,
// as in Loki. The parser is the one that Loki uses, so that both find the same
// lines broken and say the same of them.
func parseJSON(e *entry) bool {
	if err := jsonparser.ObjectEach([]byte(e.text), e.field("")); err != nil {
		e.err, e.errDetails = ErrorJSON, err.Error()
	}
	return true
}

// field handles one field of an object whose own name is prefix.
func (e *entry) field(prefix string) func(key, value []byte, kind jsonparser.ValueType, _ int) error {
	return func(key, value []byte, kind jsonparser.ValueType, _ int) error {
		name := fieldName(prefix, string(key))
		switch kind {
		case jsonparser.Object:
			return jsonparser.ObjectEach(value, e.field(name))
		case jsonparser.String:
			e.extract(name, unescape(value))
		case jsonparser.Number, jsonparser.Boolean:
			e.extract(name, string(value))
		}
		return nil
	}
}

// extract sets a label under a name that is free. Of two fields with one name
// the first stays.
func (e *entry) extract(name, value string) {
	if name == "" {
		return
	}
	_, inStream := e.Stream[name]
	_, inMetadata := e.Metadata[name]
	if inStream || inMetadata {
		name += extractedSuffix
	}
	if _, again := e.Parsed[name]; !again {
		e.parsed(name, value)
	}
}

// fieldName is the label name for a field: every character that a label name may
// not have becomes "_", and a first digit gets one before it.
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

// unescape is the text of a JSON string. What is not UTF-8 becomes a space, as in
// Loki, since a label cannot hold it.
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
