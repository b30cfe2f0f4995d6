package logql

import (
	"cmp"
	"strings"

	"dicelab/internal/embedded/pattern"
)

// compileRegexp returns a stage that extracts the named groups of a regular expression.
func (c *compiler) compileRegexp(q *quoted) (stageFunc, error) {
	text, err := q.text()
	if err != nil {
		return nil, err
	}
	p, err := c.patterns.Compile(text, pattern.Part)
	if err != nil {
		return nil, failAt(q.Pos, "invalid regexp parser: %v", err)
	}
	names, seen := p.Groups(), map[string]bool{}
	for _, name := range names {
		if seen[name] && name != "" {
			return nil, failAt(q.Pos, "invalid regexp parser: duplicate extracted label name '%s'", name)
		}
		seen[name] = true
	}
	if delete(seen, ""); len(seen) == 0 {
		return nil, failAt(q.Pos, "invalid regexp parser: at least one named capture must be supplied, such as (?P<name>...)")
	}
	return func(e *entry) bool {
		places, err := p.Submatch(e.ctx, e.Text)
		e.ended = cmp.Or(e.ended, err)
		if places == nil {
			return true
		}
		for i, name := range names {
			value := ""
			if places[2*i] >= 0 {
				value = e.Text[places[2*i]:places[2*i+1]]
			}
			if name != "" && e.extract(fieldName("", name), value) != nil {
				break
			}
		}
		return true
	}, nil
}

// part is a piece of a pattern: a literal text, or a capture <name>, where <_> has no name.
type part struct {
	text    string
	capture bool
}

// parsePattern splits a pattern into its parts. Two captures must have text between them.
func parsePattern(q *quoted, named bool) ([]part, error) {
	rest, err := q.text()
	if err != nil {
		return nil, err
	}
	var parts []part
	literal := ""
	flush := func() {
		if literal != "" {
			parts, literal = append(parts, part{text: literal}), ""
		}
	}
	seen := map[string]bool{}
	for rest != "" {
		name, after, ok := strings.Cut(rest[1:], ">")
		if rest[0] != '<' || !ok || !isName(name) {
			literal, rest = literal+rest[:1], rest[1:]
			continue
		}
		flush()
		rest = after
		switch {
		case len(parts) > 0 && parts[len(parts)-1].capture:
			return nil, failAt(q.Pos, "found consecutive capture '<%s><%s>': invalid expression", parts[len(parts)-1].text, name)
		case name == "_":
		case !named:
			return nil, failAt(q.Pos, "named captures are not allowed: found '<%s>'; write <_>", name)
		case seen[name]:
			return nil, failAt(q.Pos, "invalid pattern parser: duplicate capture name (%s): invalid expression", name)
		}
		seen[name] = true
		parts = append(parts, part{text: name, capture: true})
	}
	flush()
	if delete(seen, "_"); named && len(seen) == 0 {
		return nil, failAt(q.Pos, "invalid pattern parser: at least one capture is required, such as <name>")
	}
	return parts, nil
}

func isName(name string) bool {
	for i := range len(name) {
		if c := name[i]; c != '_' && !isLetter(c) && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// compilePattern returns a stage that extracts the captures of a pattern. A capture
// extends to the first place where the text behind it is found, or to the end of the line.
func compilePattern(q *quoted) (stageFunc, error) {
	parts, err := parsePattern(q, true)
	if err != nil {
		return nil, err
	}
	return func(e *entry) bool {
		if e.enough() || e.Text == "" {
			return true
		}
		rest, parts := e.Text, parts
		if !parts[0].capture {
			var ok bool
			if rest, ok = strings.CutPrefix(rest, parts[0].text); !ok {
				return true
			}
			parts = parts[1:]
		}
		for found := true; found && len(parts) > 0; parts = parts[min(2, len(parts)):] {
			value := rest
			if found = len(parts) > 1; found {
				value, rest, found = strings.Cut(rest, parts[1].text)
			}
			if parts[0].text != "_" && e.extract(parts[0].text, value) != nil {
				break
			}
		}
		return true
	}, nil
}

// compilePatternFilter returns a function that reports whether a line matches a pattern
// as a whole. A capture matches one character at least.
func compilePatternFilter(q *quoted) (stageFunc, error) {
	parts, err := parsePattern(q, false)
	if err != nil {
		return nil, err
	}
	return func(e *entry) bool {
		if e.Text == "" || len(parts) == 0 {
			return e.Text == "" && len(parts) == 0
		}
		rest := e.Text
		for i, p := range parts {
			if p.capture {
				continue
			}
			before, after, found := strings.Cut(rest, p.text)
			if !found || i > 0 && before == "" {
				return false
			}
			rest = after
		}
		return parts[len(parts)-1].capture == (rest != "")
	}, nil
}
