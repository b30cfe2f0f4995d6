// Package conformance holds the embedded stack to the real Prometheus, Tempo and
// Loki: one list of queries (queries.txt), one data set that both are sent, and
// what the real servers answered (the folder golden).
//
//	queries.txt ─ Queries ─┐
//	Data ─ Send ─ a stack ─┴─ Ask ─ Normalise ─ compared with Golden
//
// Rules:
//
//   - The list is the promise: what is on it is answered by both alike. At most
//     MaxQueries are on it; who wants more of a language runs the real servers.
//   - A difference that stays is on the list with its reason ("differs"), and in
//     docs/differences.md. What the embedded stack answers there is recorded as
//     well, so that a test fails when a difference goes, or changes.
//   - What is levelled before answers are compared is levelled in normalise.go,
//     each with its reason, and nowhere else.
//   - The golden files are the real servers' answers, recorded by
//     "make conformance"; none is written by hand.
//
// The package knows both stacks by their HTTP APIs alone.
package conformance
