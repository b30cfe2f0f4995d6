package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"dicelab/internal/embedded/journal"
)

// The fields of a line's row: its text, its labels and its structured metadata.
const (
	fieldText      = "_msg"
	fieldStreamID  = "_stream_id" // the engine's own
	prefixLabel    = "l."         // of the stream
	prefixMetadata = "m."
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
	Streams  func(labels map[string]string) bool // reports whether to read a stream; nil means all
	From, To time.Time                           // [From, To); zero means unbounded
	// Where are conditions on the lines. The index finds lines by them as far as it can:
	// other lines may come, too.
	Where    []LineFilter
	Forward  bool // oldest first; default newest first
	Expected int  // expected number of lines before yield returns false; 0 means all
}

// LineFilter is a condition on the text or the metadata of a line.
type LineFilter struct {
	Label  string   // of the metadata; "" means the text. Does not apply to lines of streams with a label of that name
	Op     string   // for a text |= (contains one of Values), != (none) or |~ (matches one); for metadata =, != or =~
	Values []string // valid UTF-8 and not empty for a text; one for metadata
}

// filter writes the condition as a filter of the engine.
func (f LineFilter) filter() string {
	var any []string
	for _, v := range f.Values {
		switch f.Op {
		case "|=":
			any = append(any, fieldText+":*"+quote(v)+"*")
		case "|~":
			any = append(any, fieldText+":~"+quote(v))
		default:
			if f.Label == "" { // each of them
				any = append(any, "!"+fieldText+":*"+quote(v)+"*")
			} else {
				any = append(any, textFilter(quote(prefixMetadata+f.Label), Op(f.Op), v), fieldMore+`:="1"`)
			}
		}
	}
	if f.Label == "" && f.Op == "!=" {
		return strings.Join(any, " ")
	}
	return "(" + strings.Join(any, " or ") + " )"
}

// AppendLines stores lines and returns when they are in the journal. On error none
// of them is known to be stored.
func (s *Store) AppendLines(ctx context.Context, lines []Line) error {
	if err := errors.Join(ctx.Err(), s.open()); err != nil {
		return err
	}
	if len(lines) == 0 {
		return nil
	}
	size := 0
	for _, l := range lines {
		size += len(l.Text) + 200 // usual labels and metadata
	}
	payload := make([]byte, 0, size)
	var keys []string
	for i, l := range lines {
		if at := nanos(l.Time); l.Time.IsZero() || at == math.MinInt64 || at == math.MaxInt64 {
			return fmt.Errorf("storing log line %d of %d: its time %v is outside of the years 1678 to 2261: give it the time when it was written or read", i+1, len(lines), l.Time)
		}
		payload, keys = appendLine(payload, l, keys)
	}
	return s.append(s.lines, journal.Record{Kind: recordLines, Rows: len(lines), Payload: payload}, func(at int64, known *names) rows {
		return lineRows(at, lines, known, nil)
	})
}

// appendLine appends a line as the journal has it: time, text, labels and metadata.
// Numbers are varints, texts begin with their length. It uses keys as a buffer.
func appendLine(b []byte, l Line, keys []string) ([]byte, []string) {
	b = binary.AppendVarint(b, nanos(l.Time))
	b = appendText(b, l.Text)
	for _, m := range []map[string]string{l.Stream, l.Metadata} {
		b = binary.AppendUvarint(b, uint64(len(m)))
		keys = sortedKeys(keys, m)
		for _, k := range keys {
			b = appendText(appendText(b, k), m[k])
		}
	}
	return b, keys
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// sortedKeys returns the keys of m in the memory of buffer.
func sortedKeys(buffer []string, m map[string]string) []string {
	buffer = buffer[:0]
	for k := range m {
		buffer = append(buffer, k)
	}
	slices.Sort(buffer)
	return buffer
}

// lineReader reads what appendLine wrote.
type lineReader struct {
	rest []byte
	err  error
}

func (r *lineReader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.err, r.rest = errors.New("a record of lines ends too early"), nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *lineReader) text() string {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.err, r.rest = errors.New("a record of lines ends too early"), nil
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

func (r *lineReader) texts() map[string]string {
	m := map[string]string{}
	for n := r.number(); n > 0 && r.err == nil; n-- {
		k := r.text()
		m[k] = r.text()
	}
	return m
}

func (r *lineReader) line() Line {
	at, n := binary.Varint(r.rest)
	if n <= 0 {
		r.err = errors.New("a record of lines ends too early")
		return Line{}
	}
	r.rest = r.rest[n:]
	l := Line{Time: time.Unix(0, at).UTC(), Text: r.text()}
	l.Stream, l.Metadata = r.texts(), r.texts()
	return l
}

// buildLines returns the rows of a record that AppendLines has written.
func (s *Store) buildLines(record journal.Record, known *names, skip map[string]bool) (rows, error) {
	lines, err := decodeLines(record)
	if err != nil {
		return rows{}, err
	}
	return lineRows(record.At, lines, known, skip), nil
}

func decodeLines(record journal.Record) ([]Line, error) {
	r := &lineReader{rest: record.Payload}
	lines := make([]Line, 0, record.Rows)
	for len(r.rest) > 0 && r.err == nil {
		lines = append(lines, r.line())
	}
	return lines, r.err
}

func lineRows(at int64, lines []Line, known *names, skip map[string]bool) rows {
	out := newRows()
	record := strconv.FormatInt(at, 10)
	var row fieldList
	var keys []string
	ofLabel, ofMetadata := prefixes{}, prefixes{}
	for i, l := range lines {
		number := strconv.Itoa(i)
		if skip[number] {
			continue
		}
		row.reset()
		keys = sortedKeys(keys, l.Stream)
		for _, k := range keys {
			row.add(ofLabel.of(prefixLabel, k), l.Stream[k])
		}
		stream := len(row.fields)
		keys = sortedKeys(keys, l.Metadata)
		for _, k := range keys {
			name := ofMetadata.of(prefixMetadata, k)
			if l.Metadata[k] == "" || !known.take(name) {
				row.more = true
				continue
			}
			row.add(name, l.Metadata[k])
		}
		row.add(fieldText, l.Text)
		if row.more {
			row.add(fieldMore, "1")
		}
		row.add(fieldAt, record)
		row.add(fieldRow, number)
		out.row(nanos(l.Time), stream, row.fields)
	}
	return out
}

// prefixes has the names of fields for keys: successive lines have the same ones.
type prefixes map[string]string

func (p prefixes) of(prefix, key string) string {
	name, ok := p[key]
	if !ok {
		name = prefix + key
		p[key] = name
	}
	return name
}

// Lines calls yield for each line that q selects, newest first unless
// q.Forward, until yield returns false, and returns nil then. Lines of one time
// keep the order in which they were stored, reversed if newest first.
func (s *Store) Lines(ctx context.Context, q LineQuery, yield func(Line) bool) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w, streams, _, err := s.lineWalk(ctx, q)
	if err != nil || len(streams) == 0 {
		return err
	}
	w.fields = fieldStreamID
	records := lineRecords{}
	var damaged error
	err = w.run(func(r row) bool {
		var l Line
		if l, damaged = records.line(r); damaged != nil {
			return false
		}
		if q.Streams != nil && streams[r.value(fieldStreamID)] == nil && !q.Streams(l.Stream) { // it is younger than the list
			return true
		}
		return yield(l)
	})
	return errors.Join(err, damaged)
}

// lineWalk returns the walk over the rows that q may match, and the labels of the streams
// that q selects, by the engine's ID. exact reports whether all conditions are in the
// walk's filter.
func (s *Store) lineWalk(ctx context.Context, q LineQuery) (w walk, streams map[string]map[string]string, exact bool, err error) {
	w = walk{ctx: ctx, all: s.lines, filter: everything, forward: q.Forward, expected: q.Expected}
	w.from, w.to = bounds(q.From, q.To)
	if streams, err = s.streams(ctx, w.from, w.to); err != nil {
		return w, nil, false, err
	}
	all := len(streams)
	taken := map[string]bool{} // names of labels of streams
	maps.DeleteFunc(streams, func(_ string, labels map[string]string) bool { return q.Streams != nil && !q.Streams(labels) })
	for _, labels := range streams {
		for name := range labels {
			taken[name] = true
		}
	}
	var filters []string
	if len(streams) < all {
		filters = append(filters, fieldStreamID+":in("+strings.Join(slices.Sorted(maps.Keys(streams)), ",")+")")
	}
	exact = true
	for _, f := range q.Where {
		if taken[f.Label] {
			exact = false
			continue
		}
		filters = append(filters, f.filter())
	}
	if len(filters) > 0 {
		w.filter = strings.Join(filters, " ")
	}
	return w, streams, exact, nil
}

// maxRecords is the number of records that a query keeps decoded: successive rows come
// from few records.
const maxRecords = 32

// recordAt is the place of a record.
type recordAt struct {
	in *partition
	at int64
}

// lineRecords are the records of journals that a query has decoded.
type lineRecords map[recordAt][]Line

// line returns the line that a row refers to. It reads the line from its record in the
// journal, which has many.
func (records lineRecords) line(r row) (Line, error) {
	at := recordAt{r.in, r.at}
	lines, ok := records[at]
	if !ok {
		record, err := r.in.journal.Read(at.at)
		if err != nil {
			return Line{}, err
		}
		if lines, err = decodeLines(record); err != nil {
			return Line{}, fmt.Errorf("reading %s: %w", r.in.dir, err)
		}
		if len(records) >= maxRecords {
			clear(records)
		}
		records[at] = lines
	}
	if r.number < 0 || r.number >= int64(len(lines)) {
		return Line{}, fmt.Errorf("reading %s: a record has %d lines, and no line %d", r.in.dir, len(lines), r.number)
	}
	return lines[r.number], nil
}
