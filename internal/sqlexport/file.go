package sqlexport

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// ErrExists reports that the file is there already.
var ErrExists = errors.New("the file is there already")

// pragmas suit a file that is written once: until [File.Commit] it has a name of
// its own and is thrown away on errors, so SQLite need not be able to undo.
var pragmas = []string{"journal_mode(off)", "synchronous(off)", "locking_mode(exclusive)", "page_size(8192)", "cache_size(-16384)", "temp_store(file)"}

// File is a file that is being written. It is not for concurrent use.
type File struct {
	path string // where Commit puts it
	temp string // where it is until then
	db   *sql.DB
	tx   *sql.Tx

	insert    map[string]*sql.Stmt // by table
	resources map[string]int64     // ids by what they were made of
	streams   map[string]int64

	spans, lines int64
}

// Create begins a file that [File.Commit] will put at path. A file that is there
// already is an error that wraps [ErrExists]. Its owner alone can read the new
// one: telemetry may be private.
func Create(ctx context.Context, path string) (_ *File, err error) {
	if err := absent(path); err != nil {
		return nil, err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.partial") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("creating a file beside %s: %w", path, err)
	}
	f := &File{path: path, temp: temp.Name(), insert: make(map[string]*sql.Stmt), resources: make(map[string]int64), streams: make(map[string]int64)}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Discard())
		}
	}()
	if err := temp.Close(); err != nil {
		return nil, f.writing(err)
	}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: f.temp}).EscapedPath(), RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	if f.db, err = sql.Open("sqlite", u.String()); err != nil {
		return nil, f.writing(err)
	}
	f.db.SetMaxOpenConns(1)
	if f.tx, err = f.db.BeginTx(context.WithoutCancel(ctx), nil); err != nil { // it ends with Commit or Discard
		return nil, f.writing(err)
	}
	if _, err = f.tx.ExecContext(ctx, tables); err != nil {
		return nil, f.writing(err)
	}
	return f, f.prepare(ctx)
}

func absent(path string) error {
	switch _, err := os.Lstat(path); {
	case err == nil:
		return fmt.Errorf("%s: %w", path, ErrExists)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("creating %s: %w", path, err)
	}
	return nil
}

func (f *File) prepare(ctx context.Context) (err error) {
	for table, statement := range map[string]string{
		"traces":    "INSERT OR IGNORE INTO traces VALUES (?,?,?,?,?,?,?,?,?)",
		"resources": "INSERT INTO resources VALUES (?,?,?)",
		"spans": "INSERT INTO spans (id, trace_id, span_id, parent_id, parent, start, start_ns, duration_ms, service, name, kind, status, status_message, " +
			"attributes, resource, scope, scope_version, trace_state) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
		"events":  "INSERT INTO events VALUES (?,?,?,?,?)",
		"links":   "INSERT INTO links VALUES (?,?,?,?,?)",
		"streams": "INSERT INTO streams VALUES (?,?)",
		"logs":    "INSERT INTO logs VALUES (?,?,?,?,?,?,?,?,?,?)",
	} {
		if f.insert[table], err = f.tx.PrepareContext(ctx, statement); err != nil {
			return f.writing(err)
		}
	}
	return nil
}

// insertRow inserts a row and returns how many were inserted.
func (f *File) insertRow(ctx context.Context, table string, values ...any) (int64, error) {
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	// The driver starts a goroutine for a context that can end, which costs as much as
	// the row.
	result, err := f.insert[table].ExecContext(context.WithoutCancel(ctx), values...)
	if err != nil {
		return 0, f.writing(err)
	}
	n, err := result.RowsAffected()
	return n, f.writing(err)
}

func (f *File) add(ctx context.Context, table string, values ...any) error {
	_, err := f.insertRow(ctx, table, values...)
	return err
}

func (f *File) writing(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("writing %s: %w", f.path, err)
}

// Commit makes the indexes, writes the file to the disk and gives it its name. A
// file that has come to be at that path is an error that wraps [ErrExists]. After
// an error there is no file.
func (f *File) Commit(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, f.Discard()) }()
	if _, err := f.tx.ExecContext(ctx, indexes); err != nil {
		return f.writing(err)
	}
	result, err := f.tx.ExecContext(ctx, dropRepeats)
	if err != nil {
		return f.writing(err)
	}
	repeats, err := result.RowsAffected()
	if err != nil {
		return f.writing(err)
	}
	f.lines -= repeats
	// The planner's numbers; a few rows of each index are enough for them.
	if _, err := f.tx.ExecContext(ctx, "PRAGMA analysis_limit = 1000; ANALYZE"); err != nil {
		return f.writing(err)
	}
	if err := f.tx.Commit(); err != nil {
		return f.writing(err)
	}
	f.tx = nil
	if err := f.close(); err != nil {
		return f.writing(err)
	}
	if err := sync(f.temp); err != nil {
		return f.writing(err)
	}
	// Unlike a rename, a link replaces nothing.
	switch err := os.Link(f.temp, f.path); {
	case err == nil:
		return nil // Discard removes the other name
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s: %w", f.path, ErrExists)
	}
	// The file system has no links.
	if err := absent(f.path); err != nil {
		return err
	}
	return f.writing(os.Rename(f.temp, f.path))
}

// Discard ends a file that is not committed, and leaves nothing. It may be called
// again, and after Commit.
func (f *File) Discard() error {
	var err error
	if f.tx != nil {
		err = f.tx.Rollback()
		f.tx = nil
	}
	err = errors.Join(err, f.close())
	if removed := os.Remove(f.temp); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}

func (f *File) close() error {
	if f.db == nil {
		return nil
	}
	db := f.db
	f.db = nil
	return db.Close()
}

func sync(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
