// Package traceql parses and evaluates the part of TraceQL, Tempo's query
// language, that the embedded stack serves: spansets,
//
//	{ resource.service.name = "dice-roller" && (status = error || duration > 500ms) }
//
// each the child (>) or a descendant (>>) of the preceding one, and a bound on the
// number of spans that the last one has in a trace:
//
//	{ name = "POST /roll" } >> { status = error } | count() > 1
//
// A query for metrics counts the spans of one spanset over time:
//
//	{ status = error } | rate() by (resource.service.name)
//
// A spanset has conditions on resource.*, span.* and .attribute (the span's, or else the
// resource's), on the intrinsics name, status, kind, duration, traceDuration,
// rootName and rootServiceName (also as span:name, trace:duration and so on),
// the operators = != =~ !~ < <= > >=, joined by &&, || and parentheses. && and ||
// have one precedence: a || b && c is (a || b) && c.
//
// Rules, as in Tempo 3.0:
//
//   - All conditions within { } hold on the same span.
//   - A condition on an attribute that is not there, or is of another type, does
//     not hold, whatever its operator.
//   - A regular expression must match the whole text.
//   - A query finds the spans of its last spanset.
//   - For a list every operator, also != and !~, requires one matching element.
//   - A resource without service.name has an empty one.
//
// Tempo numbers the spans of a trace from its root. This package follows parents, so
// that > and >> also work in a trace without its root. And it compares all numbers with
// each other: Tempo compares integers with integers only.
//
// Everything else of TraceQL is an [*Error] that names what is not supported.
package traceql
