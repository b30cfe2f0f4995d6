package logql

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/grafana/jsonparser"
)

// MaxJSONDepth bounds the objects within objects of a line that is parsed as JSON.
const MaxJSONDepth = 64

// The errors of a line that is no JSON object, or one that exceeds the bound.
var (
	errJSONDepth  = fmt.Errorf("the line has more than %d JSON objects within each other", MaxJSONDepth)
	errJSONObject = errors.New("expecting json object(6), but it is not")
)

// parseJSON extracts every text, number and boolean from a line that is a JSON object.
// Names of nested ones are joined by "_"; arrays and nulls are left out, as in Loki. The
// parser is the one that Loki uses, so that both reject the same lines with the same
// errors. A line that exceeds a bound counts as one that cannot be parsed.
func parseJSON(e *entry) bool {
	if !e.enough() {
		e.parsed(ErrorJSON, jsonparser.ObjectEach([]byte(e.Text), e.field("", nil)))
	}
	return true
}

// field returns the handler of a field of an object, which is at a path and whose own name
// is prefix.
func (e *entry) field(prefix string, path []string) func(key, value []byte, kind jsonparser.ValueType, _ int) error {
	return func(key, value []byte, kind jsonparser.ValueType, _ int) error {
		if e.ended = e.ctx.Err(); e.ended != nil {
			return e.ended
		}
		if e.size += len(prefix) + len(key); e.size > MaxExtracted {
			return errExtracted
		}
		name := fieldName(prefix, string(key))
		if e.paths != nil {
			e.path = append(path[:len(path):len(path)], string(key))
		}
		switch kind {
		case jsonparser.Object:
			if len(path)+1 == MaxJSONDepth {
				return errJSONDepth
			}
			return jsonparser.ObjectEach(value, e.field(name, append(path[:len(path):len(path)], string(key))))
		case jsonparser.String:
			return e.extract(name, unescape(value))
		case jsonparser.Number, jsonparser.Boolean:
			return e.extract(name, string(value))
		}
		return nil
	}
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
	return validText(string(text))
}

func validText(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
}

// parseUnpack extracts the texts of a line that was packed as a JSON object, and makes
// its field _entry the text of the line.
func parseUnpack(e *entry) bool {
	if e.Text == "" {
		return true
	}
	if e.Text[0] != '{' {
		e.parsed(ErrorJSON, errJSONObject)
		return true
	}
	var names, values []string
	text, packed := "", false
	err := jsonparser.ObjectEach([]byte(e.Text), func(key, value []byte, kind jsonparser.ValueType, _ int) error {
		switch {
		case kind != jsonparser.String:
		case string(key) == "_entry":
			raw, err := jsonparser.Unescape(value, nil)
			text, packed = string(raw), true
			return err
		case len(names) == MaxExtractedLabels:
			return errManyLabels
		default:
			names, values = append(names, fieldName("", string(key))), append(values, unescape(value))
		}
		return nil
	})
	if err != nil || !packed {
		e.parsed(ErrorJSON, err)
		return true
	}
	for i, name := range names {
		if err := e.extract(name, values[i]); err != nil {
			e.parsed(ErrorJSON, err)
			break
		}
	}
	e.Text = text
	return true
}

// compileJSONPaths returns a stage that extracts the fields at some paths of a JSON object.
func compileJSONPaths(only []*extraction) (stageFunc, error) {
	var names []string
	var paths [][]string
	for _, x := range only {
		text, err := x.path()
		if err != nil {
			return nil, err
		}
		path, ok := jsonPath(text)
		if !ok {
			return nil, failAt(x.Pos, "cannot parse expression [%s]: a path is written such as a.b[0][\"c\"]", text)
		}
		names, paths = append(names, x.Name), append(paths, path)
	}
	return func(e *entry) bool {
		if e.Text == "" || e.enough() {
			return true
		}
		if !strings.ContainsRune(`"{[`, rune(e.Text[0])) {
			e.err = ErrorJSON
			e.tolerated = e.tolerated || e.needs.errors
			return true
		}
		found := 0
		jsonparser.EachKey([]byte(e.Text), func(i int, value []byte, kind jsonparser.ValueType, err error) {
			if err != nil {
				e.parsed(ErrorJSON, err)
				return
			}
			name := names[i]
			if e.taken(name) {
				name += extractedSuffix
			}
			switch kind {
			case jsonparser.Null:
				e.set(name, "")
			case jsonparser.Object:
				e.set(name, string(value))
			default:
				e.set(name, unescape(value))
			}
			found++
		}, paths...)
		if found < len(names) {
			e.setMissing(names)
		}
		return true
	}, nil
}

// setMissing sets labels that were asked for and not found to an empty text.
func (e *entry) setMissing(names []string) {
	for _, name := range names {
		if _, ok := e.get(name); !ok {
			e.set(name, "")
		}
	}
}

// path returns the path of what is extracted: its name, if there is no other.
func (x *extraction) path() (string, error) {
	if x.Path == nil {
		return x.Name, nil
	}
	return x.Path.text()
}

// jsonPath splits a path of names, of names in brackets and quotes, and of indexes in
// brackets, which stay in theirs.
func jsonPath(text string) ([]string, bool) {
	var path []string
	for rest := text; rest != ""; {
		switch {
		case strings.HasPrefix(rest, `["`):
			name, after, ok := strings.Cut(rest[2:], `"]`)
			if !ok {
				return nil, false
			}
			path, rest = append(path, name), after
		case rest[0] == '[':
			index, after, ok := strings.Cut(rest, "]")
			if _, err := strconv.ParseUint(index[1:], 10, 32); !ok || err != nil {
				return nil, false
			}
			path, rest = append(path, index+"]"), after
		default:
			if rest[0] == '.' && len(path) > 0 {
				rest = rest[1:]
			} else if len(path) > 0 {
				return nil, false
			}
			n := 0
			for n < len(rest) && (rest[n] == '_' || rest[n] >= '0' && rest[n] <= '9' && n > 0 || isLetter(rest[n])) {
				n++
			}
			if n == 0 {
				return nil, false
			}
			path, rest = append(path, rest[:n]), rest[n:]
		}
	}
	return path, len(path) > 0
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
