// Package streams bounds the streams of log lines, in front of a store.
//
// A stream is a set of labels, and a store has all of them in memory. A client
// that makes a label of a value that differs from line to line, such as an ID, uses up all
// streams within seconds, and they last until their lines are deleted.
//
// Rules:
//
//   - Lines of existing streams are always accepted.
//   - Only lines that would make too many streams are refused: [*RefusedError] has
//     their indexes.
//   - The last [Reserve] streams are for the lab's own lines, so that other senders
//     cannot prevent that these are stored.
package streams

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"time"

	"dicelab/internal/embedded/store"
)

// Max bounds the streams of log lines. It is Loki's own bound
// (max_global_streams_per_user).
const Max = 5000

// Reserve is the number of streams that only the lab's own lines may make: each
// of its three services has one for a level, and one for none.
const Reserve = 100

// reloadEvery is the interval at which a full table reads the list of streams from the
// store, which takes some milliseconds. The store deletes old streams at the same
// interval.
const reloadEvery = 30 * time.Second

// Store keeps the lines.
type Store interface {
	// AppendLines stores all lines, or on error none.
	AppendLines(ctx context.Context, lines []store.Line) error
	// Streams lists the labels of the streams that have lines in [from, to); a zero
	// time is no bound.
	Streams(ctx context.Context, from, to time.Time) ([]map[string]string, error)
}

// RefusedError means that some lines are not stored because they would make too
// many streams. The other lines are stored.
type RefusedError struct {
	Refused []int // indexes of the lines, ascending
	Lines   int   // number of lines that were sent
	Streams int   // number of streams
	Max     int   // largest number of streams for this sender
}

// Error returns the reason and the remedy.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%d of %d lines were refused and the others are stored: there are %d streams of log lines, and at most %d are kept; "+
		"send what differs from line to line as structured metadata, not as labels", len(e.Refused), e.Lines, e.Streams, e.Max)
}

// Table holds the streams of a store. Its methods may be called from any goroutine.
type Table struct {
	store Store
	max   int
	now   func() time.Time

	mu     sync.Mutex
	known  map[id]bool // nil: to be loaded
	loaded time.Time
}

// id is a stream: the hash of its labels. Labels may have kilobytes.
type id [sha256.Size]byte

// New returns a table for s, which may have up to max streams; 0 means
// [Max]. now is the clock; nil means [time.Now].
func New(s Store, max int, now func() time.Time) *Table {
	if max <= 0 {
		max = Max
	}
	if now == nil {
		now = time.Now
	}
	return &Table{store: s, max: max, now: now}
}

// Appender stores lines for one kind of sender.
type Appender struct {
	table *Table
	max   int
}

// Own returns the appender of the lab's own lines.
func (t *Table) Own() Appender { return Appender{t, t.max} }

// Others returns the appender of all other lines.
func (t *Table) Others() Appender { return Appender{t, max(t.max-Reserve, 0)} }

// AppendLines stores lines and returns when they are stored. It fails with
// [*RefusedError] if some of them, and only those, are refused; any other error
// means that none is stored.
func (a Appender) AppendLines(ctx context.Context, lines []store.Line) error {
	refused, err := a.table.choose(ctx, lines, a.max)
	if err != nil {
		return err
	}
	taken := lines
	if refused != nil {
		refused.Max = a.max
		taken = without(lines, refused.Refused)
	}
	if len(taken) > 0 {
		if err := a.table.store.AppendLines(ctx, taken); err != nil {
			a.table.forget() // the new streams may not be in the store
			return err
		}
	}
	if refused != nil {
		return refused
	}
	return nil
}

// choose adds the streams of the lines, up to most streams in all, and returns the indexes
// of the lines beyond, or nil if there are none.
func (t *Table) choose(ctx context.Context, lines []store.Line, most int) (*RefusedError, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var refused []int
	var last uintptr // address of a label map: successive lines of a stream share theirs
	var ok bool
	for i, l := range lines {
		if at := reflect.ValueOf(l.Stream).Pointer(); i == 0 || at != last {
			var err error
			if ok, err = t.take(ctx, l.Stream, most); err != nil {
				return nil, err
			}
			last = at
		}
		if !ok {
			refused = append(refused, i)
		}
	}
	if refused == nil {
		return nil, nil
	}
	return &RefusedError{Refused: refused, Lines: len(lines), Streams: len(t.known)}, nil
}

// take reports whether a stream exists or may be made. It adds the latter to the table.
func (t *Table) take(ctx context.Context, labels map[string]string, most int) (bool, error) {
	key, err := idOf(labels)
	if err != nil {
		return false, err
	}
	if t.known == nil {
		if err := t.load(ctx); err != nil {
			return false, err
		}
	}
	if !t.known[key] && len(t.known) >= most && t.now().Sub(t.loaded) >= reloadEvery {
		if err := t.load(ctx); err != nil {
			return false, err
		}
	}
	if !t.known[key] && len(t.known) >= most {
		return false, nil
	}
	t.known[key] = true
	return true, nil
}

// load reads the streams of the store.
func (t *Table) load(ctx context.Context) error {
	list, err := t.store.Streams(ctx, time.Time{}, time.Time{})
	if err != nil {
		return fmt.Errorf("listing the streams of log lines: %w", err)
	}
	known := make(map[id]bool, len(list))
	for _, labels := range list {
		key, err := idOf(labels)
		if err != nil {
			return err
		}
		known[key] = true
	}
	t.known, t.loaded = known, t.now()
	return nil
}

func (t *Table) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known = nil
}

// idOf returns the ID of a stream, a hash of its labels as JSON. Stores write labels as
// JSON, too, which replaces invalid UTF-8.
func idOf(labels map[string]string) (id, error) {
	if labels == nil {
		labels = map[string]string{}
	}
	text, err := json.Marshal(labels)
	if err != nil {
		return id{}, fmt.Errorf("encoding the labels of a stream: %w", err)
	}
	return sha256.Sum256(text), nil
}

// without returns lines without those at some indexes, which ascend.
func without(lines []store.Line, indexes []int) []store.Line {
	rest := make([]store.Line, 0, len(lines)-len(indexes))
	for i, l := range lines {
		if len(indexes) > 0 && indexes[0] == i {
			indexes = indexes[1:]
			continue
		}
		rest = append(rest, l)
	}
	return rest
}
