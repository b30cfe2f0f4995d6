// Package logql parses and evaluates Grafana Loki's query language.
//
// A metric query is evaluated in two parts. Its range aggregations, such as
// rate({...}[5m]), are computed here from lines. Everything around them, such as operators
// and topk, is rewritten to PromQL and evaluated by Prometheus's engine over their series
// ([Metric.Eval]).
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
// level, every stage may read the whole line, and each range aggregation reads lines.
const (
	MaxDepth     = 100 // parentheses within parentheses
	MaxStages    = 100 // stages of a pipeline
	MaxRanges    = 20  // range aggregations
	MaxOperators = 100 // operators between metrics
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
	ErrorLogfmt      = "LogfmtParserErr"
	ErrorLabelFilter = "LabelFilterErr"
	ErrorTemplate    = "TemplateFormatErr"
	ErrorUnwrap      = "SampleExtractionErr"
)

// Query is a parsed query. It is immutable and may be shared.
type Query struct {
	Selector Selector // of a query for log lines
	Pipeline Pipeline
	// Metric is nil for a query for log lines.
	Metric *Metric
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
	e, err := parseExpr(text)
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
	if q.Metric != nil || len(q.Pipeline.stages) > 0 {
		return Selector{}, &Error{1, 1, "only a stream selector is allowed here, such as {service_name=\"dice-roller\"}"}
	}
	return q.Selector, nil
}
