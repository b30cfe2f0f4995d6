package child

import "time"

// Policy limits how soon and how often a child that ended is started again.
type Policy struct {
	// First is the delay before the first restart; it doubles with each one, up
	// to Max, and is First again after a run that lasted a whole Window.
	First, Max time.Duration
	// Limit is the largest number of restarts within Window. 0: none, the first end is the last.
	Limit  int
	Window time.Duration
}

// DefaultPolicy starts a child again after 100 ms, doubling to 5 s, at most
// five times a minute: a service that is killed comes back before the user
// reloads the page, one that crashes at once is given up in about 3 s.
func DefaultPolicy() Policy {
	return Policy{First: 100 * time.Millisecond, Max: 5 * time.Second, Limit: 5, Window: time.Minute}
}

// Once returns the policy of a child that must not end: no restart.
func Once() Policy { return Policy{Window: time.Minute} }

// Restarts applies a policy to the ends of one child. It is not safe for
// concurrent use.
type Restarts struct {
	policy Policy
	delay  time.Duration
	recent []time.Time // restarts granted within the window
}

// NewRestarts returns a count that starts at none.
func NewRestarts(p Policy) *Restarts { return &Restarts{policy: p} }

// Ended notes that a run of length ran ended at the given time. It returns how
// long to wait before the next one, or false when the limit is used up.
func (r *Restarts) Ended(at time.Time, ran time.Duration) (time.Duration, bool) {
	kept := r.recent[:0]
	for _, t := range r.recent {
		if at.Sub(t) < r.policy.Window {
			kept = append(kept, t)
		}
	}
	r.recent = kept
	if len(r.recent) >= r.policy.Limit {
		return 0, false
	}
	r.recent = append(r.recent, at)
	if r.delay == 0 || ran >= r.policy.Window {
		r.delay = r.policy.First
	} else {
		r.delay = min(2*r.delay, r.policy.Max)
	}
	return r.delay, true
}

// Count returns the number of restarts that the current window holds.
func (r *Restarts) Count() int { return len(r.recent) }
