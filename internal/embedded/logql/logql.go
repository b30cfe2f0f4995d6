// Package logql parses and evaluates the part of Grafana Loki's query language
// that the embedded stack serves: stream selectors, line filters, the json
// parser, label filters, and rate, count_over_time, bytes_rate and bytes_over_time
// with sum and by.
//
// Rules:
//   - Each construct that is served has the meaning that it has in Loki 3, according to
//     Loki's documentation ("LogQL: Log query language") and its observable behaviour.
//   - Everything else is an error that names the construct and the way to the whole
//     language. Nothing is ignored or guessed.
//   - The package depends neither on the store nor on HTTP. A log line is its stream
//     labels, its structured metadata and its text.
package logql

import (
	"fmt"
	"time"
)

// MaxQueryLength is the length in bytes that a query must stay below, as in Loki.
const MaxQueryLength = 5120

// Bounds of the nesting and the length of a query. The parser calls itself for each
// level, and every stage may read the whole line.
const (
	MaxDepth  = 100 // parentheses within parentheses
	MaxStages = 100 // stages of a pipeline
)

// maxLabelsText is the greatest length of the labels of a stream as a text, in bytes:
// more than any stream may have, with every character escaped.
const maxLabelsText = 64 << 10

// MaxRange is the longest range of a metric query: longer than the store keeps lines,
// and short enough to be added to any time without an overflow.
const MaxRange = 365 * 24 * time.Hour

// Names of the labels that a stage sets on a line that it could not handle, and
// the values of the first.
const (
	LabelError        = "__error__"
	LabelErrorDetails = "__error_details__"

	ErrorJSON        = "JSONParserErr"
	ErrorLabelFilter = "LabelFilterErr"
)

// Query is a parsed query. It is immutable and may be shared.
type Query struct {
	Selector Selector
	Pipeline Pipeline
	// Aggregation is nil for a query for log lines.
	Aggregation *Aggregation
}

// Aggregation describes how a metric query computes series from the lines that pass
// its selector and pipeline.
type Aggregation struct {
	// Rate is set for rate and bytes_rate (per second), and not for count_over_time
	// and bytes_over_time.
	Rate bool
	// Bytes is set for functions that add up the bytes of the texts, and not for those
	// that count lines.
	Bytes bool
	// Range is the lookback of each point: a point at t counts the lines in
	// (t-Range, t].
	Range time.Duration
	// Sum is set if series are added up into one per value of By. Otherwise there is
	// one series per set of labels.
	Sum bool
	By  []string
}

// Error reports a query that cannot be parsed or is not served. Line and Col count from
// 1, Col in characters.
type Error struct {
	Line, Col int
	Message   string
}

// Error returns the error in Loki's form.
func (e *Error) Error() string {
	return fmt.Sprintf("parse error at line %d, col %d: %s", e.Line, e.Col, e.Message)
}

// Parse parses a query. Its error is an *Error.
func Parse(text string) (*Query, error) {
	if len(text) >= MaxQueryLength {
		return nil, &Error{1, 1, fmt.Sprintf("the query is %d bytes long; it must be shorter than %d", len(text), MaxQueryLength)}
	}
	e, err := parse(text)
	if err != nil {
		return nil, err
	}
	return (&compiler{}).compile(e)
}

// ParseSelector parses a stream selector that stands alone, such as the match[]
// of a series request. Its error is an *Error.
func ParseSelector(text string) (Selector, error) {
	q, err := Parse(text)
	if err != nil {
		return Selector{}, err
	}
	if q.Aggregation != nil || len(q.Pipeline.stages) > 0 {
		return Selector{}, &Error{1, 1, "only a stream selector is allowed here, such as {service_name=\"dice-roller\"}"}
	}
	return q.Selector, nil
}
