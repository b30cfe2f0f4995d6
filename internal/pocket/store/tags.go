package store

import (
	"context"
	"fmt"
)

// tagRows is how many spans, the newest by arrival, are at least looked at for
// names and values of span attributes.
const tagRows = 10_000

// newestSegments names the segments, from the newest on, that have ?1 spans.
const newestSegments = `WITH newest AS (SELECT id, last, forms FROM span_segment WHERE id >= coalesce((
	SELECT id FROM (SELECT id, sum(spans) OVER (ORDER BY id DESC) AS n FROM span_segment ORDER BY id DESC LIMIT ?1)
	WHERE n >= ?1 ORDER BY id DESC LIMIT 1), 0)) `
const (
	// tagKeys bounds the attributes that are looked at for names and values: a
	// hundred of each span.
	tagKeys = 100 * tagRows
	// tagBytes bounds the texts of an answer.
	tagBytes = 4 << 20
)

// Scope says where an attribute is.
type Scope string

// The scopes of attributes.
const (
	ScopeResource Scope = "resource"
	ScopeSpan     Scope = "span"
)

// source gives the SQL that yields a column attributes for the scope.
func (s Scope) source() (string, error) {
	switch s {
	case ScopeResource:
		return "SELECT resource AS attributes FROM span_source ORDER BY id DESC LIMIT ?1", nil
	case ScopeSpan:
		// What a form says its first span had, a change some other.
		return newestSegments + `SELECT f.value -> 3 AS attributes FROM newest g, json_each(g.forms) f
			UNION ALL SELECT e.value -> 5 FROM newest g CROSS JOIN span_part p CROSS JOIN json_each(p.spans) e WHERE p.id BETWEEN g.id AND g.last`, nil
	}
	return "", fmt.Errorf("listing attributes: scope %q is neither %s nor %s", s, ScopeResource, ScopeSpan)
}

// TagNames lists at most limit names of attributes, sorted; of spans those of the
// newest 10,000. Names and values are listed of a million attributes, and in
// answers of 4 MiB, at most.
func (s *Store) TagNames(ctx context.Context, scope Scope, limit int) ([]string, error) {
	from, err := scope.source()
	if err != nil {
		return nil, err
	}
	values, err := s.tagValues(ctx, "SELECT DISTINCT 'string', key FROM (SELECT j.key AS key FROM ("+from+") a, json_each(a.attributes) j LIMIT ?2) ORDER BY 2 LIMIT ?3", tagRows, tagKeys, limit)
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = v.Text
	}
	return names, err
}

// TagValue is a value that an attribute has.
type TagValue struct {
	Type string // TraceQL's name of its type: string, int, float or bool
	Text string
}

// TagValues lists at most limit values of an attribute, sorted; of spans those
// of the newest 10,000. Lists and maps are left out: TraceQL has none.
func (s *Store) TagValues(ctx context.Context, scope Scope, name string, limit int) ([]TagValue, error) {
	from, err := scope.source()
	if err != nil {
		return nil, err
	}
	return s.tagValues(ctx, `SELECT DISTINCT CASE type WHEN 'integer' THEN 'int' WHEN 'real' THEN 'float' WHEN 'text' THEN 'string' ELSE 'bool' END,
		CASE type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(value AS TEXT) END
		FROM (SELECT j.key AS key, j.type AS type, j.value AS value FROM (`+from+`) a, json_each(a.attributes) j LIMIT ?2)
		WHERE key = ?3 AND type IN ('integer', 'real', 'text', 'true', 'false') ORDER BY 1, 2 LIMIT ?4`, tagRows, tagKeys, name, limit)
}

// Words lists at most limit texts that a column of text has, sorted.
func (s *Store) Words(ctx context.Context, column Column, limit int) ([]string, error) {
	query := "SELECT DISTINCT 'string', c.%s FROM span_class c WHERE EXISTS (SELECT 1 FROM span_summary s WHERE s.class = c.id) ORDER BY 2 LIMIT ?"
	switch column {
	case ColumnService:
		query = fmt.Sprintf(query, "service")
	case ColumnName:
		query = fmt.Sprintf(query, "name")
	default:
		return nil, fmt.Errorf("listing words of column %d: only service and name are listed", column)
	}
	values, err := s.tagValues(ctx, query, limit)
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = v.Text
	}
	return words, err
}

func (s *Store) tagValues(ctx context.Context, query string, args ...any) ([]TagValue, error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("listing attributes: %w", err)
	}
	defer rows.Close()
	var values []TagValue
	for size := 0; size < tagBytes && rows.Next(); {
		var v TagValue
		if err := rows.Scan(&v.Type, &v.Text); err != nil {
			return nil, fmt.Errorf("listing attributes: %w", err)
		}
		size += len(v.Text)
		values = append(values, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("listing attributes: %w", err)
	}
	return values, nil
}
