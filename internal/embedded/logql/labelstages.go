package logql

import (
	"cmp"
	"regexp"
	"slices"
)

// compileNamed compiles the names of drop and keep, each with a condition on its value or
// without one.
func (c *compiler) compileNamed(list []*named) ([]textMatcher, error) {
	var out []textMatcher
	for _, n := range list {
		m := textMatcher{name: n.Name, any: n.Value == nil}
		if !m.any {
			var err error
			if m, err = c.compileMatcher(n.Name, n.Op, n.Value); err != nil {
				return nil, err
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// compileDrop returns a stage that removes labels, or the error of a line.
func (c *compiler) compileDrop(list []*named) (stageFunc, error) {
	matchers, err := c.compileNamed(list)
	return func(e *entry) bool {
		for _, m := range matchers {
			value := e.value(m.name)
			if m.name == LabelErrorDetails {
				value = e.errDetails
			}
			matches, err := m.matches(e.ctx, value)
			e.ended = cmp.Or(e.ended, err)
			switch {
			case !matches:
			case m.name == LabelError:
				e.err = ""
			case m.name == LabelErrorDetails:
				e.errDetails = ""
			default:
				e.remove(m.name)
			}
		}
		return true
	}, err
}

// compileKeep returns a stage that removes all labels but some.
func (c *compiler) compileKeep(list []*named) (stageFunc, error) {
	matchers, err := c.compileNamed(list)
	return func(e *entry) bool {
		for name, value := range e.All() {
			if !slices.ContainsFunc(matchers, func(m textMatcher) bool {
				matches, err := m.matches(e.ctx, value)
				e.ended = cmp.Or(e.ended, err)
				return m.name == name && matches
			}) {
				e.remove(name)
			}
		}
		return true
	}, err
}

// compileDecolorize returns a stage that removes the control sequences of terminals
// (ECMA-48, section 5.4) from the text of a line.
func compileDecolorize() stageFunc {
	sequence := regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]|\x1b\\][^\a\x1b]*(?:\a|\x1b\\\\)|\x1b[@-Z\\\\-_]")
	return func(e *entry) bool {
		e.Text = sequence.ReplaceAllString(e.Text, "")
		return true
	}
}

// compileUnwrap returns a stage that makes the value of a label the value of the line. A
// line without the label, or with an empty one, is left out.
func compileUnwrap(u *unwrap) (stageFunc, error) {
	name, parse := u.Name, parseFloat
	if u.Of != "" {
		name = u.Of
		switch u.Name {
		case "bytes":
			parse = parseBytes
		case "duration", "duration_seconds":
			parse = parseSeconds
		default:
			return nil, failAt(u.Pos, "unwrap converts with bytes, duration or duration_seconds, not with %s", u.Name)
		}
	}
	return func(e *entry) bool {
		text, _ := e.get(name)
		if text == "" {
			return false
		}
		var err error
		if e.Value, err = parse(text); err != nil {
			e.err, e.errDetails = ErrorUnwrap, err.Error()
		}
		return true
	}, nil
}

// label returns the name of the label that is unwrapped.
func (u *unwrap) label() string { return cmp.Or(u.Of, u.Name) }
