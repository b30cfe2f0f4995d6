// Package store keeps spans and log lines, on the storage engine of VictoriaLogs.
//
// Spans and lines are appended to a journal as they were sent, and each becomes a row of
// an index. The row has the searchable values as fields, and the place in the journal from
// which the span or line is read. A journal and its index are a partition, which is a
// directory. Spans and lines have partitions of their own. New ones are begun by time and
// size, and old ones are deleted as a whole.
//
//	AppendSpans ─┬→ journal ←──────────────┐ the spans that rows refer to
//	             └→ index → candidates → Trace, Search, CountSpans
//	AppendLines ─┬→ journal ←────────┐ the lines that rows refer to
//	             └→ index → rows → Lines, Streams, CountLines
//
// An append returns when the journal has the record, so that a crash of the process loses
// nothing: rows that the index had only in memory are added again when the partition is
// opened. Queries see every row whose append has returned.
//
// Search passes conditions to the index as far as its language has them, and checks every
// candidate against the whole query: the filter of a [Condition] may match too many spans,
// never too few.
//
// CountLines and CountSpans count in the index alone if it has everything that the query
// needs, and have the rest read.
//
// Only engine.go imports the engine, which promises no compatible interface and panics if
// it cannot read or write a file. docs/store.md describes the layout of the files, and the
// remedies when they are damaged.
package store
