package store

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TagValue is a value that an attribute has.
type TagValue struct {
	Type string // TraceQL's name of its type: string, int, float or bool
	Text string
}

// maxTagBytes bounds the bytes of the texts of a result.
const maxTagBytes = 4 << 20

// tagTypes are the types of values by the kind of their field.
func tagTypes() map[string]string {
	return map[string]string{typeString: "string", typeInt: "int", typeFloat: "float", typeBool: "bool"}
}

// TagNames lists at most limit names of attributes, sorted.
func (s *Store) TagNames(ctx context.Context, scope Scope, limit int) ([]string, error) {
	prefix := (Condition{Scope: scope}).scopes()[0]
	found, err := s.listed(ctx, "* | field_names", "name")
	if err != nil {
		return nil, fmt.Errorf("listing attributes: %w", err)
	}
	var names []string
	for _, name := range found {
		for _, kind := range kinds() {
			if attribute, ok := strings.CutPrefix(name, prefix+kind); ok {
				names = append(names, attribute)
			}
		}
	}
	return limited(names, limit), nil
}

// TagValues lists at most limit values of an attribute, sorted. Lists and maps are
// left out: TraceQL has none.
func (s *Store) TagValues(ctx context.Context, scope Scope, name string, limit int) ([]TagValue, error) {
	var values []TagValue
	prefix := (Condition{Scope: scope}).scopes()[0]
	for kind, tagType := range tagTypes() {
		found, err := s.values(ctx, prefix+kind+name, limit)
		if err != nil {
			return nil, fmt.Errorf("listing values of %s: %w", name, err)
		}
		for _, v := range found {
			values = append(values, TagValue{tagType, v})
		}
	}
	empty, err := s.values(ctx, prefix+typeEmpty+name, 1)
	if err != nil {
		return nil, fmt.Errorf("listing values of %s: %w", name, err)
	}
	if len(empty) > 0 {
		values = append(values, TagValue{Type: "string"})
	}
	slices.SortFunc(values, func(a, b TagValue) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Text, b.Text)) })
	return values[:min(len(values), limit)], nil
}

// Services lists at most limit names of services, sorted. Spans without a service have the
// name "".
func (s *Store) Services(ctx context.Context, limit int) ([]string, error) {
	services, err := s.values(ctx, fieldService, limit)
	if err != nil {
		return nil, fmt.Errorf("listing services: %w", err)
	}
	without, err := s.listed(ctx, fieldService+`:="" | fields `+fieldAt+` | limit 1`, fieldAt)
	if err != nil {
		return nil, fmt.Errorf("listing services: %w", err)
	}
	if len(without) > 0 {
		services = append(services, "")
	}
	return limited(services, limit), nil
}

// Names lists at most limit names of spans, sorted.
func (s *Store) Names(ctx context.Context, limit int) ([]string, error) {
	return s.values(ctx, fieldName, limit)
}

// sortedValues is the largest number of values of a field that are sorted before the
// first ones are listed: the engine has them in memory.
const sortedValues = 10_000

// values lists at most limit values of a field of spans, sorted: the first ones among
// [sortedValues] values of each partition, or among limit values if those take too much
// memory.
func (s *Store) values(ctx context.Context, field string, limit int) ([]string, error) {
	list := func(most int) ([]string, error) {
		return s.listed(ctx, quote(field)+":* | uniq by ("+quote(field)+") limit "+strconv.Itoa(most), field)
	}
	found, err := list(max(limit, sortedValues))
	if err != nil && ctx.Err() == nil {
		found, err = list(limit)
	}
	return limited(found, limit), err
}

// listed runs a query over all spans and returns a column.
func (s *Store) listed(ctx context.Context, query, column string) (found []string, err error) {
	err = s.spans.read(math.MinInt64, math.MaxInt64, func(parts []*partition) error {
		for _, p := range slices.Backward(parts) {
			rows, err := p.index.query(ctx, query)
			if err != nil {
				return err
			}
			for _, r := range rows {
				found = append(found, r.value(column))
			}
		}
		return nil
	})
	return found, err
}

// limited sorts texts and returns the first of them, each once.
func limited(texts []string, limit int) []string {
	slices.Sort(texts)
	texts = slices.Compact(texts)
	texts = texts[:min(len(texts), limit)]
	bytes := 0
	for i, t := range texts {
		if bytes += len(t); bytes > maxTagBytes {
			return texts[:i]
		}
	}
	return texts
}

// Streams lists the labels of every stream that has a line in [from, to); a
// zero time is no bound. The order is not defined.
func (s *Store) Streams(ctx context.Context, from, to time.Time) (list []map[string]string, err error) {
	lo, hi := bounds(from, to)
	streams, err := s.streams(ctx, lo, hi)
	list = make([]map[string]string, 0, len(streams))
	for _, labels := range streams {
		list = append(list, labels)
	}
	return list, err
}

// streams lists the labels of the streams that have lines in [from, to), by the
// engine's ID.
func (s *Store) streams(ctx context.Context, from, to int64) (map[string]map[string]string, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	streams := map[string]map[string]string{}
	err := s.lines.read(from, to, func(parts []*partition) error {
		for _, p := range parts {
			rows, err := p.index.query(ctx, between(from, to)+" * | uniq by (_stream_id, _stream)")
			if err != nil {
				return fmt.Errorf("listing streams: %w", err)
			}
			for _, r := range rows {
				if streams[r.value("_stream_id")], err = parseStream(r.value("_stream")); err != nil {
					return fmt.Errorf("listing streams: %w", err)
				}
			}
		}
		return nil
	})
	return streams, err
}

// parseStream parses the labels of a stream as the engine writes them, {l.a="x"}.
func parseStream(text string) (map[string]string, error) {
	labels := map[string]string{}
	rest := strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}")
	for rest != "" {
		name, quoted, _ := strings.Cut(rest, "=")
		quoted, err := strconv.QuotedPrefix(quoted)
		if err != nil {
			return nil, fmt.Errorf("reading the stream %.200s: %w", text, err)
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("reading the stream %.200s: %w", text, err)
		}
		labels[strings.TrimPrefix(name, prefixLabel)] = value
		rest = strings.TrimPrefix(rest[len(name)+1+len(quoted):], ",")
	}
	return labels, nil
}
