package logql

import (
	"github.com/prometheus/prometheus/model/labels"
)

// Selector chooses streams by their labels.
type Selector struct {
	matchers []*labels.Matcher
}

// Matches tells whether a stream with these labels is chosen. A label that the
// stream does not have counts as empty. The zero Selector chooses every stream.
func (s Selector) Matches(stream map[string]string) bool {
	for _, m := range s.matchers {
		if !m.Matches(stream[m.Name]) {
			return false
		}
	}
	return true
}

// compileSelector checks that a selector cannot mean every stream by accident,
// as Loki does.
func compileSelector(s *selector) (Selector, error) {
	var compiled Selector
	selective := false
	for _, m := range s.Matchers {
		c, err := compileMatcher(m.Name, m.Op, m.Value)
		if err != nil {
			return Selector{}, err
		}
		selective = selective || !c.Matches("")
		compiled.matchers = append(compiled.matchers, c)
	}
	if !selective {
		return Selector{}, failAt(s.Pos, "queries require at least one regexp or equality matcher that does not have an empty-compatible value. "+
			`For instance, app=~".*" does not meet this requirement, but app=~".+" will`)
	}
	return compiled, nil
}

// compileMatcher gives a matcher on text. Regular expressions are RE2 and match
// the whole value.
func compileMatcher(name, op string, value *quoted) (*labels.Matcher, error) {
	text, err := value.text()
	if err != nil {
		return nil, err
	}
	kind := labels.MatchEqual
	switch op {
	case "!=":
		kind = labels.MatchNotEqual
	case "=~":
		kind = labels.MatchRegexp
	case "!~":
		kind = labels.MatchNotRegexp
	}
	m, err := labels.NewMatcher(kind, name, text)
	if err != nil {
		return nil, failAt(value.Pos, "%v", err)
	}
	return m, nil
}

// ParseLabels reads the labels of a stream as a push request spells them:
// {name="value", ...}. Empty values are left out, since an empty label and an
// absent one are the same. Its error is an *Error.
func ParseLabels(text string) (map[string]string, error) {
	e, err := parse(text)
	if err != nil {
		return nil, err
	}
	if e.Log == nil || len(e.Log.Stages) > 0 {
		return nil, &Error{1, 1, `the labels of a stream are written {name="value", ...}`}
	}
	stream := make(map[string]string, len(e.Log.Selector.Matchers))
	for _, m := range e.Log.Selector.Matchers {
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
