package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strings"
	"time"

	"dicelab/internal/contract"
)

// Line is a log line.
type Line struct {
	Time     time.Time         // nanoseconds are kept; years 1678 to 2261
	Stream   map[string]string // the labels of its stream: container_name, service_name, job, level
	Metadata map[string]string // structured metadata: trace_id, span_id, …
	Text     string            // as it was written, unchanged
}

// LineQuery selects log lines.
type LineQuery struct {
	Streams         func(labels map[string]string) bool // which streams; nil means all
	From, To        time.Time                           // [From, To); zero means unbounded
	TraceID, SpanID string                              // exact match on metadata, by index; "" means any
	Forward         bool                                // oldest first; default newest first
}

// linePage is how many lines are read from the file at a time.
const linePage = 1000

type lineRow struct {
	stream              string // labels as JSON, keys sorted
	time                int64
	trace, span, others any // nil where there are none
	text                string
}

// AppendLines stores lines and returns when they are committed. On error none
// of them is stored, unless ctx ended while the commit was under way. It fails
// with [*TooManyStreamsError] where they would make too many streams.
func (s *Store) AppendLines(ctx context.Context, lines []Line) error {
	if len(lines) == 0 {
		return ctx.Err()
	}
	rows := make([]lineRow, len(lines))
	var labels labelCache
	for i, l := range lines {
		row, err := encodeLine(l, &labels)
		if err != nil {
			return fmt.Errorf("storing log line %d of %d: %w", i+1, len(lines), err)
		}
		rows[i] = row
	}
	return s.do(ctx, func(w *writer) error { return w.insertLines(rows) })
}

func (w *writer) insertLines(rows []lineRow) error {
	if err := w.admit(rows); err != nil {
		return err
	}
	for len(rows) > 0 {
		n := 1
		if len(rows) >= insertRows {
			n = insertRows
		}
		w.args = w.args[:0]
		for _, r := range rows[:n] {
			stream, err := intern(w, w.streams, r.stream, "SELECT id FROM log_stream WHERE labels = ?", 1,
				"INSERT INTO log_stream (labels) VALUES (?) RETURNING id", r.stream)
			if err != nil {
				return err
			}
			w.args = append(w.args, stream, r.time, r.trace, r.span, r.others, r.text)
		}
		if _, err := w.exec(insertInto+"log_row (stream, time, trace_id, span_id, metadata, text) VALUES "+values("(?,?,?,?,?,?)", n), w.args...); err != nil {
			return fmt.Errorf("inserting log lines: %w", err)
		}
		rows = rows[n:]
	}
	return nil
}

// labelCache remembers the text of the last labels: lines of a stream often come
// together and share their map.
type labelCache struct {
	labels uintptr // of a map that the append holds
	text   string
}

// encode gives labels as JSON, keys sorted: one text for one stream.
func (c *labelCache) encode(labels map[string]string) (string, error) {
	if labels == nil {
		return "{}", nil
	}
	at := reflect.ValueOf(labels).Pointer()
	if c.labels == at {
		return c.text, nil
	}
	b, err := json.Marshal(labels)
	if err != nil {
		return "", fmt.Errorf("encoding labels: %w", err)
	}
	c.labels, c.text = at, string(b)
	return c.text, nil
}

func encodeLine(l Line, labels *labelCache) (row lineRow, err error) {
	row = lineRow{time: nanos(l.Time), text: l.Text}
	if l.Time.IsZero() || row.time == math.MinInt64 || row.time == math.MaxInt64 {
		return row, fmt.Errorf("its time %v is outside of the years 1678 to 2261: give it the time when it was written or read", l.Time)
	}
	if row.stream, err = labels.encode(l.Stream); err != nil {
		return row, err
	}
	known := 0
	if v, ok := l.Metadata[contract.FieldTraceID]; ok {
		row.trace, known = v, known+1
	}
	if v, ok := l.Metadata[contract.FieldSpanID]; ok {
		row.span, known = v, known+1
	}
	if len(l.Metadata) > known {
		others := maps.Clone(l.Metadata)
		delete(others, contract.FieldTraceID)
		delete(others, contract.FieldSpanID)
		b, err := json.Marshal(others)
		if err != nil {
			return row, fmt.Errorf("encoding metadata: %w", err)
		}
		row.others = string(b)
	}
	return row, nil
}

// Lines calls yield for each line that q selects, newest first unless
// q.Forward, until yield returns false, and returns nil then. Lines of one time
// keep the order in which they were stored, reversed if newest first. The maps
// of a line may be shared with other lines: they must not be changed.
func (s *Store) Lines(ctx context.Context, q LineQuery, yield func(Line) bool) error {
	streams, err := s.streams(ctx, q.Streams)
	if err != nil {
		return err
	}
	if len(streams) == 0 {
		return nil
	}
	from, to := bounds(q.From, q.To)
	if q.TraceID != "" || q.SpanID != "" {
		_, err := s.page(ctx, streams, q, from, to, true, yield)
		return err
	}
	ids := make([]int64, 0, len(streams))
	for id := range streams {
		ids = append(ids, id)
	}
	walk := walk{table: "log_row", key: "stream", ids: ids, index: "log_stream_time", column: "time", forward: q.Forward, page: linePage}
	return walk.run(ctx, s.read, from, to, func(lo, hi int64) (bool, error) {
		return s.page(ctx, streams, q, lo, hi, false, yield)
	})
}

// page yields the lines of [from, to) and reports whether to go on.
func (s *Store) page(ctx context.Context, streams map[int64]map[string]string, q LineQuery, from, to int64, byID bool, yield func(Line) bool) (more bool, err error) {
	where := []string{"time >= ?", "time < ?"}
	args := []any{from, to}
	if q.TraceID != "" {
		where, args = append(where, "trace_id = ?"), append(args, q.TraceID)
	}
	if q.SpanID != "" {
		where, args = append(where, "span_id = ?"), append(args, q.SpanID)
	}
	if !byID {
		marks := make([]string, 0, len(streams))
		for id := range streams {
			marks, args = append(marks, "?"), append(args, id)
		}
		where = append(where, "stream IN ("+strings.Join(marks, ",")+")")
	}
	order := "time DESC, id DESC"
	if q.Forward {
		order = "time, id"
	}
	rows, err := s.read.QueryContext(ctx, "SELECT stream, time, trace_id, span_id, metadata, text FROM log_row WHERE "+
		strings.Join(where, " AND ")+" ORDER BY "+order, args...)
	if err != nil {
		return false, fmt.Errorf("reading log lines: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var stream, ns int64
		var trace, span, others sql.NullString
		var l Line
		if err := rows.Scan(&stream, &ns, &trace, &span, &others, &l.Text); err != nil {
			return false, fmt.Errorf("reading log line: %w", err)
		}
		var known bool
		if l.Stream, known = streams[stream]; !known {
			continue
		}
		l.Time = time.Unix(0, ns).UTC()
		l.Metadata = make(map[string]string, 2)
		if others.Valid {
			if err := json.Unmarshal([]byte(others.String), &l.Metadata); err != nil {
				return false, fmt.Errorf("decoding metadata of log line: %w", err)
			}
		}
		if trace.Valid {
			l.Metadata[contract.FieldTraceID] = trace.String
		}
		if span.Valid {
			l.Metadata[contract.FieldSpanID] = span.String
		}
		if !yield(l) {
			return false, nil
		}
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("reading log lines: %w", err)
	}
	return true, nil
}

// streams gives the labels of the streams that match selects, by id.
func (s *Store) streams(ctx context.Context, match func(map[string]string) bool) (map[int64]map[string]string, error) {
	return s.queryStreams(ctx, match, "SELECT id, labels FROM log_stream")
}

func (s *Store) queryStreams(ctx context.Context, match func(map[string]string) bool, query string, args ...any) (map[int64]map[string]string, error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading log streams: %w", err)
	}
	defer rows.Close()
	streams := make(map[int64]map[string]string)
	for rows.Next() {
		var id int64
		var text string
		if err := rows.Scan(&id, &text); err != nil {
			return nil, fmt.Errorf("reading log stream: %w", err)
		}
		var labels map[string]string
		if err := json.Unmarshal([]byte(text), &labels); err != nil {
			return nil, fmt.Errorf("decoding labels of log stream %d: %w", id, err)
		}
		if match == nil || match(labels) {
			streams[id] = labels
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading log streams: %w", err)
	}
	return streams, nil
}

// Streams lists the labels of every stream that has a line in [from, to); a
// zero time is no bound. The order is not defined.
func (s *Store) Streams(ctx context.Context, from, to time.Time) ([]map[string]string, error) {
	lo, hi := bounds(from, to)
	byID, err := s.queryStreams(ctx, nil, `SELECT id, labels FROM log_stream s
		WHERE EXISTS (SELECT 1 FROM log_row r WHERE r.stream = s.id AND r.time >= ? AND r.time < ?)`, lo, hi)
	if err != nil {
		return nil, err
	}
	list := make([]map[string]string, 0, len(byID))
	for _, labels := range byID {
		list = append(list, labels)
	}
	return list, nil
}
