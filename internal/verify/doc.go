// Package verify checks a running lab: every line of the checklist that this lab
// began as (checklist.md), and more, each with evidence.
//
// It makes its own rolls through the front end, takes their trace IDs from the
// answers, and looks for what they leave behind through the public APIs of
// Prometheus, Loki and Tempo. Its rules:
//
//   - A Check is data: a row, the names of the checks whose failure explains its
//     own, and one function from a Probe to evidence or an error. The tables of the
//     groups are the only place to add one.
//   - The engine orders the checks and derives from the names alone which failure
//     another one explains. No check knows how another one failed.
//   - A check waits until the deadline of the run for telemetry that must come, unless
//     it finds before that it cannot come. After a failure that would explain its own
//     it looks once.
//   - Rolls are made by one component, and each trace is fetched once, for all checks.
//     The requests that a result rests on are kept with it, so that a person can
//     repeat them.
//   - It is a client like any other: it knows nothing of how services and servers
//     are made, and runs alike on all of them.
package verify
