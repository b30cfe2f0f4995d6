// Package verify checks a running lab: every box of the checklist that the lab's
// original ended in (checklist.md), and what lies beyond it, each with evidence.
//
// It makes its own rolls through the front end, takes their trace IDs from the
// answers, and looks for what they leave behind through the public APIs of
// Prometheus, Loki and Tempo. Its rules:
//
//   - A check is one row of the table of its group, and the table is the only
//     place to add one: a name, what it does, what it expects, a function.
//   - What must come is waited for until one deadline that all checks share; what
//     must not come is looked for during a while that is told. Nothing is
//     tolerated silently.
//   - Rolls are made once, and each trace is fetched once, for all checks. Every
//     request that a result rests on is kept with it, so that a person can repeat
//     it.
//   - A failure says what is wrong, not that something is. What fails only because
//     something else has failed names that.
//   - It is a client like any other: it knows nothing of how services and servers
//     are made, and runs alike on all of them.
package verify
