// Package store keeps traces and logs in one SQLite file, store.db, in the
// data directory.
//
// Rules:
//
//   - Acknowledged means committed. An append returns nil only after the
//     transaction that holds its rows has been committed. The file is in WAL
//     mode with synchronous=NORMAL: a commit is in the operating system's hands
//     before it is acknowledged, so killing the process loses nothing. (A power
//     cut may lose the last moments; it does not damage the file.)
//
//   - One goroutine writes. Appends that wait at the same time share a
//     transaction. Readers have read-only connections of their own and never
//     wait for the writer, nor it for them.
//
//   - Nothing is lost of a span: what the columns do not hold is kept as
//     protobuf, see [Store.AppendSpans].
//
//   - What is written is written once and in order: the spans of an export with
//     what a search compares of them (a segment), then an index of trace IDs in
//     sorted runs (traceIndex). Nothing is put into the middle of a large table,
//     so that a span costs the same whether the store is empty or full.
//
//   - The store is bounded by age and size; the oldest goes first, in small
//     steps between appends, and with it the words that nothing needs any more.
//     What is freed goes back to the file system, but for a reserve.
//
//   - A read is bounded: in bytes of a trace and of what a search finds, in rows
//     that it looks at. Traces and searches say that they are partial; lists of
//     words end at their limit.
//
//   - On a full disk appends fail with [ErrFull], and reads go on; appends do so
//     again when there is room.
//
//   - A person can read it: the views spans and logs, described in docs/sql.md,
//     show IDs as hex digits, times as ISO 8601 text in UTC and attributes as
//     JSON, in the sqlite3 shell too, also while the lab runs:
//
//     sqlite3 -readonly store.db "SELECT * FROM spans WHERE status='error' ORDER BY start DESC LIMIT 5"
//     sqlite3 -readonly store.db "SELECT time, service, level, text FROM logs WHERE trace_id='…'"
package store
