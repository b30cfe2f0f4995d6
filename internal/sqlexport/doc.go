// Package sqlexport writes traces and log lines into one SQLite file with plain
// tables. docs/sql.md describes them.
//
// [Export] reads over the public APIs of Tempo and Loki, or from [Journals] that the
// caller opens, and writes while it reads; [Create] makes a file alone. Spans that
// journals have in the order of their arrival are brought together to traces in a
// temporary file. Memory is bounded by a 256th of the spans, or by the answers under
// way, and by SQLite's page cache.
package sqlexport
