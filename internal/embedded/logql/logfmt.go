package logql

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// compileLogfmt returns a stage that parses a line of key=value pairs, separated by
// spaces, with values in double quotes where they have spaces.
//
// Without the flag --strict it leaves out pairs that it cannot parse. Without
// --keep-empty it leaves out keys without a value.
func compileLogfmt(call *parserCall) (stageFunc, error) {
	strict := slices.Contains(call.Flags, "--strict")
	if len(call.Only) > 0 {
		return compileLogfmtOnly(call.Only, strict)
	}
	keepEmpty := slices.Contains(call.Flags, "--keep-empty")
	return func(e *entry) bool {
		if e.enough() {
			return true
		}
		e.parsed(ErrorLogfmt, eachPair(e.Text, strict, func(key, value string) error {
			if value == "" && !keepEmpty {
				return nil
			}
			return e.extract(fieldName("", key), validText(value))
		}))
		return true
	}, nil
}

// parseLogfmt is the stage without flags.
func parseLogfmt(e *entry) bool {
	stage, err := compileLogfmt(&parserCall{})
	return err == nil && stage(e)
}

// compileLogfmtOnly returns a stage that extracts the values of some keys.
func compileLogfmtOnly(only []*extraction, strict bool) (stageFunc, error) {
	var names []string
	from := map[string]string{} // names by key
	for _, x := range only {
		key, err := x.path()
		if err != nil {
			return nil, err
		}
		key = strings.Trim(key, `"`)
		if key == "" || fieldName("", key) != key {
			return nil, failAt(x.Pos, "cannot parse expression [%s]: it is a key of the line", key)
		}
		names = append(names, x.Name)
		from[key] = x.Name
	}
	return func(e *entry) bool {
		if e.enough() {
			return true
		}
		for _, name := range names {
			if !e.taken(name) {
				e.set(name, "")
			}
		}
		e.parsed(ErrorLogfmt, eachPair(e.Text, strict, func(key, value string) error {
			name, ok := from[fieldName("", key)]
			if !ok {
				return nil
			}
			if e.taken(name) {
				name += extractedSuffix
			}
			if !utf8.ValidString(value) {
				value = ""
			}
			e.set(name, value)
			return nil
		}))
		return true
	}, nil
}

// eachPair calls yield for each pair of a line. If strict, it ends at the first error.
func eachPair(line string, strict bool, yield func(key, value string) error) error {
	for at := 0; ; {
		for at < len(line) && line[at] <= ' ' {
			at++
		}
		if at == len(line) {
			return nil
		}
		key, value, next, err := pair(line, at)
		if err != nil {
			if strict {
				return err
			}
			at = next
			for at < len(line) && line[at] > ' ' {
				at++
			}
			continue
		}
		at = next
		if err := yield(key, value); err != nil {
			return err
		}
	}
}

// pair reads a pair at a place, and returns the place behind it, or behind what is wrong.
func pair(line string, at int) (key, value string, next int, err error) {
	wrong := func(at int, format string, args ...any) (string, string, int, error) {
		return "", "", at, fmt.Errorf("logfmt syntax error at pos %d : %s", at+1, fmt.Sprintf(format, args...))
	}
	start := at
	for at < len(line) && line[at] > ' ' && line[at] != '=' && line[at] != '"' {
		at++
	}
	key = line[start:at]
	switch {
	case at < len(line) && (line[at] == '"' || key == "" && line[at] == '='):
		return wrong(at, "unexpected %q", line[at])
	case strings.ContainsRune(key, utf8.RuneError):
		return wrong(at, "invalid key")
	case at == len(line) || line[at] != '=':
		return key, "", at, nil
	}
	at++
	if at < len(line) && line[at] == '"' {
		end := at + 1
		for end < len(line) && line[end] != '"' {
			if line[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(line) {
			return wrong(len(line), "unterminated quoted value")
		}
		if value, err = unquoteJSON(line[at : end+1]); err != nil {
			return wrong(end+1, "invalid quoted value")
		}
		return key, value, end + 1, nil
	}
	start = at
	for at < len(line) && line[at] > ' ' {
		if line[at] == '=' || line[at] == '"' {
			return wrong(at, "unexpected %q", line[at])
		}
		at++
	}
	return key, line[start:at], at, nil
}

// unquoteJSON returns the text of a string in double quotes with the escapes of JSON.
func unquoteJSON(quoted string) (text string, err error) {
	if !strings.Contains(quoted, `\`) {
		return quoted[1 : len(quoted)-1], nil
	}
	err = json.Unmarshal([]byte(quoted), &text)
	return text, err
}
