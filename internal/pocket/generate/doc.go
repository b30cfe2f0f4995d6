// Package generate makes metrics from spans, as the metrics generator of Tempo
// does for the real stack: span metrics (calls, latency and size by service,
// name, kind and status) and the service graph (requests between two services).
// Names, labels and buckets are Tempo's, so that one query reads both; they
// stand in package contract.
//
// Rules:
//
//   - What is counted is stored: spans come from [Generator.Wrap], after the
//     store has taken them. Counting is done behind a bounded queue, so that no
//     export waits for it.
//   - The two sides of a call may come in any order and Options.Wait apart. They
//     belong together when the client's span is the parent of the server's.
//   - Memory is bounded: in spans that wait, in calls whose other side is
//     awaited, in series. What is not counted is counted as such (metrics.go).
//   - Counters begin at 0 when the program starts, as Tempo's do. Every series
//     begins with a 0 of its own, so that rate and increase see its first value.
//
// What Tempo does, and is done here, though one might expect something else: a
// span that is sent twice is counted twice in the span metrics; a call's second
// answer (two SERVER spans with one parent) is not in the graph; spans that ended
// more than Options.Slack ago are not counted.
package generate
