package checklist

import (
	"context"
	"iter"
	"sync"
	"time"
)

// Run is one run. It is safe for concurrent use.
type Run struct {
	Group string    // that was asked for; empty: all
	Began time.Time // by the desk's clock

	ctx    context.Context
	giveUp context.CancelCauseFunc
	over   chan struct{} // closed when it has ended

	watchers int         // the desk's
	timer    *time.Timer // the desk's: gives the run up; nil while it is watched

	mu      sync.Mutex
	changed chan struct{} // closed, and another put in its place, when what follows changes
	start   *Start
	results []Result
	report  Report
	err     error
	ended   bool
}

// givenUp tells whether a run that is under way is being given up. The caller
// holds the desk's lock, else the run may have come to its end.
func (r *Run) givenUp() bool { return r.ctx.Err() != nil }

func (r *Run) begin(s Start)     { r.change(func() { r.start = &s }) }
func (r *Run) add(result Result) { r.change(func() { r.results = append(r.results, result) }) }

func (r *Run) end(report Report, err error) {
	r.change(func() { r.report, r.err, r.ended = report, err, true })
	close(r.over)
}

func (r *Run) change(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
	close(r.changed)
	r.changed = make(chan struct{})
}

// Start waits until it is known what is checked. It returns nil where the run
// could not begin, or ctx ended. pause is called before it waits.
func (r *Run) Start(ctx context.Context, pause func()) (s *Start) {
	r.await(ctx, pause, func() bool { s = r.start; return s != nil })
	return s
}

// Results are the results, from the first to the last, as they come. They end
// early when ctx ends. pause is called before each wait.
func (r *Run) Results(ctx context.Context, pause func()) iter.Seq[Result] {
	return func(yield func(Result) bool) {
		for i := 0; ; i++ {
			var next Result
			there := false
			r.await(ctx, pause, func() bool {
				if there = i < len(r.results); there {
					next = r.results[i]
				}
				return there
			})
			if !there || !yield(next) {
				return
			}
		}
	}
}

// Ended tells whether the run has ended.
func (r *Run) Ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// Report is the report of a run that has come to its end, or why it did not.
func (r *Run) Report() (Report, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.report, r.err
}

// await waits until found finds what it looks for, the run has ended, or ctx has.
func (r *Run) await(ctx context.Context, pause func(), found func() bool) {
	for {
		r.mu.Lock()
		done, changed := found() || r.ended, r.changed
		r.mu.Unlock()
		if done || ctx.Err() != nil {
			return
		}
		pause()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
