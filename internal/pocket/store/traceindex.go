package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
)

// Trace IDs are random: an index of the usual kind is written to at a random place
// for every part, and a large one costs more than the spans. So the parts that
// came last are indexed in memory only; when there are runParts of them, they
// become a run: entries sorted by trace ID, written once, one after the other.
//
//	memory   parts after the last run; at opening they are read from span_part
//	runs     trace_chunk holds the entries, trace_run for each run the first
//	         trace ID of its chunks (fences) and a Bloom filter of all
//
// Fences and filters are in memory too, about 1.6 bytes a part. A trace is looked
// up in memory and in the chunk of each run whose filter knows it, which is
// mostly the one or two where it is.

const (
	// runParts is how many parts a run has: what is read at opening, and a few
	// milliseconds of work for the writer.
	runParts = 1 << 15
	// chunkEntries is as much as fits a row into a page of SQLite's.
	chunkEntries = 200
	// entrySize is a trace ID and how far the part's ID is below the run's last.
	entrySize = 16 + 4
	// maxChunks bounds the chunks of a run: chunk i of a run has the ID last*maxChunks + i.
	maxChunks = 1 << 10
)

// indexed is a part in the index.
type indexed struct {
	trace TraceID
	part  int64
}

// traceIndex finds the parts of a trace.
type traceIndex struct {
	mu     sync.RWMutex
	recent *recentParts
	runs   []*traceRun // oldest first
}

// recentParts are those that are in no run yet.
type recentParts struct {
	list   []indexed
	before []int32           // for each of list, 1 + the place of the one before of the same trace
	newest map[TraceID]int32 // as before
}

func newRecentParts() *recentParts { return &recentParts{newest: make(map[TraceID]int32)} }

func (r *recentParts) add(list []indexed) {
	for _, e := range list {
		r.list = append(r.list, e)
		r.before = append(r.before, r.newest[e.trace])
		r.newest[e.trace] = int32(len(r.list))
	}
}

// traceRun is a row of trace_run.
type traceRun struct {
	last   int64 // the highest ID of its parts
	fences []byte
	filter filter
}

// loadIndex reads the runs, and the parts after the last one.
func loadIndex(ctx context.Context, conn *sql.Conn) (_ *traceIndex, err error) {
	x := &traceIndex{recent: newRecentParts()}
	last := int64(0)
	err = eachRow(ctx, conn, func(rows *sql.Rows) error {
		r := &traceRun{}
		x.runs = append(x.runs, r)
		err := rows.Scan(&r.last, &r.fences, (*[]byte)(&r.filter))
		last = r.last
		return err
	}, "SELECT last, fences, filter FROM trace_run ORDER BY last")
	var id []byte
	if err == nil {
		err = eachRow(ctx, conn, func(rows *sql.Rows) error {
			var e indexed
			if err := rows.Scan(&e.part, &id); err != nil {
				return err
			}
			copy(e.trace[:], id)
			x.recent.add([]indexed{e})
			return nil
		}, "SELECT id, trace_id FROM span_part WHERE id > ? ORDER BY id", last)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the index of traces: %w", err)
	}
	return x, nil
}

func eachRow(ctx context.Context, conn *sql.Conn, visit func(*sql.Rows) error, query string, args ...any) error {
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := visit(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// find gives the IDs of the parts of a trace, in the order in which they came.
// Parts that were swept may be among them.
func (x *traceIndex) find(ctx context.Context, db *sql.DB, id TraceID) (parts []int64, err error) {
	x.mu.RLock()
	runs := x.runs // published, never changed
	for at := x.recent.newest[id]; at > 0; at = x.recent.before[at-1] {
		parts = append(parts, x.recent.list[at-1].part)
	}
	x.mu.RUnlock()
	for i := len(runs) - 1; i >= 0; i-- {
		if runs[i].filter.has(id) {
			if parts, err = runs[i].find(ctx, db, id, parts); err != nil {
				return nil, fmt.Errorf("looking up a trace: %w", err)
			}
		}
	}
	slices.Sort(parts)
	return parts, nil
}

// find appends the run's parts of a trace. Its entries may begin in the chunk
// before the one whose fence is the trace.
func (r *traceRun) find(ctx context.Context, db *sql.DB, id TraceID, parts []int64) ([]int64, error) {
	chunks := len(r.fences) / 16
	chunk := sort.Search(chunks, func(i int) bool { return bytes.Compare(r.fences[16*i:][:16], id[:]) >= 0 })
	for chunk = max(chunk-1, 0); chunk < chunks && bytes.Compare(r.fences[16*chunk:][:16], id[:]) <= 0; chunk++ {
		var entries []byte
		err := db.QueryRowContext(ctx, "SELECT entries FROM trace_chunk WHERE id = ?", r.last*maxChunks+int64(chunk)).Scan(&entries)
		if errors.Is(err, sql.ErrNoRows) { // swept since
			return parts, nil
		}
		if err != nil {
			return nil, err
		}
		n := len(entries) / entrySize
		at := sort.Search(n, func(i int) bool { return bytes.Compare(entries[entrySize*i:][:16], id[:]) >= 0 })
		for ; at < n && bytes.Equal(entries[entrySize*at:][:16], id[:]); at++ {
			parts = append(parts, r.last-int64(binary.BigEndian.Uint32(entries[entrySize*at+16:])))
		}
	}
	return parts, nil
}

// indexParts notes parts that the transaction stores. They are found once it is
// committed.
func (w *writer) indexParts(first int64, parts []spanPart) error {
	for i, part := range parts {
		w.added = append(w.added, indexed{part.trace, first + int64(i)})
	}
	if w.run != nil || len(w.index.recent.list) < runParts { // only the writer changes recent
		return nil
	}
	run, chunks := makeRun(w.index.recent.list)
	for i, entries := range chunks {
		if _, err := w.exec("INSERT INTO trace_chunk (id, entries) VALUES (?, ?)", run.last*maxChunks+int64(i), entries); err != nil {
			return fmt.Errorf("inserting into the index of traces: %w", err)
		}
	}
	if _, err := w.exec("INSERT INTO trace_run (last, fences, filter) VALUES (?, ?, ?)", run.last, run.fences, []byte(run.filter)); err != nil {
		return fmt.Errorf("inserting into the index of traces: %w", err)
	}
	w.run = run
	return nil
}

// makeRun sorts parts into a run.
func makeRun(parts []indexed) (*traceRun, [][]byte) {
	run := &traceRun{last: parts[len(parts)-1].part, filter: newFilter(len(parts))}
	list := slices.Clone(parts)
	slices.SortFunc(list, func(a, b indexed) int {
		return cmp.Or(bytes.Compare(a.trace[:], b.trace[:]), cmp.Compare(a.part, b.part))
	})
	var chunks [][]byte
	for chunk := range slices.Chunk(list, max(chunkEntries, len(list)/maxChunks+1)) {
		run.fences = append(run.fences, chunk[0].trace[:]...)
		entries := make([]byte, 0, entrySize*len(chunk))
		for _, e := range chunk {
			run.filter.add(e.trace)
			entries = binary.BigEndian.AppendUint32(append(entries, e.trace[:]...), uint32(run.last-e.part))
		}
		chunks = append(chunks, entries)
	}
	return run, chunks
}

// indexCommitted makes what the transaction has indexed known to readers.
func (w *writer) indexCommitted() {
	if len(w.added) == 0 && w.run == nil && w.dropped == 0 {
		return
	}
	x := w.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if w.run != nil {
		x.runs, x.recent = append(slices.Clip(x.runs), w.run), newRecentParts()
	}
	x.runs = x.runs[w.dropped:]
	x.recent.add(w.added)
	w.forgetIndexed()
}

// forgetIndexed drops what the transaction has indexed.
func (w *writer) forgetIndexed() { w.added, w.run, w.dropped = w.added[:0], nil, 0 }

// dropRuns deletes the runs of which no part is left.
func (w *writer) dropRuns() error {
	for ; w.dropped < len(w.index.runs); w.dropped++ {
		last := w.index.runs[w.dropped].last
		n, err := w.exec("DELETE FROM trace_run WHERE last = ? AND NOT EXISTS (SELECT 1 FROM span_part WHERE id <= ?)", last, last)
		if err != nil || n == 0 {
			return err
		}
		if _, err := w.exec("DELETE FROM trace_chunk WHERE id BETWEEN ? AND ?", last*maxChunks, last*maxChunks+maxChunks-1); err != nil {
			return err
		}
	}
	return nil
}

// filter is a Bloom filter: what was added it has; of what was not, it says so
// too for one in some hundred.
type filter []byte

// filterProbes of some 12 bits for each entry.
const filterProbes = 5

func newFilter(entries int) filter { return make(filter, entries*3/2+1) }

// probe calls yield with the bits that stand for a trace ID. IDs need not be
// random: their halves are mixed (with the constants of the finalizer of MurmurHash3).
func (f filter) probe(id TraceID, yield func(at uint64, bit byte) bool) {
	h := binary.LittleEndian.Uint64(id[:]) ^ binary.LittleEndian.Uint64(id[8:])*0x9e3779b97f4a7c15
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	a, b := h&0xffffffff, h>>32|1
	for i := range uint64(filterProbes) {
		n := (a + i*b) % (8 * uint64(len(f)))
		if !yield(n/8, 1<<(n%8)) {
			return
		}
	}
}

func (f filter) add(id TraceID) {
	f.probe(id, func(at uint64, bit byte) bool { f[at] |= bit; return true })
}

func (f filter) has(id TraceID) bool {
	has := true
	f.probe(id, func(at uint64, bit byte) bool { has = f[at]&bit != 0; return has })
	return has
}
