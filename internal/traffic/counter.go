package traffic

import (
	"slices"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// reportedRolls limits the rolls that a report lists of each kind, slowest and failed.
const reportedRolls = 5

// buckets returns the lower bounds of the report's histogram.
func buckets() vegeta.Buckets {
	b := vegeta.Buckets{0}
	for _, ms := range []int{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000} {
		b = append(b, time.Duration(ms)*time.Millisecond)
	}
	return b
}

// counter keeps count of a run. It is safe for concurrent use.
type counter struct {
	mu       sync.Mutex
	metrics  vegeta.Metrics // of latencies
	outcomes map[string]int
	failed   int
	slowest  []Roll // slowest first
	failures []Roll // latest first
	lateness time.Duration

	start   time.Time
	limit   time.Duration // of the run; 0: none
	load    Load          // zero: users
	sending time.Duration // from start until nothing more was sent; 0: not yet
	check   func(rolls, failed int)
}

func newCounter() *counter {
	return &counter{metrics: vegeta.Metrics{Histogram: &vegeta.Histogram{Buckets: buckets()}}, outcomes: map[string]int{}}
}

// begin starts the clock. check is called after each roll.
func (t *counter) begin(limit time.Duration, check func(rolls, failed int)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.start, t.limit, t.check = time.Now(), limit, check
}

// plan makes the run one at a rate.
func (t *counter) plan(l Load) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.load, t.limit = l, l.Duration
}

// sent records that nothing more will be sent. When all that was planned was sent,
// and in time, it was sent within the run's whole length: the last roll is due
// before its end.
func (t *counter) sent(all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sending = time.Since(t.start); all {
		t.sending = max(t.sending, t.limit)
	}
}

// end records that all is answered.
func (t *counter) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sending == 0 {
		t.sending = time.Since(t.start)
	}
	t.metrics.Close()
}

// late notes by how much a roll was sent later than it was due.
func (t *counter) late(by time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lateness = max(t.lateness, by)
}

func (t *counter) add(r Roll) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.metrics.Add(&vegeta.Result{Timestamp: r.Start, Latency: time.Duration(r.Latency)})
	t.outcomes[r.Outcome]++
	if r.Failed() {
		t.failed++
		t.failures = shorten(slices.Insert(t.failures, 0, r))
	}
	at, _ := slices.BinarySearchFunc(t.slowest, r, func(have, r Roll) int {
		if have.Latency < r.Latency {
			return 1
		}
		return -1 // of equals, the one that came first stays
	})
	if at < reportedRolls {
		t.slowest = shorten(slices.Insert(t.slowest, at, r))
	}
	t.check(int(t.metrics.Requests), t.failed)
}

func shorten(list []Roll) []Roll { return list[:min(len(list), reportedRolls)] }

func (t *counter) counts() (rolls, failed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int(t.metrics.Requests), t.failed
}

// Progress is the state of a run.
type Progress struct {
	Elapsed  time.Duration
	Left     time.Duration // until nothing more is sent; below 0: it depends on the users
	Rolls    int           // that have ended
	Failed   int
	UnderWay int
	P95      time.Duration // latency of the rolls so far
}

// Progress may be called while a run is under way.
func (g *Generator) Progress() Progress {
	t := g.counter
	t.mu.Lock()
	defer t.mu.Unlock()
	p := Progress{Rolls: int(t.metrics.Requests), Failed: t.failed, UnderWay: int(g.underWay.Load()), Left: -1}
	if !t.start.IsZero() {
		p.Elapsed = time.Since(t.start)
	}
	switch {
	case t.limit > 0 && t.sending > 0: // all may be sent, and answered, before the limit
		p.Left = 0
	case t.limit > 0:
		p.Left = max(0, t.limit-p.Elapsed)
	}
	if p.Rolls > 0 {
		p.P95 = t.metrics.Latencies.Quantile(0.95)
	}
	return p
}
