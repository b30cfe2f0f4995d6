// Package store keeps spans and log lines, on the storage engine of VictoriaLogs.
//
// What arrives is appended to a journal as it came, and becomes rows of an index:
// its row has what is searched for as fields, and its place in the journal, from
// which it is read. A journal and its index are a
// partition, a directory; spans and lines have partitions of their own, which are
// begun by time and size and deleted as a whole.
//
//	AppendSpans ─┬→ journal ←──────────────┐ the spans that rows refer to
//	             └→ index → candidates → Trace, Search, CountSpans
//	AppendLines ─┬→ journal ←────────┐ the lines that rows refer to
//	             └→ index → rows → Lines, Streams, CountLines
//
// An append returns when the journal has the record, so that the end of the
// process loses nothing: rows that the index had in memory alone are added again
// when the partition is opened. Queries see every row whose append has returned.
//
// Search hands conditions to the index as far as its language has them, and checks
// every candidate against the whole query: the filter of a [Condition] may hold
// for too many spans, never for too few.
//
// CountLines and CountSpans count in the index alone, as far as it has all that a
// query asks for, and have the rest read.
//
// File engine.go alone imports the engine, which promises no compatible interface
// and panics where it cannot read or write a file. docs/store.md has the layout of
// the files, and what to do when they are damaged.
package store
