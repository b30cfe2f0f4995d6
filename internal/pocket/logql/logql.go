// Package logql parses and evaluates the part of Grafana Loki's query language
// that the embedded stack serves: stream selectors, line filters, the json
// parser, label filters, and rate, count_over_time, bytes_rate and bytes_over_time
// with sum and by.
//
// Rules:
//   - What is served means what it means in Loki 3. The meaning is taken from
//     Loki's documentation ("LogQL: Log query language") and from its observable
//     behaviour.
//   - Everything else is an error that names the construct and the way to the
//     whole language. Nothing is ignored, and nothing is guessed.
//   - The package knows neither the store nor HTTP. A log line comes in as its
//     stream labels, its structured metadata and its text.
package logql

import (
	"fmt"
	"time"
)

// MaxQueryLength is the length in bytes that a query must stay below, as in
// Loki.
const MaxQueryLength = 5120

// Bounds of what a query nests and chains. Its parser calls itself for each level,
// and every stage may read the whole line.
const (
	MaxDepth  = 100 // parentheses within parentheses
	MaxStages = 100 // stages of a pipeline
)

// maxLabelsText is the length of the labels of a stream as they are written, in
// bytes: more than any stream may have, with every character escaped.
const maxLabelsText = 64 << 10

// MaxRange is the longest range of a metric query: longer than the store keeps
// anything, and short enough to be added to any time.
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

// Aggregation is what a metric query computes from the lines that its selector
// and pipeline let through.
type Aggregation struct {
	// Rate tells rate and bytes_rate (each second) from count_over_time and
	// bytes_over_time.
	Rate bool
	// Bytes tells functions of the bytes of the texts from those of their number.
	Bytes bool
	// Range is how far each point looks back: a point at t counts the lines in
	// (t-Range, t].
	Range time.Duration
	// Sum tells whether series are added up into one per value of By. Without it
	// there is one series per set of labels.
	Sum bool
	By  []string
}

// Error is a query that cannot be parsed or is not served. Line and Col count
// from 1, Col in characters.
type Error struct {
	Line, Col int
	Message   string
}

// Error spells the error as Loki does.
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
