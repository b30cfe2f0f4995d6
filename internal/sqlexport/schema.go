package sqlexport

// tables are made first, without indexes: a sorted index at the end costs a
// fraction of one that is kept up to date row by row.
const tables = `
CREATE TABLE traces (
  trace_id TEXT PRIMARY KEY,
  start TEXT NOT NULL,
  start_ns INTEGER NOT NULL,
  duration_ms REAL NOT NULL,
  service TEXT,
  name TEXT,
  spans INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  partial INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE resources (
  id INTEGER PRIMARY KEY,
  service TEXT NOT NULL,
  attributes TEXT NOT NULL
);
CREATE TABLE spans (
  id INTEGER PRIMARY KEY,
  trace_id TEXT NOT NULL,
  span_id TEXT NOT NULL,
  parent_id TEXT NOT NULL,
  parent INTEGER REFERENCES spans(id),
  start TEXT NOT NULL,
  start_ns INTEGER NOT NULL,
  duration_ms REAL NOT NULL,
  service TEXT NOT NULL,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  status TEXT NOT NULL,
  status_message TEXT NOT NULL,
  die TEXT GENERATED ALWAYS AS (attributes ->> '$."die.type"') VIRTUAL,
  attributes TEXT NOT NULL,
  resource INTEGER NOT NULL REFERENCES resources(id),
  scope TEXT NOT NULL,
  scope_version TEXT NOT NULL,
  trace_state TEXT NOT NULL
);
CREATE TABLE events (
  span INTEGER NOT NULL REFERENCES spans(id),
  time TEXT NOT NULL,
  time_ns INTEGER NOT NULL,
  name TEXT NOT NULL,
  attributes TEXT NOT NULL
);
CREATE TABLE links (
  span INTEGER NOT NULL REFERENCES spans(id),
  trace_id TEXT NOT NULL,
  span_id TEXT NOT NULL,
  trace_state TEXT NOT NULL,
  attributes TEXT NOT NULL
);
CREATE TABLE streams (
  id INTEGER PRIMARY KEY,
  labels TEXT NOT NULL
);
CREATE TABLE logs (
  line INTEGER PRIMARY KEY,
  time TEXT NOT NULL,
  time_ns INTEGER NOT NULL,
  service TEXT,
  level TEXT,
  trace_id TEXT,
  span_id TEXT,
  text TEXT NOT NULL,
  stream INTEGER NOT NULL REFERENCES streams(id),
  metadata TEXT NOT NULL
);
CREATE TABLE span_attributes (
  key TEXT NOT NULL,
  value NOT NULL,
  span INTEGER NOT NULL REFERENCES spans(id),
  PRIMARY KEY (key, value, span)
) WITHOUT ROWID;
CREATE TABLE resource_attributes (
  key TEXT NOT NULL,
  value NOT NULL,
  resource INTEGER NOT NULL REFERENCES resources(id),
  PRIMARY KEY (key, value, resource)
) WITHOUT ROWID;
CREATE TABLE stream_labels (
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  stream INTEGER NOT NULL REFERENCES streams(id),
  PRIMARY KEY (key, value, stream)
) WITHOUT ROWID;
`

// indexes are made last. The tables of attributes are filled here, sorted, from
// the JSON of the rows. A value of null is stored as an empty text, because
// columns of a primary key have none.
const indexes = `
INSERT OR IGNORE INTO span_attributes
  SELECT a.key, coalesce(a.value, ''), s.id FROM spans s, json_each(s.attributes) a ORDER BY 1, 2, 3;
INSERT OR IGNORE INTO resource_attributes
  SELECT a.key, coalesce(a.value, ''), r.id FROM resources r, json_each(r.attributes) a ORDER BY 1, 2, 3;
INSERT OR IGNORE INTO stream_labels
  SELECT l.key, l.value, s.id FROM streams s, json_each(s.labels) l ORDER BY 1, 2, 3;
CREATE INDEX spans_trace ON spans(trace_id);
CREATE INDEX spans_start ON spans(start);
CREATE INDEX spans_name ON spans(name, duration_ms);
CREATE INDEX spans_error ON spans(start, service, name, parent) WHERE status = 'error';
CREATE INDEX spans_orphan ON spans(start) WHERE parent IS NULL AND parent_id <> '';
CREATE INDEX traces_start ON traces(start);
CREATE INDEX events_span ON events(span);
CREATE INDEX links_span ON links(span);
CREATE INDEX links_trace ON links(trace_id);
CREATE INDEX logs_trace ON logs(trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX logs_time ON logs(time);
CREATE INDEX logs_level ON logs(service, level, time);
`

// dropRepeats deletes lines that repeat another of the same stream, time and text:
// Loki keeps one of them, because clients send again what may not have arrived.
const dropRepeats = `
DELETE FROM logs WHERE line IN (
  SELECT line FROM (
    SELECT line, row_number() OVER (PARTITION BY time, stream, text ORDER BY line) AS repeat FROM logs
    WHERE time IN (SELECT time FROM logs GROUP BY time HAVING count(*) > 1)
  ) WHERE repeat > 1
)`
