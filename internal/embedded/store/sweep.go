package store

import (
	"context"
	"errors"
	"time"
)

// fraction divides the limits of a store: the result limits one partition. Partitions are
// small so that the bounds hold within a tenth although a partition is deleted as a whole.
const fraction = 16

// sweeper enforces the bounds until the store closes.
func (s *Store) sweeper() {
	defer close(s.swept)
	tick := time.NewTicker(s.opts.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-tick.C:
		case <-s.full:
		}
		err := s.Sweep(context.Background())
		s.mu.Lock()
		s.sweepErr = err
		s.mu.Unlock()
	}
}

// Sweep enforces the bounds now.
func (s *Store) Sweep(ctx context.Context) error {
	kinds := []struct {
		*partitions
		age time.Duration
	}{{s.spans, s.opts.TraceAge}, {s.lines, s.opts.LogAge}}
	var errs []error
	var bytes int64
	for _, k := range kinds {
		n, err := k.size()
		errs = append(errs, err, k.roll(ctx, k.age/fraction, s.opts.MaxBytes/fraction))
		bytes += n
		for p := k.first(); p != nil; p = k.first() {
			if _, newest := p.times(); newest >= s.opts.Now().Add(-k.age).UnixNano() {
				break
			}
			bytes -= p.size()
			errs = append(errs, k.drop())
		}
	}
	for bytes > s.opts.MaxBytes {
		var oldest *partitions
		for _, k := range kinds {
			if p := k.first(); p != nil && (oldest == nil || p.created.Before(oldest.first().created)) {
				oldest = k.partitions
			}
		}
		if oldest == nil {
			break // one partition of each kind, which roll ends soon
		}
		bytes -= oldest.first().size()
		errs = append(errs, oldest.drop())
	}
	return errors.Join(errs...)
}
