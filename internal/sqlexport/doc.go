// Package sqlexport writes traces and log lines, read over the public APIs of
// Tempo and Loki, into one SQLite file with plain tables. docs/sql.md describes
// them.
//
// [Export] reads and writes; [Create] makes a file alone. Memory is bounded by the
// answers under way (a trace, or a page of lines) and by SQLite's page cache,
// whatever the number of spans and lines.
package sqlexport
