package logql

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/common/model"
)

// compileLine gives a filter on a line's text. With several values |= and |~ ask
// for any of them, != and !~ for none.
func compileLine(f *lineFilter) (stageFunc, error) {
	var finds []func(string) bool
	for _, v := range f.Values {
		text, err := v.text()
		if err != nil {
			return nil, err
		}
		find := func(line string) bool { return strings.Contains(line, text) }
		if strings.HasSuffix(f.Op, "~") {
			re, err := regexp.Compile(text)
			if err != nil {
				return nil, failAt(v.Pos, "%v", err)
			}
			find = re.MatchString
		}
		finds = append(finds, find)
	}
	want := strings.HasPrefix(f.Op, "|")
	return func(e *entry) bool {
		for _, find := range finds {
			if find(e.text) {
				return want
			}
		}
		return !want
	}, nil
}

func compileOr(f *orFilter) (stageFunc, error) {
	terms, err := compileAll(f.Terms, compileAnd)
	return func(e *entry) bool {
		for _, term := range terms {
			if term(e) {
				return true
			}
		}
		return false
	}, err
}

func compileAnd(f *andFilter) (stageFunc, error) {
	terms, err := compileAll(f.Terms, compileTerm)
	return func(e *entry) bool { return all(e, terms...) }, err
}

// all tells whether every filter holds. It runs each one, as Loki does: inside an
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

func compileTerm(t *termFilter) (stageFunc, error) {
	first, err := compileFirst(t)
	if err != nil || t.Rest == nil {
		return first, err
	}
	rest, err := compileOr(t.Rest)
	if err != nil {
		return nil, err
	}
	return func(e *entry) bool { return all(e, first, rest) }, nil
}

func compileFirst(t *termFilter) (stageFunc, error) {
	if t.Paren != nil {
		return compileOr(t.Paren)
	}
	return compileCondition(t.Cond)
}

// compileCondition gives a filter on a label: on its text, or, when the value in
// the query is one, on the number, duration or size that its text spells.
func compileCondition(c *condition) (stageFunc, error) {
	v := c.Value
	switch {
	case v.Text != nil:
		return compileText(c)
	case c.Op == "=~" || c.Op == "!~":
		return nil, failAt(c.Pos, "%s takes a regular expression in quotes", c.Op)
	case v.Duration != nil:
		d, err := parseDuration(*v.Duration)
		if err != nil {
			return nil, failAt(c.Pos, "%v", err)
		}
		if v.Sign == "-" {
			d = -d
		}
		return compare(c.Name, c.Op, d, time.ParseDuration), nil
	case v.Bytes != nil:
		if v.Sign != "" {
			return nil, failAt(c.Pos, "a size has no sign")
		}
		size, err := humanize.ParseBytes(*v.Bytes)
		if err != nil {
			return nil, failAt(c.Pos, "reading the size %s: %v", *v.Bytes, err)
		}
		return compare(c.Name, c.Op, size, humanize.ParseBytes), nil
	}
	n, err := parseFloat(v.Sign + *v.Number)
	if err != nil {
		return nil, failAt(c.Pos, "%v", err)
	}
	return compare(c.Name, c.Op, n, parseFloat), nil
}

func compileText(c *condition) (stageFunc, error) {
	switch c.Op {
	case "=", "!=", "=~", "!~":
	default:
		return nil, failAt(c.Pos, "%s compares numbers, durations and sizes, which stand without quotes; for text use =, !=, =~ or !~", c.Op)
	}
	m, err := compileMatcher(c.Name, c.Op, c.Value.Text)
	if err != nil {
		return nil, err
	}
	return func(e *entry) bool { return m.Matches(e.value(m.Name)) }, nil
}

// compare gives a filter on a label whose text parse reads. A line without the
// label is dropped; one whose label cannot be read is kept and gets LabelError.
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

// parseDuration reads a duration of the query language: Go's units, and d, w and
// y, which Go does not have.
func parseDuration(text string) (time.Duration, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	d, err := model.ParseDuration(text)
	return time.Duration(d), err
}
