package logql

import (
	"context"
	"fmt"

	"dicelab/internal/embedded/pattern"
)

// Selector selects streams by their labels.
type Selector struct {
	matchers []textMatcher
}

// Names returns the names of the labels that the selector compares, nil if there are none.
func (s Selector) Names() (names []string) {
	for _, m := range s.matchers {
		names = append(names, m.name)
	}
	return names
}

// Matches reports whether the selector selects a stream with these labels. A missing
// label counts as empty. The zero Selector selects every stream. If ctx ends first,
// Matches returns the error of ctx.
func (s Selector) Matches(ctx context.Context, stream map[string]string) (bool, error) {
	for _, m := range s.matchers {
		if matches, err := m.matches(ctx, stream[m.name]); !matches || err != nil {
			return false, err
		}
	}
	return true, nil
}

// textMatcher compares a label with a text, or with a regular expression that must match
// the whole label.
type textMatcher struct {
	name, value string
	pattern     *pattern.Pattern // nil: compare with value
	negated     bool
	any         bool // matches every text
}

func (m textMatcher) matches(ctx context.Context, text string) (bool, error) {
	if m.any {
		return true, nil
	}
	if m.pattern == nil {
		return (text == m.value) != m.negated, nil
	}
	matches, err := m.pattern.Match(ctx, text)
	return matches != m.negated, err
}

// compileSelector compiles a selector. As Loki, it rejects one that might select every
// stream by accident.
func (c *compiler) compileSelector(s *selector) (Selector, error) {
	var compiled Selector
	selective := false
	for _, m := range s.Matchers {
		matcher, err := c.compileMatcher(m.Name, m.Op, m.Value)
		if err != nil {
			return Selector{}, err
		}
		matchesEmpty, err := matcher.matches(context.Background(), "")
		if err != nil {
			return Selector{}, err
		}
		selective = selective || !matchesEmpty
		compiled.matchers = append(compiled.matchers, matcher)
	}
	if !selective {
		return Selector{}, failAt(s.Pos, "queries require at least one regexp or equality matcher that does not have an empty-compatible value. "+
			`For instance, app=~".*" does not meet this requirement, but app=~".+" will`)
	}
	return compiled, nil
}

// compileMatcher returns a matcher for text.
func (c *compiler) compileMatcher(name, op string, value *quoted) (m textMatcher, err error) {
	m = textMatcher{name: name, negated: op[0] == '!'}
	if m.value, err = value.text(); err != nil {
		return m, err
	}
	if op == "=~" || op == "!~" {
		if m.pattern, err = c.patterns.Compile(m.value, pattern.Whole); err != nil {
			return m, failAt(value.Pos, "%v", err)
		}
	}
	return m, nil
}

// ParseLabels parses the labels of a stream as a push request has them:
// {name="value", ...}. Empty values are left out, since an empty label and an
// absent one are the same. Its error is an *Error.
func ParseLabels(text string) (map[string]string, error) {
	if len(text) > maxLabelsText {
		return nil, &Error{1, 1, fmt.Sprintf("the labels of a stream are written in %d bytes: at most %d are allowed", len(text), maxLabelsText)}
	}
	e, err := parseExpr(text)
	if err != nil {
		return nil, err
	}
	log := e.log()
	if log == nil || len(log.Stages) > 0 {
		return nil, &Error{1, 1, `the labels of a stream are written {name="value", ...}`}
	}
	stream := make(map[string]string, len(log.Selector.Matchers))
	for _, m := range log.Selector.Matchers {
		if m.Op != "=" {
			return nil, failAt(m.Pos, `a label of a stream is written name="value", not with %q`, m.Op)
		}
		if _, twice := stream[m.Name]; twice {
			return nil, failAt(m.Pos, "the label %q is there twice", m.Name)
		}
		value, err := m.Value.text()
		if err != nil {
			return nil, err
		}
		if value != "" {
			stream[m.Name] = value
		}
	}
	return stream, nil
}
