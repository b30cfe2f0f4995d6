// Package traceql parses and evaluates the part of TraceQL, Tempo's query
// language, that the embedded stack serves: one spanset,
//
//	{ resource.service.name = "dice-roller" && (status = error || duration > 500ms) }
//
// with conditions on resource.*, span.* and .attribute (the span's, or else the
// resource's), on the intrinsics name, status, kind, duration, traceDuration,
// rootName and rootServiceName (also as span:name, trace:duration and so on),
// the operators = != =~ !~ < <= > >=, joined by &&, || and parentheses.
//
// Rules, as in Tempo 2.8:
//
//   - All conditions within { } hold on the same span.
//   - A condition on an attribute that is not there, or is of another type, does
//     not hold, whatever its operator.
//   - A regular expression must match the whole text.
//   - Of a list, = =~ and comparisons want one element that fits, != and !~ none
//     that equals or matches.
//
// Everything else of TraceQL is an [*Error] that names what is not supported.
package traceql
