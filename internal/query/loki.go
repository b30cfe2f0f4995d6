package query

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"dicelab/internal/contract"
)

// exemplarTraceIDLabel is the one spelling of a trace ID in logs and exemplars.
const exemplarTraceIDLabel = contract.FieldTraceID

// Loki is a client of Loki's HTTP API.
type Loki struct{ api }

// NewLoki makes a client.
func NewLoki(cfg Config) (*Loki, error) {
	a, err := newAPI("Loki", cfg)
	if err != nil {
		return nil, err
	}
	return &Loki{a}, nil
}

// Field is a key and value of a JSON log line.
type Field struct{ Key, Value string }

// LogLine is one line of a service's log.
type LogLine struct {
	Time     time.Time
	Labels   map[string]string // of the stream
	Metadata map[string]string // structured metadata, kept apart from labels
	Text     string            // as the service wrote it, up to MaxLineBytes
	Fields   []Field           // of a line that is a JSON object, in its order; nested values as JSON, as many as MaxLineBytes hold
	Cut      int               // bytes of the line that were left out
}

// MaxLineBytes limits what is kept of a line, in bytes. Loki takes lines of up to
// 256 KiB.
const MaxLineBytes = 32 << 10

// Field returns a field of the line, or "".
func (l LogLine) Field(key string) string {
	for _, f := range l.Fields {
		if f.Key == key {
			return f.Value
		}
	}
	return ""
}

// any looks for a value in metadata, labels and fields, in that order: servers
// and pipelines differ in where they keep it.
func (l LogLine) any(key string) string {
	if v := l.Metadata[key]; v != "" {
		return v
	}
	if v := l.Labels[key]; v != "" {
		return v
	}
	return l.Field(key)
}

// TraceID returns the line's trace ID as 32 hex digits, or "".
func (l LogLine) TraceID() string {
	id, err := ParseTraceID(l.any(contract.FieldTraceID))
	if err != nil {
		return ""
	}
	return id
}

// SpanID returns the line's span ID as 16 hex digits, or "".
func (l LogLine) SpanID() string {
	id, err := ParseSpanID(l.any(contract.FieldSpanID))
	if err != nil {
		return ""
	}
	return id
}

// Service returns the service that wrote the line, or "".
func (l LogLine) Service() string {
	if v := l.Labels[contract.StreamService]; v != "" {
		return v
	}
	return l.Field(contract.FieldLogger)
}

// Message returns the line's message, or the whole line if it has none.
func (l LogLine) Message() string {
	for _, key := range messageKeys() {
		if m := l.Field(key); m != "" {
			return m
		}
	}
	return l.Text
}

// LogResult is the result of a LogQL query: lines of a log query, series of a metric query.
type LogResult struct {
	Type   string    // "streams", "matrix" or "vector"
	Lines  []LogLine // newest first
	Series []Series
}

// LogQuery is a query for log lines, or for a metric made of them.
type LogQuery struct {
	LogQL      string
	Start, End time.Time
	Limit      int           // of lines; 0: 100, as Loki's
	Step       time.Duration // of a metric query; 0: Loki chooses
}

// QueryRange queries a time range, newest lines first.
func (l *Loki) QueryRange(ctx context.Context, q LogQuery) (*LogResult, error) {
	p := url.Values{"query": {q.LogQL}, "direction": {"backward"},
		"start": {strconv.FormatInt(q.Start.UnixNano(), 10)}, "end": {strconv.FormatInt(q.End.UnixNano(), 10)}}
	if q.Limit > 0 {
		p.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.Step > 0 {
		p.Set("step", strconv.FormatFloat(q.Step.Seconds(), 'f', -1, 64))
	}
	return l.query(ctx, "/loki/api/v1/query_range", p)
}

// Query evaluates a metric query at one moment.
func (l *Loki) Query(ctx context.Context, logQL string, at time.Time) (*LogResult, error) {
	return l.query(ctx, "/loki/api/v1/query", url.Values{"query": {logQL}, "time": {strconv.FormatInt(at.UnixNano(), 10)}})
}

func (l *Loki) query(ctx context.Context, path string, p url.Values) (*LogResult, error) {
	var w struct {
		Data struct {
			ResultType string `json:"resultType"`
			Result     []struct {
				Stream map[string]string `json:"stream"`
				Metric map[string]string `json:"metric"`
				Value  *wireEntry        `json:"value"`
				Values []wireEntry       `json:"values"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := l.getJSON(ctx, path, p, categorized(), &w); err != nil {
		return nil, err
	}
	out := &LogResult{Type: w.Data.ResultType}
	for _, row := range w.Data.Result {
		if row.Value != nil {
			row.Values = []wireEntry{*row.Value}
		}
		series := Series{Labels: row.Metric}
		for _, entry := range row.Values {
			if out.Type != "streams" {
				series.Points = append(series.Points, entry.point)
				continue
			}
			entry.line.Labels = row.Stream
			out.Lines = append(out.Lines, entry.line)
		}
		if out.Type != "streams" {
			out.Series = append(out.Series, series)
		}
	}
	newestFirst(out.Lines)
	return out, nil
}

func newestFirst(lines []LogLine) {
	sort.SliceStable(lines, func(i, j int) bool { return lines[i].Time.After(lines[j].Time) })
}

// wireEntry is an entry of a result: a log line, or a point, which begins with a
// number.
type wireEntry struct {
	line  LogLine
	point Point
}

// UnmarshalJSON reads ["nanoseconds", "line"] with, if labels are kept apart, a
// third element (Loki HTTP API, "Query logs within a range of time"), or a point.
func (e *wireEntry) UnmarshalJSON(raw []byte) error {
	var v []json.RawMessage
	if err := json.Unmarshal(raw, &v); err != nil || len(v) < 2 {
		return fmt.Errorf("decoding entry %.60s: want [time, line] or [time, value]", raw)
	}
	if !bytes.HasPrefix(v[0], []byte(`"`)) {
		return e.point.UnmarshalJSON(raw)
	}
	line := &e.line
	if err := line.decode(v, raw); err != nil {
		return err
	}
	line.Fields = ParseFields(line.Text)
	line.shorten()
	return nil
}

// decode reads the elements v of the entry raw: time, text and, if labels are kept
// apart, metadata.
func (l *LogLine) decode(v []json.RawMessage, raw []byte) error {
	var ns wireUint
	if err := json.Unmarshal(v[0], &ns); err != nil {
		return fmt.Errorf("decoding the time of log entry %.60s: %w", raw, err)
	}
	l.Time = ns.time()
	if err := json.Unmarshal(v[1], &l.Text); err != nil {
		return fmt.Errorf("decoding the text of log entry %.60s: %w", raw, err)
	}
	if len(v) > 2 {
		var c struct {
			Metadata map[string]string `json:"structuredMetadata"`
		}
		if err := json.Unmarshal(v[2], &c); err != nil {
			return fmt.Errorf("decoding the metadata of log entry %.60s: %w", raw, err)
		}
		l.Metadata = c.Metadata
	}
	return nil
}

// wholeLine is an entry of a result of streams, with nothing left out.
type wholeLine struct{ LogLine }

// UnmarshalJSON reads an entry as wireEntry does.
func (w *wholeLine) UnmarshalJSON(raw []byte) error {
	var v []json.RawMessage
	if err := json.Unmarshal(raw, &v); err != nil || len(v) < 2 {
		return fmt.Errorf("decoding entry %.60s: want [time, line]", raw)
	}
	return w.decode(v, raw)
}

// Page returns the lines of a log query from Start up to, but without, End: the
// oldest Limit of them, the oldest first. Lines are whole, whatever their length,
// and their Fields are not set. Step is not used.
func (l *Loki) Page(ctx context.Context, q LogQuery) ([]LogLine, error) {
	p := url.Values{"query": {q.LogQL}, "direction": {"forward"}, "limit": {strconv.Itoa(q.Limit)},
		"start": {strconv.FormatInt(q.Start.UnixNano(), 10)}, "end": {strconv.FormatInt(q.End.UnixNano(), 10)}}
	var w struct {
		Data struct {
			ResultType string `json:"resultType"`
			Result     []struct {
				Stream map[string]string `json:"stream"`
				Values []wholeLine       `json:"values"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := l.getJSON(ctx, "/loki/api/v1/query_range", p, categorized(), &w); err != nil {
		return nil, err
	}
	if w.Data.ResultType != "streams" {
		return nil, fmt.Errorf("reading log lines from %s: the result is of type %q, want streams", l.URL(), w.Data.ResultType)
	}
	var lines []LogLine
	for _, stream := range w.Data.Result {
		for _, line := range stream.Values {
			line.Labels = stream.Stream
			lines = append(lines, line.LogLine)
		}
	}
	sort.SliceStable(lines, func(i, j int) bool { return lines[i].Time.Before(lines[j].Time) })
	return lines, nil
}

// categorized returns the header without which Loki merges metadata into the
// stream's labels.
func categorized() http.Header {
	return http.Header{"X-Loki-Response-Encoding-Flags": {"categorize-labels"}}
}

// shorten cuts a line to what is kept of it.
func (l *LogLine) shorten() {
	if len(l.Text) <= MaxLineBytes {
		return
	}
	kept := Clip(l.Text, MaxLineBytes)
	l.Cut = len(l.Text) - len(kept)
	l.Text = strings.Clone(kept)
	left := MaxLineBytes
	for i := range l.Fields {
		f := &l.Fields[i]
		if left -= len(f.Key) + len(f.Value); left < 0 {
			l.Fields = slices.Clone(l.Fields[:i])
			return
		}
		f.Key, f.Value = strings.Clone(f.Key), strings.Clone(f.Value)
	}
}

// Clip returns the first n bytes of a text at most, up to the end of a character.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// ParseFields reads the fields of a line that is one JSON object, in their
// order; text without its quotes, the rest as JSON. Any other line has none.
func ParseFields(text string) []Field {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") || !json.Valid([]byte(text)) {
		return nil
	}
	dec := json.NewDecoder(strings.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return nil
	}
	var out []Field
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil
		}
		f := Field{Key: fmt.Sprint(key), Value: string(raw)}
		var s string
		if raw[0] == '"' && json.Unmarshal(raw, &s) == nil {
			f.Value = s
		}
		out = append(out, f)
	}
	return out
}

// Labels lists the labels of streams that have lines between start and end.
func (l *Loki) Labels(ctx context.Context, start, end time.Time) ([]string, error) {
	return l.list(ctx, "/loki/api/v1/labels", start, end)
}

// LabelValues lists the values of a label between start and end.
func (l *Loki) LabelValues(ctx context.Context, label string, start, end time.Time) ([]string, error) {
	return l.list(ctx, "/loki/api/v1/label/"+url.PathEscape(label)+"/values", start, end)
}

func (l *Loki) list(ctx context.Context, path string, start, end time.Time) ([]string, error) {
	var w struct{ Data []string }
	p := url.Values{"start": {strconv.FormatInt(start.UnixNano(), 10)}, "end": {strconv.FormatInt(end.UnixNano(), 10)}}
	err := l.getJSON(ctx, path, p, nil, &w)
	return w.Data, err
}
