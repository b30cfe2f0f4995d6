package logql

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/common/model"

	"dicelab/internal/embedded/pattern"
)

// compileLine returns a filter on a line's text. With several values |=, |~ and |> require
// any of them, != , !~ and !> none.
func (c *compiler) compileLine(f *lineFilter) (stageFunc, error) {
	finds, err := compileAll(f.Values, func(v *lineText) (stageFunc, error) { return c.compileLineText(f, v) })
	want := strings.HasPrefix(f.Op, "|")
	return func(e *entry) bool {
		for _, find := range finds {
			if find(e) {
				return want
			}
		}
		return !want
	}, err
}

// compileLineText returns a function that reports whether a line has one value of a filter.
func (c *compiler) compileLineText(f *lineFilter, v *lineText) (stageFunc, error) {
	if v.IP != nil {
		if !strings.HasSuffix(f.Op, "=") {
			return nil, failAt(f.Pos, "ip: invalid operation: %s; ip(...) goes with |= and !=", f.Op)
		}
		has, err := compileIP(v.IP)
		return func(e *entry) bool { return has(e.Text) }, err
	}
	text, err := v.Text.text()
	if err != nil {
		return nil, err
	}
	switch f.Op[1] {
	case '>':
		return compilePatternFilter(v.Text)
	case '~':
		p, err := c.patterns.Compile(text, pattern.Part)
		if err != nil {
			return nil, failAt(v.Text.Pos, "%v", err)
		}
		return func(e *entry) bool { return e.match(p, e.Text) }, nil
	}
	return func(e *entry) bool { return strings.Contains(e.Text, text) }, nil
}

func (c *compiler) compileOr(f *orFilter) (stageFunc, error) {
	terms, err := compileAll(f.Terms, c.compileAnd)
	return func(e *entry) bool {
		for _, term := range terms {
			if term(e) {
				return true
			}
		}
		return false
	}, err
}

func (c *compiler) compileAnd(f *andFilter) (stageFunc, error) {
	terms, err := compileAll(f.Terms, c.compileTerm)
	return func(e *entry) bool { return all(e, terms...) }, err
}

// all reports whether every filter matches. It runs each one, as Loki does: inside an
// "or" the line may stay, and then it shows the error of any of them.
func all(e *entry, filters ...stageFunc) bool {
	hold := true
	for _, filter := range filters {
		hold = filter(e) && hold
	}
	return hold
}

func compileAll[T any](terms []T, compile func(T) (stageFunc, error)) ([]stageFunc, error) {
	var filters []stageFunc
	for _, t := range terms {
		filter, err := compile(t)
		if err != nil {
			return nil, err
		}
		filters = append(filters, filter)
	}
	return filters, nil
}

func (c *compiler) compileTerm(t *termFilter) (stageFunc, error) {
	first, err := c.compileFirst(t)
	if err != nil || t.Rest == nil {
		return first, err
	}
	rest, err := c.compileOr(t.Rest)
	if err != nil {
		return nil, err
	}
	return func(e *entry) bool { return all(e, first, rest) }, nil
}

func (c *compiler) compileFirst(t *termFilter) (stageFunc, error) {
	if t.Paren != nil {
		return c.compileOr(t.Paren)
	}
	return c.compileCondition(t.Cond)
}

// compileCondition returns a filter on a label. If the value in the query is a number, a
// duration or a size, it compares the label as such, else as text.
func (c *compiler) compileCondition(f *condition) (stageFunc, error) {
	v := f.Value
	c.needs.addNames(f.Name)
	switch {
	case v.IP != nil:
		return compileLabelIP(f)
	case v.Text != nil:
		return c.compileText(f)
	case f.Op == "=~" || f.Op == "!~":
		return nil, failAt(f.Pos, "%s takes a regular expression in quotes", f.Op)
	case v.Duration != nil:
		d, err := parseDuration(*v.Duration)
		if err != nil {
			return nil, failAt(f.Pos, "%v", err)
		}
		if v.Sign == "-" {
			d = -d
		}
		return compare(f.Name, f.Op, d, time.ParseDuration), nil
	case v.Bytes != nil:
		if v.Sign != "" {
			return nil, failAt(f.Pos, "a size has no sign")
		}
		size, err := humanize.ParseBytes(*v.Bytes)
		if err != nil {
			return nil, failAt(f.Pos, "reading the size %s: %v", *v.Bytes, err)
		}
		return compare(f.Name, f.Op, size, humanize.ParseBytes), nil
	}
	n, err := parseFloat(v.Sign + *v.Number)
	if err != nil {
		return nil, failAt(f.Pos, "%v", err)
	}
	return compare(f.Name, f.Op, n, parseFloat), nil
}

// compileLabelIP returns a filter on the addresses in a label. A line that has an error is
// kept; one without the label is dropped.
func compileLabelIP(f *condition) (stageFunc, error) {
	if f.Op != "=" && f.Op != "!=" {
		return nil, failAt(f.Pos, "ip: invalid operation: %s; ip(...) goes with = and !=", f.Op)
	}
	has, err := compileIP(f.Value.IP)
	return func(e *entry) bool {
		text, ok := e.get(f.Name)
		return e.err != "" || ok && has(text) == (f.Op == "=")
	}, err
}

func (c *compiler) compileText(f *condition) (stageFunc, error) {
	switch f.Op {
	case "=", "!=", "=~", "!~":
	default:
		return nil, failAt(f.Pos, "%s compares numbers, durations and sizes, which stand without quotes; for text use =, !=, =~ or !~", f.Op)
	}
	m, err := c.compileMatcher(f.Name, f.Op, f.Value.Text)
	if err != nil {
		return nil, err
	}
	return func(e *entry) bool {
		matches, err := m.matches(e.ctx, e.value(m.name))
		e.ended = cmp.Or(e.ended, err)
		return matches
	}, nil
}

// compare returns a filter on a label whose text parse parses. A line without the label
// is dropped; one whose label cannot be parsed is kept and gets LabelError.
func compare[T cmp.Ordered](name, op string, want T, parse func(string) (T, error)) stageFunc {
	return func(e *entry) bool {
		text, ok := e.get(name)
		if !ok {
			return false
		}
		got, err := parse(text)
		if err != nil {
			e.fail(ErrorLabelFilter, err.Error())
			return true
		}
		switch op {
		case "=", "==":
			return got == want
		case "!=":
			return got != want
		case ">":
			return got > want
		case ">=":
			return got >= want
		case "<":
			return got < want
		default: // "<=": the grammar has no other
			return got <= want
		}
	}
}

func parseFloat(text string) (float64, error) { return strconv.ParseFloat(text, 64) }

// parseDuration reads a duration of the query language: Prometheus' units, among them d,
// w and y, and Go's.
func parseDuration(text string) (time.Duration, error) {
	if d, err := model.ParseDuration(text); err == nil {
		return time.Duration(d), nil
	}
	return time.ParseDuration(text)
}
