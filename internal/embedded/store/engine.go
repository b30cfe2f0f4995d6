package store

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logger"
)

// index keeps rows of named fields by time, in the storage engine of VictoriaLogs. Only
// this file uses the engine, because its interface promises no compatibility.
type index struct{ storage *logstorage.Storage }

// The limits of the engine. It drops rows that exceed them.
const (
	maxFieldName = 128     // bytes
	maxRowBytes  = 1 << 20 // the engine has 2 MiB, of a row as JSON
)

// forever disables the engine's own limits of time: it drops whole days.
const forever = 200 * 365 * 24 * time.Hour

// engineMemory limits the bytes that the engine's caches take, for all indexes
// together.
const engineMemory = "32MB"

// configure sets, once, the options that the engine reads from flags of the process: it
// has no other interface for them. Programs of the lab have flag sets of their own, so
// that users do not see these flags.
var configure = sync.OnceFunc(func() {
	for name, value := range map[string]string{"memory.allowedBytes": engineMemory, "loggerLevel": "ERROR", "loggerDisableTimestamps": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err) // this version of the engine has these flags
		}
	}
	if !flag.Parsed() {
		_ = flag.CommandLine.Parse(nil) // no arguments, so no error
	}
	logger.SetOutputForTests(engineLog{}) // the only way to get its messages
})

// engineLog gets the log of the engine, lines of level, place and text.
type engineLog struct{}

// Write writes errors to the log of the process. Messages before a panic or an exit of the
// engine go to [openIndexes.failed].
func (engineLog) Write(line []byte) (int, error) {
	level, text, _ := strings.Cut(strings.TrimSpace(string(line)), "\t")
	if level == "panic" || level == "fatal" {
		_, text, _ = strings.Cut(text, "\t")
		opened.failed(text)
	}
	log.Printf("the store's engine: %s", text)
	return len(line), nil
}

// openIndex opens an index, or creates it. New rows are only in memory for flushEvery.
func openIndex(dir string, flushEvery time.Duration) *index {
	configure()
	return &index{logstorage.MustOpenStorage(dir, &logstorage.StorageConfig{
		Retention: forever, FutureRetention: forever, MaxBackfillAge: forever, FlushInterval: flushEvery,
	})}
}

// close closes the index. The engine clears the data that a merge reads which has just
// begun, so close gives merges under way some time to end; the engine stops longer ones.
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

// flush makes added rows visible to queries.
func (x *index) flush() { x.storage.DebugFlush() }

// times returns the times of the first and the last row, in nanoseconds since 1970;
// 0 and 0 if there is none.
func (x *index) times() (oldest, newest int64) {
	var s logstorage.StorageStats
	x.storage.UpdateStats(&s)
	if s.RowsCount() == 0 {
		return 0, 0
	}
	return s.MinTimestamp, s.MaxTimestamp
}

// count returns the number of rows that queries find. The statistics of the engine's files
// would count rows that it cannot find.
func (x *index) count(ctx context.Context) (int64, error) {
	found, err := x.query(ctx, everything+" | stats count() rows")
	if err != nil || len(found) != 1 {
		return 0, err
	}
	n, err := strconv.ParseInt(found[0].value("rows"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("counting the rows of the index: %w", err)
	}
	return n, nil
}

// field is a named value. An empty value is the same as none.
type field = logstorage.Field

// rows is a batch of rows to be added to an index.
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
	in         *partition
	time       int64 // nanoseconds since 1970; 0 if the query left it out
	at, number int64 // fieldAt and fieldRow; 0 if the query left them out
	fields     []field
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

// query runs a query of LogsQL and returns the rows, in any order.
func (x *index) query(ctx context.Context, text string) (found []row, err error) {
	var broken error
	number := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		broken = cmp.Or(broken, err)
		return n
	}
	err = x.scan(ctx, text, func(times []int64, columns []column) {
		for n := range columns[0].Values {
			r := row{fields: make([]field, 0, len(columns))}
			if times != nil {
				r.time = times[n]
			}
			for _, c := range columns {
				v := c.Values[n]
				switch c.Name {
				case fieldAt:
					r.at = number(v)
				case fieldRow:
					r.number = number(v)
				}
				if v != "" && c.Name != fieldTime {
					r.fields = append(r.fields, field{Name: strings.Clone(c.Name), Value: strings.Clone(v)})
				}
			}
			found = append(found, r)
		}
	})
	if err == nil && broken != nil {
		err = fmt.Errorf("a row does not say where it is in the journal: %w", broken)
	}
	return found, err
}

// column is a field of several rows: its name, and a value for each of them.
type column = logstorage.BlockColumn

// fieldTime is the engine's name for the time of a row.
const fieldTime = "_time"

// scan runs a query of LogsQL and calls yield with batches of rows, in any order and not
// from two goroutines at once. A batch is its times, nil if the query left them out, and
// at least one column. yield must keep neither.
func (x *index) scan(ctx context.Context, text string, yield func(times []int64, columns []column)) error {
	q, err := logstorage.ParseQuery(text)
	if err != nil {
		return fmt.Errorf("querying the index with %.200q: %w", text, err)
	}
	var mu sync.Mutex
	qctx := logstorage.NewQueryContext(ctx, &logstorage.QueryStats{}, []logstorage.TenantID{{}}, q, false, nil)
	err = x.storage.RunQuery(qctx, func(_ uint, block *logstorage.DataBlock) {
		if block.RowsCount() == 0 {
			return
		}
		times, timed := block.GetTimestamps(nil)
		if !timed {
			times = nil
		}
		mu.Lock()
		defer mu.Unlock()
		yield(times, block.GetColumns(false))
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("querying the index: %w", err)
	}
	return nil
}

// between returns the filter for [from, to), in nanoseconds since 1970. Put it after other
// filters: the engine applies them in order, and decodes the times of a block unless the
// whole block is within.
func between(from, to int64) string {
	at := func(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
	return "_time:[" + at(from) + ", " + at(to) + ")"
}

// quote writes a name or value as LogsQL reads it.
func quote(s string) string { return strconv.Quote(s) }
