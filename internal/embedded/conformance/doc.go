// Package conformance checks the embedded stack against the real Prometheus, Tempo and
// Loki: with one list of queries (queries.txt), one data set that is sent to both, and the
// responses of the real servers (the folder golden).
//
//	queries.txt ─ Queries ─┐
//	Data ─ Send ─ a stack ─┴─ Ask ─ Normalise ─ compared with Golden
//
// Rules:
//
//   - The list is the promise: both answer the queries on it in the same way. It has at
//     most MaxQueries; for more of a language there are the real servers.
//   - A difference that stays is on the list with its reason ("differs"), and in
//     docs/differences.md. The embedded stack's response is recorded as well, so that a
//     test fails when a difference disappears or changes.
//   - Responses are normalised before they are compared, only in normalise.go, and with a
//     reason for each rule.
//   - The golden files are responses of the real servers, recorded by
//     "make conformance"; none is written by hand.
//
// The package uses both stacks only through their HTTP APIs.
package conformance
