package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the database/sql driver "sqlite"
)

// FileName is the name of the database file in the data directory.
const FileName = "store.db"

// The default bounds of a store.
const (
	DefaultTraceAge = 48 * time.Hour
	DefaultLogAge   = 31 * 24 * time.Hour
	DefaultMaxBytes = 2 << 30
)

// Options are the bounds of a store. The zero value means the defaults.
type Options struct {
	TraceAge   time.Duration    // spans older than this go; default DefaultTraceAge
	LogAge     time.Duration    // log lines older than this go; default DefaultLogAge
	MaxBytes   int64            // bytes of the file that are in use; default DefaultMaxBytes
	SweepEvery time.Duration    // how often the bounds are enforced; default 30 s
	Now        func() time.Time // default time.Now
	Check      bool             // read all of the file when it is opened, and fail if it is damaged
}

func (o Options) withDefaults() (Options, error) {
	if o.TraceAge < 0 || o.LogAge < 0 || o.MaxBytes < 0 || o.SweepEvery < 0 {
		return o, fmt.Errorf("opening the store: bounds must not be negative: trace age %v, log age %v, %d bytes, sweep every %v",
			o.TraceAge, o.LogAge, o.MaxBytes, o.SweepEvery)
	}
	if o.TraceAge == 0 {
		o.TraceAge = DefaultTraceAge
	}
	if o.LogAge == 0 {
		o.LogAge = DefaultLogAge
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.SweepEvery == 0 {
		o.SweepEvery = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, nil
}

// ErrClosed is returned by appends to a store that was closed.
var ErrClosed = errors.New("the store is closed")

// Store is an open store. Its methods may be called from any goroutine.
type Store struct {
	opts   Options
	path   string // of the file
	lock   *os.File
	write  *sql.DB // one connection
	read   *sql.DB // read-only connections
	writer *writer // has the connection; the goroutine that writes uses it
	index  *traceIndex

	readParts *sql.Stmt // partsQuery; closed with read

	queue   chan *request
	cancel  context.CancelFunc
	closing <-chan struct{} // closed by Close: no more appends
	stopped chan struct{}   // closed when the writer has committed the last one
	swept   chan struct{}   // closed when the sweeper has ended

	closeOnce sync.Once
	closeErr  error

	mu       sync.Mutex
	sweepErr error               // of the last sweep
	sources  map[int64]*Source   // span_source by id; its rows never change
	classes  map[int64]spanClass // span_class by id; nor do these
	formed   map[int64]*formList // of segments, by id; nor do these

	formedSize int // bytes of formed
}

// Open opens the store in dir, which is created if it is missing. It fails with
// [*NewerSchemaError] or [*OlderSchemaError] on a file of another version and
// with [*InUseError] if another process has the directory open.
func Open(ctx context.Context, dir string, opts Options) (_ *Store, err error) {
	opts, err = opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("finding data directory %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating data directory %s (choose one that this user can write to): %w", dir, err)
	}
	life, cancel := context.WithCancel(context.Background()) // of the store, not of opening it
	s := &Store{
		opts:    opts,
		queue:   make(chan *request, 64),
		cancel:  cancel,
		closing: life.Done(),
		stopped: make(chan struct{}),
		swept:   make(chan struct{}),
		sources: make(map[int64]*Source),
		classes: make(map[int64]spanClass),
		formed:  make(map[int64]*formList),
	}
	defer func() {
		if err != nil {
			cancel()
			err = errors.Join(err, s.release())
		}
	}()
	if s.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, FileName)
	s.path = path
	// The WAL is copied into the file every 16 MiB: pages of the trace ID index
	// are touched at random and share the copy.
	// What is free can be given back to the file system, see giveBack. That has to
	// be said before anything is written.
	if s.write, err = openDB(path, 1, "auto_vacuum(INCREMENTAL)", "journal_mode(WAL)", "synchronous(NORMAL)", "busy_timeout(5000)",
		"cache_size(-8192)", "wal_autocheckpoint(4096)", "journal_size_limit(33554432)"); err != nil {
		return nil, err
	}
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	if err := migrate(ctx, conn, path); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if opts.Check {
		if err := check(ctx, conn, path); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	if s.read, err = openDB(path, 3, "query_only(1)", "busy_timeout(5000)", "cache_size(-2048)"); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if s.index, err = loadIndex(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if s.readParts, err = s.read.PrepareContext(ctx, partsQuery); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing to read traces: %w", err), conn.Close())
	}
	if s.writer, err = newWriter(ctx, conn, s.index); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	go s.runWriter(s.writer)
	go s.runSweeper(life)
	return s, nil
}

// check reads the whole file, which takes a second for a gigabyte or two.
func check(ctx context.Context, conn *sql.Conn, path string) error {
	var found string
	if err := conn.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found); err != nil {
		return fmt.Errorf("checking %s: %w", path, err)
	}
	if found != "ok" {
		return fmt.Errorf("checking %s: it is damaged: %s", path, found)
	}
	return nil
}

func openDB(path string, conns int, pragmas ...string) (*sql.DB, error) {
	u := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	if conns > 1 {
		db.SetConnMaxIdleTime(time.Minute) // an idle lab gives their caches back
	}
	return db, nil
}

// Close takes no more appends, commits those that were taken, and closes the
// file. It returns the error of the last sweep too, if that failed. Reads must
// have ended.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.cancel()
		<-s.swept
		<-s.stopped
		s.mu.Lock()
		sweepErr := s.sweepErr
		s.mu.Unlock()
		s.closeErr = errors.Join(sweepErr, s.release())
	})
	return s.closeErr
}

// release closes what Open opened, readers first: the last connection to close
// is the writer's, which folds the WAL into the file.
func (s *Store) release() error {
	var errs []error
	if s.read != nil {
		errs = append(errs, s.read.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	if s.write != nil {
		errs = append(errs, s.write.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

// Health reports whether the store can be read and its bounds are enforced: nil,
// or what is wrong.
func (s *Store) Health(ctx context.Context) error {
	select {
	case <-s.closing:
		return ErrClosed
	default:
	}
	var version int
	if err := s.read.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sweepErr
}

// bounds gives [from, to) in nanoseconds; a zero time is no bound. Times outside
// of what nanoseconds can express (years 1678 to 2261) count as the nearest.
func bounds(from, to time.Time) (int64, int64) {
	lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
	if !from.IsZero() {
		lo = nanos(from)
	}
	if !to.IsZero() {
		hi = nanos(to)
	}
	return lo, hi
}

func nanos(t time.Time) int64 {
	switch sec := t.Unix(); {
	case sec <= math.MinInt64/1_000_000_000:
		return math.MinInt64
	case sec >= math.MaxInt64/1_000_000_000:
		return math.MaxInt64
	}
	return t.UnixNano()
}
