package checklist

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Grace is how long a run goes on while nobody watches: a browser that loads the
// page again leaves first and comes back then.
const Grace = 2 * time.Second

// ErrUnwatched is why a run ended that nobody watched any more.
var ErrUnwatched = errors.New("nobody watched it any more")

// Desk gives out runs. It is safe for concurrent use.
type Desk struct {
	Checker
	clock func() time.Time

	mu     sync.Mutex
	now    *Run // under way, or nil
	latest *Run // the one that ended last, however that was, or nil
	last   *Run // the one that came to its end last, or nil
}

// NewDesk makes a desk with nothing on it. clock tells when a run began.
func NewDesk(c Checker, clock func() time.Time) *Desk { return &Desk{Checker: c, clock: clock} }

// Start makes sure that a run is under way and returns it: of that group, or
// whatever runs already. Its error is that of ctx, which bounds the wait for a
// run that is being given up; it does not bound the run.
func (d *Desk) Start(ctx context.Context, group string) (*Run, error) {
	for {
		run, lasts := d.startOrFind(ctx, group)
		if lasts {
			return run, nil
		}
		select {
		case <-run.over:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// startOrFind tells, too, whether the run is not being given up.
func (d *Desk) startOrFind(ctx context.Context, group string) (run *Run, lasts bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.now == nil:
		ctx, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
		d.now = &Run{Group: group, Began: d.clock(), ctx: ctx, giveUp: giveUp, changed: make(chan struct{}), over: make(chan struct{})}
		d.unwatched(d.now)
		go d.perform(d.now)
	case d.now.watchers == 0: // whoever asked is about to watch
		d.unwatched(d.now)
	}
	return d.now, !d.now.givenUp()
}

// unwatched gives a run up unless somebody watches it within Grace. The caller
// holds the lock.
func (d *Desk) unwatched(r *Run) {
	d.watched(r)
	var timer *time.Timer
	timer = time.AfterFunc(Grace, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if r.timer == timer {
			r.giveUp(ErrUnwatched)
		}
	})
	r.timer = timer
}

// watched takes back what unwatched has begun. The caller holds the lock.
func (d *Desk) watched(r *Run) {
	if r.timer != nil {
		r.timer.Stop()
	}
	r.timer = nil
}

func (d *Desk) perform(r *Run) {
	report, err := d.Run(r.ctx, r.Group, r.begin, r.add)
	if err != nil && context.Cause(r.ctx) != nil {
		err = context.Cause(r.ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now, d.latest = nil, r
	if err == nil {
		d.last = r
	}
	d.watched(r)
	r.giveUp(nil) // it has ended: only the context is to be released
	r.end(report, err)
}

// Watch returns the run that is under way, or nil. Whoever got one calls leave
// when they go; at once means that nobody will come back, and waits for the end
// of a run that nobody else watches.
func (d *Desk) Watch() (run *Run, leave func(atOnce bool)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.now
	if r == nil || r.givenUp() {
		return nil, nil
	}
	d.watched(r)
	r.watchers++
	return r, func(atOnce bool) { d.leave(r, atOnce) }
}

func (d *Desk) leave(r *Run, atOnce bool) {
	d.mu.Lock()
	r.watchers--
	last := r.watchers == 0 && d.now == r
	switch {
	case last && atOnce:
		r.giveUp(ErrUnwatched)
	case last:
		d.unwatched(r)
	}
	d.mu.Unlock()
	if last && atOnce {
		<-r.over
	}
}

// Last returns the run that came to its end last, or nil, and why the latest run
// did not come to its end, where that one is newer.
func (d *Desk) Last() (last *Run, failure error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.latest != d.last {
		_, failure = d.latest.Report()
	}
	return d.last, failure
}
