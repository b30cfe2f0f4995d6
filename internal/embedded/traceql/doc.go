// Package traceql parses and evaluates TraceQL, the query language of Tempo 3.0.
//
//	text ─ lex ─ tokens ─ parse ─ Query: stages, shown fields, Metric
//	trace ─ Query.Select ─ spansets ─ MatchedFields, or an Aggregator ─ series
//
// A query is a pipeline of stages, each of which gets spansets and returns some: spansets
// with conditions on one span, combined by && and || and by the structural operators;
// computed values (count, min, max, sum, avg) that are compared; by, coalesce and select. A
// function such as rate() or quantile_over_time(duration, .9) at the end computes series.
//
// Types are checked before a query runs, as far as the query tells them. Queries are
// evaluated over the spans of one trace at a time, in memory; Candidates and Found return
// what an index can check before that.
//
// Rules, as in Tempo 3.0:
//
//   - && and || have one precedence, from left to right: a || b && c is (a || b) && c.
//   - All conditions within { } hold on the same span.
//   - A comparison with an attribute that is not there, or is of another type, does
//     not hold, whatever its operator. A whole number is compared with whole numbers and
//     any other with others, unless arithmetic is involved.
//   - A regular expression must match the whole text.
//   - For a list every comparison, also != and !~, requires one matching element. The same
//     holds for the events and the links of a span.
//   - A resource without service.name has an empty one.
//   - A number that is compared with a duration is in nanoseconds.
//
// Tempo numbers the spans of a trace from its root. This package follows parents, so
// that structural operators also work in a trace without its root.
package traceql
