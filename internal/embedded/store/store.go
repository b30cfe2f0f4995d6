package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"dicelab/internal/embedded/journal"
)

// The default bounds of a store.
const (
	DefaultTraceAge = 48 * time.Hour
	DefaultLogAge   = 31 * 24 * time.Hour
	DefaultMaxBytes = 2 << 30
)

// Options are the bounds of a store. The zero value means the defaults.
type Options struct {
	TraceAge   time.Duration                  // spans older than this are deleted; default DefaultTraceAge
	LogAge     time.Duration                  // log lines older than this are deleted; default DefaultLogAge
	MaxBytes   int64                          // bytes of all files; default DefaultMaxBytes
	FlushEvery time.Duration                  // time for which the engine has rows only in memory; default 5 s
	SweepEvery time.Duration                  // interval at which the bounds are enforced; default 30 s
	Now        func() time.Time               // default time.Now
	Room       func(dir string) (Room, error) // measures the file system; default the system's own numbers
	Rebuild    bool                           // make all indexes anew, from the journals, when the store is opened
	// Fail is called with [*FailedError] when the engine cannot go on. It must end the
	// process; the default panics.
	Fail func(error)
}

func (o Options) withDefaults() (Options, error) {
	if o.TraceAge < 0 || o.LogAge < 0 || o.MaxBytes < 0 || o.SweepEvery < 0 || o.FlushEvery < 0 {
		return o, fmt.Errorf("opening the store: bounds must not be negative: trace age %v, log age %v, %d bytes, sweep every %v, flush every %v",
			o.TraceAge, o.LogAge, o.MaxBytes, o.SweepEvery, o.FlushEvery)
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
	if o.FlushEvery == 0 {
		o.FlushEvery = 5 * time.Second
	}
	if o.SweepEvery == 0 {
		o.SweepEvery = 30 * time.Second
	}
	if o.Room == nil {
		o.Room = roomOf
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Fail == nil {
		o.Fail = func(err error) { panic(err) }
	}
	return o, nil
}

// ErrClosed is returned by appends to a store that was closed.
var ErrClosed = errors.New("the store is closed")

// Store is an open store. Its methods may be called from any goroutine.
type Store struct {
	opts         Options
	dir          string
	lock         *os.File
	spans, lines *partitions

	added atomic.Int64  // bytes of records since the bounds were last enforced
	full  chan struct{} // has an element when the bounds should be enforced

	closing chan struct{}
	swept   chan struct{} // closed when the sweeper has ended

	closeOnce sync.Once
	closeErr  error

	mu       sync.Mutex
	sweepErr error // of the last sweep
}

// Open opens the store in dir, and creates dir if it is missing. It fails with
// [*InUseError] if another process has the directory open, and with an error for which
// [Damaged] is true if the files cannot be read.
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
	s := &Store{opts: opts, dir: dir, full: make(chan struct{}, 1), closing: make(chan struct{}), swept: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release())
		}
	}()
	if s.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	if err := refuseOld(dir); err != nil {
		return nil, err
	}
	if s.spans, err = openPartitions(ctx, filepath.Join(dir, spansDir), s.buildSpans, opts); err != nil {
		return nil, err
	}
	if s.lines, err = openPartitions(ctx, filepath.Join(dir, linesDir), s.buildLines, opts); err != nil {
		return nil, err
	}
	go s.sweeper()
	return s, nil
}

// Close forbids further appends and closes the files. If the last sweep failed, Close
// returns its error, too. Reads must have ended.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		<-s.swept
		s.mu.Lock()
		sweepErr := s.sweepErr
		s.mu.Unlock()
		s.closeErr = errors.Join(sweepErr, s.release())
	})
	return s.closeErr
}

// release closes what Open opened.
func (s *Store) release() error {
	var errs []error
	for _, p := range []*partitions{s.spans, s.lines} {
		if p != nil {
			errs = append(errs, p.close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

// open reports whether the store accepts appends.
func (s *Store) open() error {
	select {
	case <-s.closing:
		return ErrClosed
	default:
		return nil
	}
}

// append adds a record, and wakes the sweeper if much was added since the last sweep.
func (s *Store) append(to *partitions, record journal.Record, make func(at int64, known *names) rows) error {
	if err := s.room(len(record.Payload)); err != nil {
		return fmt.Errorf("storing telemetry: %w", err)
	}
	if err := to.append(record, make); err != nil {
		return fmt.Errorf("storing telemetry: %w", explain(err))
	}
	if added := s.added.Add(int64(len(record.Payload))); added > s.opts.MaxBytes/(4*fraction) {
		s.added.Store(0)
		select {
		case s.full <- struct{}{}:
		default:
		}
	}
	return nil
}

// TraceAge returns the time for which spans are kept.
func (s *Store) TraceAge() time.Duration { return s.opts.TraceAge }

// LogAge returns the time for which log lines are kept.
func (s *Store) LogAge() time.Duration { return s.opts.LogAge }

// Health returns nil if the store accepts telemetry and its bounds are enforced, or an
// error with the reason why not.
func (s *Store) Health(context.Context) error {
	if err := s.open(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sweepErr
}

// bounds returns [from, to) in nanoseconds; a zero time is no bound. Times that 64-bit
// nanoseconds cannot express (outside the years 1678 to 2261) count as the nearest.
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
