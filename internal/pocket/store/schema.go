package store

import (
	"context"
	"database/sql"
	"fmt"
)

// schemaVersion is the user_version of the files that this program writes.
const schemaVersion = 1

// schema creates version 1.
//
// Words that repeat (services, span names, dice) are numbers in span_row, which
// keeps rows and indexes small; word holds the text. Resource and scope of a
// span are in span_source, once. status and kind are OTLP's numbers. Times are
// nanoseconds since 1970, durations nanoseconds.
//
// Newest first needs no index on start alone: status has three values, so that
// three walks of (status, start) are one walk of all spans.
const schema = `
CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE span_source (
  id INTEGER PRIMARY KEY,
  service TEXT NOT NULL,
  scope TEXT NOT NULL,
  resource TEXT NOT NULL,
  data BLOB NOT NULL UNIQUE
);
CREATE TABLE span_row (
  id INTEGER PRIMARY KEY,
  trace_id BLOB NOT NULL,
  span_id BLOB NOT NULL,
  parent_id BLOB,
  start INTEGER NOT NULL,
  duration INTEGER NOT NULL,
  source INTEGER NOT NULL,
  service INTEGER NOT NULL,
  name INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  status INTEGER NOT NULL,
  die INTEGER,
  attributes TEXT NOT NULL,
  rest BLOB
);
CREATE INDEX span_trace ON span_row (trace_id);
CREATE INDEX span_service ON span_row (service, start);
CREATE INDEX span_name ON span_row (name, start);
CREATE INDEX span_status ON span_row (status, start);
CREATE INDEX span_duration ON span_row (duration);
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
CREATE VIEW spans AS SELECT
  lower(hex(r.trace_id)) AS trace_id,
  lower(hex(r.span_id)) AS span_id,
  lower(hex(r.parent_id)) AS parent_id,
  strftime('%Y-%m-%dT%H:%M:%S', r.start / 1000000000, 'unixepoch') || printf('.%09dZ', r.start % 1000000000) AS start,
  r.duration / 1e6 AS duration_ms,
  s.service AS service,
  n.text AS name,
  CASE r.kind WHEN 1 THEN 'internal' WHEN 2 THEN 'server' WHEN 3 THEN 'client' WHEN 4 THEN 'producer' WHEN 5 THEN 'consumer' ELSE 'unspecified' END AS kind,
  CASE r.status WHEN 1 THEN 'ok' WHEN 2 THEN 'error' ELSE 'unset' END AS status,
  d.text AS die,
  r.attributes AS attributes,
  s.resource AS resource,
  s.scope AS scope
FROM span_row r
JOIN span_source s ON s.id = r.source
JOIN word n ON n.id = r.name
LEFT JOIN word d ON d.id = r.die;
CREATE VIEW logs AS SELECT
  strftime('%Y-%m-%dT%H:%M:%S', r.time / 1000000000, 'unixepoch') || printf('.%09dZ', r.time % 1000000000) AS time,
  s.labels ->> '$.service_name' AS service,
  s.labels ->> '$.level' AS level,
  r.trace_id AS trace_id,
  r.span_id AS span_id,
  r.text AS text,
  s.labels AS labels,
  coalesce(r.metadata, '{}') AS metadata
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

// migrate brings the file to schemaVersion.
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
	}
	// In one transaction: a process that dies here leaves an empty file, not
	// half a schema.
	q := fmt.Sprintf("BEGIN IMMEDIATE; %s PRAGMA user_version = %d; COMMIT", schema, schemaVersion)
	if _, err := conn.ExecContext(ctx, q); err != nil {
		return fmt.Errorf("creating the schema of %s: %w", path, err)
	}
	return nil
}
