package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SpanCount selects spans to be counted by time.
type SpanCount struct {
	From, To time.Time     // (From, To] of the start of a span
	Step     time.Duration // spans in (From, From+Step] are counted together, and so on up to To; MaxStep, or all of it
	// Where are conditions that each span that is counted fulfils. Exact reports that
	// a span that fulfils them is counted.
	Where []Condition
	Exact bool
	By    []Attribute // by which spans are grouped
	// Each reports that yield is called for each span by itself, with the time of its
	// start. The index keeps groups in memory, but not spans.
	Each bool
	// Read is called with spans that may match, but for which the index cannot decide it.
	Read func(start time.Time, span Span)
}

// MaxStep is the longest of several steps of a count: the engine computes with float64.
const MaxStep = 30 * 24 * time.Hour

// Attribute names an attribute or an intrinsic.
type Attribute struct {
	Scope Scope
	Name  string
}

// maxCountedReads limits the number of spans that are read for one count.
const maxCountedReads = 500_000

// CountSpans calls yield with numbers of spans: with their values of q.By, which are
// a string, int64, float64 or bool, or nil where a span has none, and the time up to which they
// were counted. It may be called for the same values and time again. A span that was
// sent twice is counted twice. It reports whether spans were left out since too many have
// to be read.
func (s *Store) CountSpans(ctx context.Context, q SpanCount, yield func(by []any, until time.Time, n int)) (partial bool, err error) {
	// The engine's buckets begin with their first nanosecond.
	from, to := nanos(q.From)+1, nanos(q.To)+1
	exact, doubt := exactFilter(q.Where)
	for _, a := range q.By {
		doubt = append(doubt, a.doubt()...)
	}
	slices.Sort(doubt)
	doubt = slices.Compact(doubt)
	reading, within := filter(q.Where), between(from, to)
	counting := ""
	if q.Exact && exact != "" {
		unsure := strings.Join(doubt, " or ")
		reading += " (" + unsure + ")"
		counting = fmt.Sprintf("%s !(%s) %s | %s", exact, unsure, within, q.pipe(from))
	}
	left := maxCountedReads
	err = s.spans.read(from, to, func(parts []*partition) error {
		for _, p := range slices.Backward(parts) {
			if counting != "" {
				if err := q.countIn(ctx, p, counting, yield); err != nil {
					return err
				}
			}
			n, err := p.readEach(ctx, fmt.Sprintf("%s %s | fields %s, %s, %s | limit %d", reading, within, fieldTime, fieldAt, fieldRow, left+1), q.Read)
			if err != nil {
				return err
			}
			if left -= n; left < 0 {
				partial = true
				left = 0
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("counting spans: %w", err)
	}
	return partial, nil
}

// pipe returns the pipe by which the engine counts or lists spans.
func (q SpanCount) pipe(from int64) string {
	if !q.Each {
		return "stats " + q.by(from) + " count() n"
	}
	fields := []string{fieldTime, fieldAt} // at, since the time is no column
	for _, a := range q.By {
		for _, name := range a.fields() {
			fields = append(fields, quote(name))
		}
	}
	return "fields " + strings.Join(fields, ", ")
}

// by returns the fields by which the engine counts, as the pipe stats has them.
func (q SpanCount) by(from int64) string {
	var fields []string
	if q.To.Sub(q.From) > q.Step {
		fields = append(fields, fmt.Sprintf("%s:%dns offset %dns", fieldTime, q.Step, int64(q.Step)-from%int64(q.Step)))
	}
	for _, a := range q.By {
		for _, name := range a.fields() {
			fields = append(fields, quote(name))
		}
	}
	if len(fields) == 0 {
		return ""
	}
	return "by (" + strings.Join(fields, ", ") + ")"
}

// countIn counts the spans of a partition.
func (q SpanCount) countIn(ctx context.Context, p *partition, query string, yield func(by []any, until time.Time, n int)) error {
	var broken error
	err := p.index.scan(ctx, query, func(times []int64, columns []column) {
		values := make(map[string]string, len(columns))
		for i := range columns[0].Values {
			for _, c := range columns {
				values[c.Name] = c.Values[i]
			}
			n, until := 1, q.To
			var err error
			switch {
			case q.Each:
				until = time.Unix(0, times[i])
			default:
				n, err = strconv.Atoi(values["n"])
			}
			if times != nil && !q.Each {
				until = time.Unix(0, times[i]-1).Add(q.Step)
			}
			if err != nil || !until.After(q.From) || until.After(q.To) {
				broken = fmt.Errorf("the index counted %q spans until %v", values["n"], until)
				return
			}
			by := make([]any, 0, len(q.By))
			for _, a := range q.By {
				by = append(by, a.value(values))
			}
			yield(by, until, n)
		}
	})
	return errors.Join(err, broken)
}

// fields are those that may have the attribute.
func (a Attribute) fields() (list []string) {
	switch {
	case a.Scope == ScopeIntrinsic:
		return []string{a.Name}
	case a.service():
		return []string{fieldService}
	}
	for _, scope := range (Condition{Scope: a.Scope}).scopes() {
		for _, kind := range kinds() {
			list = append(list, scope+kind+a.Name)
		}
	}
	return list
}

// service reports whether this is the name of the service, which has a field of its
// own where it is a text.
func (a Attribute) service() bool { return a.Scope == ScopeResource && a.Name == AttrServiceName }

// doubt returns filters for the spans whose value is not in the index, except for those
// with the field more.
func (a Attribute) doubt() (doubt []string) {
	switch {
	case a.service():
		for _, kind := range []string{typeInt, typeFloat, typeBool, typeOther} {
			doubt = append(doubt, quote(scopeResource+kind+a.Name)+":*")
		}
	case a.Scope != ScopeIntrinsic:
		for _, scope := range (Condition{Scope: a.Scope}).scopes() {
			doubt = append(doubt, quote(scope+typeOther+a.Name)+":*")
		}
	}
	return doubt
}

// absent is a filter for spans without the attribute to which TraceQL gives it all the
// same: every span has a service, which may be empty.
func (a Attribute) absent() []string {
	if a.Name == AttrServiceName && a.Scope == ScopeAny {
		return []string{fieldService + `:=""`}
	}
	return nil
}

// value returns the value of the attribute that fields have.
func (a Attribute) value(fields map[string]string) any {
	number := func(text string) any {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil
		}
		return n
	}
	switch {
	case a.service():
		return strings.Clone(fields[fieldService])
	case a.Scope == ScopeIntrinsic && a.Name == Name:
		return strings.Clone(fields[fieldName])
	case a.Scope == ScopeIntrinsic:
		return number(fields[a.Name])
	}
	for _, name := range a.fields() {
		text := fields[name]
		if text == "" {
			continue
		}
		switch kind := name[1 : len(name)-len(a.Name)]; kind {
		case typeString:
			return strings.Clone(text)
		case typeEmpty:
			return ""
		case typeInt:
			return number(text)
		case typeFloat:
			f, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil
			}
			return f
		case typeBool:
			return text == "true"
		}
	}
	if a.Name == AttrServiceName && a.Scope != ScopeSpan {
		return "" // every span has a service for TraceQL
	}
	return nil
}

// SampleSpans calls yield with at most n spans that begin in (from, to] and may fulfil the
// conditions, in no particular order. It reads no whole traces, as a search does.
func (s *Store) SampleSpans(ctx context.Context, from, to time.Time, where []Condition, n int,
	yield func(start time.Time, span Span)) error {
	first, end := nanos(from)+1, nanos(to)+1
	err := s.spans.read(first, end, func(parts []*partition) error {
		for _, p := range slices.Backward(parts) {
			if n <= 0 {
				return nil
			}
			read, err := p.readEach(ctx, fmt.Sprintf("%s %s | fields %s, %s, %s | limit %d",
				filter(where), between(first, end), fieldTime, fieldAt, fieldRow, n), yield)
			if err != nil {
				return err
			}
			n -= read
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading some spans: %w", err)
	}
	return nil
}

// readEach calls yield with the spans of the rows that a query finds, record by record,
// and returns how many there are.
func (p *partition) readEach(ctx context.Context, query string, yield func(time.Time, Span)) (n int, err error) {
	wanted := map[int64]map[int]int64{} // times of spans by their numbers in a record
	var broken error
	err = p.index.scan(ctx, query, func(times []int64, columns []column) {
		var at, number column
		for _, c := range columns {
			switch c.Name {
			case fieldAt:
				at = c
			case fieldRow:
				number = c
			}
		}
		for i := range times {
			record, err := strconv.ParseInt(at.Values[i], 10, 64)
			row, rowErr := strconv.Atoi(number.Values[i])
			broken = errors.Join(broken, err, rowErr)
			if wanted[record] == nil {
				wanted[record] = map[int]int64{}
			}
			wanted[record][row] = times[i]
			n++
		}
	})
	if err := errors.Join(err, broken); err != nil {
		return 0, err
	}
	for at, times := range wanted {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err := p.pick(at, func(n int) bool { _, ok := times[n]; return ok }, func(n int, s Span) { yield(time.Unix(0, times[n]), s) }); err != nil {
			return 0, err
		}
	}
	return n, nil
}
