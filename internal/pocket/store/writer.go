package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// commitWithin bounds how long the first append of a transaction waits for
// others to join it. Nobody waits for company: a transaction is committed as
// soon as the queue is empty.
const commitWithin = 5 * time.Millisecond

// maxWords bounds the writer's memory of classes, sources and streams; beyond, it
// forgets and asks the file again.
const maxWords = 10_000

// maxWord is how long, in bytes, a word may be to be remembered: with maxWords it
// bounds the memory of writer and readers.
const maxWord = 4 << 10

// request is work for the writer: apply in a transaction, then answer.
type request struct {
	apply func(*writer) error
	done  chan error // buffered: the one who asked may have gone
}

// writer is the state of the one goroutine that writes. Everything runs without
// a context: a transaction is shared, and must not die with one of its callers.
type writer struct {
	conn     *sql.Conn
	stmts    map[string]*sql.Stmt
	classes  map[spanClass]int64
	sources  map[string]int64
	streams  map[string]int64
	leases   map[int64]int64 // until of span_source, by id
	nextPart int64           // of span_part; 0: not known. No ID is given twice while the store is open
	streamN  int             // rows of log_stream; -1: not known

	index   *traceIndex // which only the writer changes
	added   []indexed   // what the transaction adds to it
	run     *traceRun   // that the transaction makes of what was recent; nil: none
	dropped int         // how many of the oldest runs it deletes

	args []any  // scratch
	text []byte // scratch
}

func newWriter(ctx context.Context, conn *sql.Conn, index *traceIndex) (*writer, error) {
	if err := conn.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("opening the writer's connection: %w", err)
	}
	w := &writer{conn: conn, stmts: make(map[string]*sql.Stmt), index: index}
	w.forget()
	return w, nil
}

// close closes the connection: its pool would wait for it to come back.
func (w *writer) close() error {
	var errs []error
	for _, st := range w.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

// forget drops what the writer knows of the transaction's rows: after a rollback
// they are not there.
func (w *writer) forget() {
	w.forgetWords()
	w.forgetIndexed()
}

// forgetWords drops what the writer knows of the dictionaries.
func (w *writer) forgetWords() {
	w.classes, w.sources, w.streams = make(map[spanClass]int64), make(map[string]int64), make(map[string]int64)
	w.leases, w.streamN = make(map[int64]int64), -1
}

// stmt prepares a statement once.
func (w *writer) stmt(query string) (*sql.Stmt, error) {
	if st, ok := w.stmts[query]; ok {
		return st, nil
	}
	st, err := w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("preparing %q: %w", query, err)
	}
	w.stmts[query] = st
	return st, nil
}

func (w *writer) exec(query string, args ...any) (int64, error) {
	st, err := w.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := st.Exec(args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// insertInto begins an INSERT of several rows. If one of them is refused, the
// whole transaction is undone, which [Store.commit] does anyway; the default,
// undoing only the statement, would have SQLite copy every page aside before it
// is changed.
const insertInto = "INSERT OR ROLLBACK INTO "

// values repeats the marks of one row n times.
func values(marks string, n int) string { return strings.Repeat(marks+",", n-1) + marks }

// intern gives the id of a dictionary row, made if it is new. The first keys of
// args are what find asks for.
func intern[K comparable](w *writer, known map[K]int64, key K, find string, keys int, insert string, args ...any) (int64, error) {
	if id, ok := known[key]; ok {
		return id, nil
	}
	st, err := w.stmt(find)
	if err != nil {
		return 0, err
	}
	var id int64
	err = st.QueryRow(args[:keys]...).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		if st, err = w.stmt(insert); err == nil {
			err = st.QueryRow(args...).Scan(&id)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("storing dictionary entry: %w", err)
	}
	if len(known) >= maxWords {
		clear(known)
	}
	known[key] = id
	return id, nil
}

// do hands work to the writer and waits until it is committed. If ctx ends
// first, its error is returned and the rows may or may not be stored.
func (s *Store) do(ctx context.Context, apply func(*writer) error) error {
	r := &request{apply: apply, done: make(chan error, 1)}
	select {
	case <-s.closing: // first: a closed store never takes work, even with room in the queue
		return ErrClosed
	default:
	}
	select {
	case s.queue <- r:
	case <-s.closing:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("waiting for the store's writer: %w", ctx.Err())
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the commit: %w", ctx.Err())
	case <-s.stopped:
		// The writer may have answered just before it stopped.
		select {
		case err := <-r.done:
			return err
		default:
			return ErrClosed
		}
	}
}

// runWriter commits requests until the store is closed and the queue is empty.
func (s *Store) runWriter(w *writer) {
	defer close(s.stopped)
	for {
		select {
		case r := <-s.queue:
			s.commit(w, r)
		case <-s.closing:
			for {
				select {
				case r := <-s.queue:
					s.commit(w, r)
				default:
					return
				}
			}
		}
	}
}

// commit applies first and whatever else is queued in one transaction and
// answers all of them alike.
func (s *Store) commit(w *writer, first *request) {
	group := []*request{first}
	_, err := w.exec("BEGIN IMMEDIATE")
	if err == nil {
		if err = first.apply(w); refused(err) {
			first.done <- err
			group, err = nil, nil
		}
		deadline := time.Now().Add(commitWithin)
	join:
		for err == nil && time.Now().Before(deadline) {
			select {
			case r := <-s.queue:
				if err = r.apply(w); refused(err) {
					r.done <- err
					err = nil
					continue
				}
				group = append(group, r)
			default:
				break join
			}
		}
		if err == nil {
			_, err = w.exec("COMMIT")
		}
		if err == nil {
			w.indexCommitted()
		} else {
			w.forget()
			// SQLite may have rolled back by itself, as on a full disk; then
			// this says that no transaction is active, which is what is wanted.
			_, rollbackErr := w.exec("ROLLBACK")
			_ = rollbackErr
		}
	}
	if err != nil {
		err = fmt.Errorf("writing to the store: %w", explain(err))
	}
	for _, r := range group {
		r.done <- err
	}
}
