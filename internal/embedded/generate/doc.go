// Package generate makes metrics from spans, as the metrics generator of Tempo
// does for the real stack: span metrics (calls, latency and size by service,
// name, kind and status) and the service graph (requests between two services).
// Names, labels and buckets are Tempo's, so that one query reads both; they
// stand in package contract.
//
// Rules:
//
//   - Only stored spans are counted: they come from [Generator.Wrap], after the store
//     has accepted them. They are counted behind a bounded queue, so that no export
//     waits for it.
//   - The two sides of a call may arrive in any order and up to Options.Wait apart.
//     They belong together if the client's span is the parent of the server's.
//   - Memory is bounded: the number of queued spans, of calls whose other side is
//     awaited, and of series. Metrics count what is left out (metrics.go).
//   - Counters begin at 0 when the program starts, as Tempo's do. Every series
//     begins with a 0 of its own, so that rate and increase see its first value.
//
// Three properties of Tempo may surprise, and are the same here: the span metrics count
// a span that is sent twice twice; the graph leaves out a call's second answer (two
// SERVER spans with one parent); spans that ended more than Options.Slack ago are not
// counted.
package generate
