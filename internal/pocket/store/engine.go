package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"
)

// index is rows of named fields by time, in the storage engine of VictoriaLogs.
// This file alone knows the engine: its interface promises no compatibility.
type index struct{ storage *logstorage.Storage }

// The limits of the engine. Rows that break them it leaves out.
const (
	maxFieldName = 128     // bytes
	maxRowBytes  = 1 << 20 // the engine has 2 MiB, of a row as JSON
)

// forever disables the engine's own limits of time: it drops whole days.
const forever = 200 * 365 * 24 * time.Hour

// flushEvery is how long the engine keeps rows in memory.
const flushEvery = 5 * time.Second

// engineMemory is what the engine's caches may take, in bytes, of all indexes
// together.
const engineMemory = "40MB"

// configure sets what the engine reads from flags of the process, once: it has no
// other way to be told. Programs of the lab have flag sets of their own, so that
// these flags are not seen.
var configure = sync.OnceFunc(func() {
	for name, value := range map[string]string{"memory.allowedBytes": engineMemory, "loggerLevel": "ERROR"} {
		if err := flag.Set(name, value); err != nil {
			panic(err) // this version of the engine has these flags
		}
	}
	if !flag.Parsed() {
		_ = flag.CommandLine.Parse(nil) // no arguments, so no error
	}
})

// openIndex opens an index, or creates it. The engine panics on what it cannot
// read, also in goroutines of its own, which ends the process: so the files that it
// reads first are read before.
func openIndex(dir string) (x *index, err error) {
	configure()
	if err := checkIndex(dir); err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the index cannot be opened: %v", p)
		}
	}()
	return &index{logstorage.MustOpenStorage(dir, &logstorage.StorageConfig{
		Retention: forever, FutureRetention: forever, MaxBackfillAge: forever, FlushInterval: flushEvery,
	})}, nil
}

// checkIndex reads the files of an index that name its others. A directory that
// the list beside it does not name was being written when the process ended: the
// engine deletes it.
func checkIndex(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if path == dir && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() && unlisted(path) {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".json" {
			return nil
		}
		content, err := os.ReadFile(path)
		if err == nil && !json.Valid(content) {
			err = fmt.Errorf("the index cannot be opened: %s is not JSON", path)
		}
		return err
	})
}

// unlisted reports whether there is a list of directories beside a directory, and
// it is not on it.
func unlisted(dir string) bool {
	list, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "parts.json"))
	return err == nil && !bytes.Contains(list, []byte(strconv.Quote(filepath.Base(dir))))
}

// close closes the index. The engine clears what a merge that has just begun reads, so
// those under way get a while to end; the engine stops longer ones.
func (x *index) close() {
	for range 1000 {
		var s logstorage.StorageStats
		x.storage.UpdateStats(&s)
		if s.ActiveInmemoryMerges+s.ActiveSmallMerges+s.ActiveBigMerges == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	x.storage.MustClose()
}

// flush makes the rows that were added visible to queries.
func (x *index) flush() { x.storage.DebugFlush() }

// written returns how many rows are in files, and the times of the first and the
// last row of all, in nanoseconds since 1970; 0 and 0 if there is none.
func (x *index) written() (rows int64, oldest, newest int64) {
	var s logstorage.StorageStats
	x.storage.UpdateStats(&s)
	if s.RowsCount() == 0 {
		return 0, 0, 0
	}
	return int64(s.SmallPartRowsCount + s.BigPartRowsCount), s.MinTimestamp, s.MaxTimestamp
}

// field is a named value. An empty value is the same as none.
type field = logstorage.Field

// rows are what is added to an index together.
type rows struct {
	list           *logstorage.LogRows
	oldest, newest int64 // nanoseconds since 1970
}

func newRows() rows { return rows{list: logstorage.GetLogRows(nil, nil, nil, nil, "")} }

// row adds a row. The first fields, n of them, are those of its stream.
func (r *rows) row(at int64, n int, fields []field) {
	if r.newest == 0 || at < r.oldest {
		r.oldest = at
	}
	r.newest = max(r.newest, at)
	r.list.MustAdd(logstorage.TenantID{}, at, fields, n)
}

// add adds rows, which must not be used again.
func (x *index) add(r rows) {
	x.storage.MustAddRows(r.list)
	logstorage.PutLogRows(r.list)
}

// row is a row that a query has found.
type row struct {
	in     *partition
	time   int64 // nanoseconds since 1970; 0 if the query left it out
	fields []field
}

// value returns a field, "" if the row has none of that name.
func (r row) value(name string) string {
	for _, f := range r.fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// query runs a query of LogsQL and returns the rows, in no order.
func (x *index) query(ctx context.Context, text string) (found []row, err error) {
	q, err := logstorage.ParseQuery(text)
	if err != nil {
		return nil, fmt.Errorf("querying the index with %.200q: %w", text, err)
	}
	var mu sync.Mutex
	qctx := logstorage.NewQueryContext(ctx, &logstorage.QueryStats{}, []logstorage.TenantID{{}}, q, false, nil)
	err = x.storage.RunQuery(qctx, func(_ uint, block *logstorage.DataBlock) {
		mu.Lock()
		defer mu.Unlock()
		times, timed := block.GetTimestamps(nil)
		columns := block.GetColumns(false)
		for n := range block.RowsCount() {
			r := row{fields: make([]field, 0, len(columns))}
			if timed {
				r.time = times[n]
			}
			for _, c := range columns {
				if v := c.Values[n]; v != "" && c.Name != "_time" { // neither may be kept
					r.fields = append(r.fields, field{Name: strings.Clone(c.Name), Value: strings.Clone(v)})
				}
			}
			found = append(found, r)
		}
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("querying the index: %w", err)
	}
	return found, nil
}

// between restricts a query to [from, to), in nanoseconds since 1970.
func between(from, to int64) string {
	at := func(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
	return "_time:[" + at(from) + ", " + at(to) + ")"
}

// quote writes a name or value as LogsQL reads it.
func quote(s string) string { return strconv.Quote(s) }
