package store

import (
	"context"
	"database/sql"
	"fmt"
)

// schemaVersion is the user_version of the files that this program writes.
const schemaVersion = 3

// tables are those of version 3.
//
// A span is an element of a JSON array in span_part, which holds the spans of
// one trace that came in one export: one row for what belongs together anyway.
// An element is again an array:
//
//	[form, "span ID", "parent ID", start, duration, {changes}, "rest"]
//
// IDs are hex digits, start is in nanoseconds since 1970, duration in
// nanoseconds; rest, only where there is one, is the protobuf, in base64, of what
// has no place in JSON. form is the place in the array forms of the part's
// segment, of what the span has in common with others of that segment:
//
//	[source, class, flags, {attributes}]
//
// changes are the attributes that are others. Resource and scope are in
// span_source, once; service, name, kind, status (OTLP's numbers) and die in
// span_class, once. No part after span_source.until is of that source: so a sweep
// sees which sources nothing needs any more.
//
// trace_run and trace_chunk index span_part by trace ID, but for the newest rows;
// see traceIndex.
//
// Searches read none of that. span_segment has for up to segmentSpans spans of
// one export, that started within one minute, what a search compares (heads);
// span_summary says which class is in which segment. Both are small: a search
// goes from the newest segment of the classes that it wants to older ones.
const tables = `
CREATE TABLE span_source (
  id INTEGER PRIMARY KEY,
  service TEXT NOT NULL,
  scope TEXT NOT NULL,
  resource TEXT NOT NULL,
  data BLOB NOT NULL UNIQUE,
  until INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE span_class (
  id INTEGER PRIMARY KEY,
  service TEXT NOT NULL,
  name TEXT NOT NULL,
  kind INTEGER NOT NULL,
  status INTEGER NOT NULL,
  die TEXT NOT NULL,
  UNIQUE (service, name, kind, status, die)
);
CREATE TABLE span_part (
  id INTEGER PRIMARY KEY,
  trace_id BLOB NOT NULL,
  spans TEXT NOT NULL
);
CREATE TABLE trace_run (
  last INTEGER PRIMARY KEY,
  fences BLOB NOT NULL,
  filter BLOB NOT NULL
);
CREATE TABLE trace_chunk (
  id INTEGER PRIMARY KEY,
  entries BLOB NOT NULL
);
CREATE TABLE span_segment (
  id INTEGER PRIMARY KEY,
  last INTEGER NOT NULL,
  oldest INTEGER NOT NULL,
  newest INTEGER NOT NULL,
  spans INTEGER NOT NULL,
  forms TEXT NOT NULL,
  heads BLOB NOT NULL
);
CREATE INDEX span_segment_newest ON span_segment (newest);
CREATE TABLE span_summary (
  class INTEGER NOT NULL,
  newest INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  longest INTEGER NOT NULL,
  PRIMARY KEY (class, newest, segment)
) WITHOUT ROWID;
CREATE INDEX span_longest ON span_summary (longest);
CREATE TABLE log_stream (id INTEGER PRIMARY KEY, labels TEXT NOT NULL UNIQUE);
CREATE TABLE log_row (
  id INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL,
  time INTEGER NOT NULL,
  trace_id TEXT,
  span_id TEXT,
  metadata TEXT,
  text TEXT NOT NULL
);
CREATE INDEX log_stream_time ON log_row (stream, time);
CREATE INDEX log_trace ON log_row (trace_id, time) WHERE trace_id IS NOT NULL;
CREATE INDEX log_span ON log_row (span_id, time) WHERE span_id IS NOT NULL;
`

// views are what a person reads, described in docs/sql.md. CROSS JOIN holds SQLite
// to that order: a segment has its parts next to each other.
const views = `
CREATE VIEW spans AS SELECT
  lower(hex(p.trace_id)) AS trace_id,
  e.value ->> 1 AS span_id,
  e.value ->> 2 AS parent_id,
  strftime('%Y-%m-%dT%H:%M:%S', (e.value ->> 3) / 1000000000, 'unixepoch') || printf('.%09dZ', (e.value ->> 3) % 1000000000) AS start,
  (e.value ->> 4) / 1e6 AS duration_ms,
  s.service AS service,
  c.name AS name,
  CASE c.kind WHEN 1 THEN 'internal' WHEN 2 THEN 'server' WHEN 3 THEN 'client' WHEN 4 THEN 'producer' WHEN 5 THEN 'consumer' ELSE 'unspecified' END AS kind,
  CASE c.status WHEN 1 THEN 'ok' WHEN 2 THEN 'error' ELSE 'unset' END AS status,
  nullif(c.die, '') AS die,
  json_patch(g.forms -> (e.value ->> 0) -> 3, e.value -> 5) AS attributes,
  s.resource AS resource,
  s.scope AS scope,
  p.id AS part
FROM span_segment g CROSS JOIN span_part p CROSS JOIN json_each(p.spans) e
JOIN span_class c ON c.id = g.forms -> (e.value ->> 0) ->> 1
JOIN span_source s ON s.id = g.forms -> (e.value ->> 0) ->> 0
WHERE p.id BETWEEN g.id AND g.last;
CREATE VIEW logs AS SELECT
  strftime('%Y-%m-%dT%H:%M:%S', r.time / 1000000000, 'unixepoch') || printf('.%09dZ', r.time % 1000000000) AS time,
  s.labels ->> '$.service_name' AS service,
  s.labels ->> '$.level' AS level,
  r.trace_id AS trace_id,
  r.span_id AS span_id,
  r.text AS text,
  s.labels AS labels,
  coalesce(r.metadata, '{}') AS metadata,
  r.id AS line
FROM log_row r
JOIN log_stream s ON s.id = r.stream;
`

// NewerSchemaError says that a file was written by a newer dicelab.
type NewerSchemaError struct {
	Path      string // the file
	Version   int    // its schema version
	Supported int    // the newest version that this program knows
}

// Error says what is wrong and what to do.
func (e *NewerSchemaError) Error() string {
	return fmt.Sprintf("%s has schema version %d, this dicelab knows versions up to %d: use the newer dicelab that wrote it, or move the file away to start empty",
		e.Path, e.Version, e.Supported)
}

// OlderSchemaError says that a file was written by an older dicelab, in a form
// that this one does not read.
type OlderSchemaError struct {
	Path    string // the file
	Version int    // its schema version
	Needed  int    // the oldest version that this program reads
}

// Error says what is wrong and what to do.
func (e *OlderSchemaError) Error() string {
	return fmt.Sprintf("%s has schema version %d, this dicelab reads version %d: move the file away to start empty, or use the older dicelab that wrote it",
		e.Path, e.Version, e.Needed)
}

// migrate creates the schema of an empty file and refuses those that it does not
// know.
func migrate(ctx context.Context, conn *sql.Conn, path string) error {
	var version int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("reading the schema version of %s: %w", path, err)
	}
	switch {
	case version == schemaVersion:
		return nil
	case version > schemaVersion:
		return &NewerSchemaError{Path: path, Version: version, Supported: schemaVersion}
	case version > 0:
		return &OlderSchemaError{Path: path, Version: version, Needed: schemaVersion}
	}
	// In one transaction: a process that dies here leaves an empty file, not
	// half a schema.
	q := fmt.Sprintf("BEGIN IMMEDIATE; %s PRAGMA user_version = %d; COMMIT", tables+views, schemaVersion)
	if _, err := conn.ExecContext(ctx, q); err != nil {
		return fmt.Errorf("creating the schema of %s: %w", path, explain(err))
	}
	return nil
}
