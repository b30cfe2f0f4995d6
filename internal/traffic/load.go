package traffic

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"dicelab/internal/contract"
	"dicelab/internal/wait"
)

// Load is a run at a rate.
type Load struct {
	Rate     Rate
	Duration time.Duration // above 0
}

// Check returns an error if the run is not possible.
func (l Load) Check() error {
	if l.Duration <= 0 {
		return fmt.Errorf("duration %v: want one above 0s", l.Duration)
	}
	if l.Rate.rolls(l.Duration) == 0 {
		return fmt.Errorf("rate %v for %v: not one roll would be sent; want more of either", l.Rate, l.Duration)
	}
	return nil
}

// Load sends rolls at a rate, each when it is due, until all were sent or ctx
// ends, and returns when all are answered.
func (g *Generator) Load(ctx context.Context, l Load) error {
	if err := l.Check(); err != nil {
		return err
	}
	ctx, cancel := g.begin(ctx, 0)
	defer cancel()
	g.Telemetry.Logger.Info(contract.MsgTrafficStarted, contract.FieldBackendURL, g.Target.URL(),
		contract.FieldRate, l.Rate.String(), contract.FieldSeed, g.Seed)
	g.counter.plan(l)
	hits := &hits{g: g, via: g.transport(g.Connections), rolls: map[uint64]Roll{}}
	pace := &pacer{Load: l, ctx: ctx, total: l.Rate.rolls(l.Duration), sent: g.counter.sent}
	attacker := vegeta.NewAttacker(vegeta.Client(&http.Client{Transport: hits}))
	start := time.Now()
	for result := range attacker.Attack(hits.target, pace, 0, "") {
		r := hits.take(result.Seq)
		r.Start, r.Latency = result.Timestamp, Seconds(result.Latency)
		g.counter.add(r)
		g.counter.late(result.Timestamp.Sub(start) - l.Rate.due(result.Seq, l.Duration))
	}
	g.finish()
	return aborted(ctx)
}

// pacer decides when vegeta's attacker sends. It replaces vegeta's own pacers because
//   - vegeta's for ramps takes a start of 0 for "as fast as can be",
//   - vegeta sends nothing any more once the time has passed, so that what was
//     late is never sent; here a run has as many rolls as its rate and duration
//     say, always, and what is late shows in the report,
//   - a run that is stopped must not wait for the next roll to be due.
type pacer struct {
	Load
	ctx   context.Context
	total uint64
	sent  func(all bool) // called when the last roll was sent, or when the run was stopped before
}

// Pace waits until roll number hits is due (vegeta.Pacer).
func (p *pacer) Pace(elapsed time.Duration, hits uint64) (pause time.Duration, stop bool) {
	if hits >= p.total || wait.Sleep(p.ctx, p.Load.Rate.due(hits, p.Duration)-elapsed) != nil {
		p.sent(hits >= p.total)
		return 0, true
	}
	return 0, false
}

// Rate returns the rate at a moment of the run (vegeta.Pacer).
func (p *pacer) Rate(elapsed time.Duration) float64 {
	r := p.Load.Rate
	return r.From + (r.To-r.From)*elapsed.Seconds()/p.Duration.Seconds()
}

// hits stands between vegeta's attacker, which knows numbers and times, and
// rolls. It is the attacker's transport.
type hits struct {
	g     *Generator
	via   http.RoundTripper
	mu    sync.Mutex
	rolls map[uint64]Roll // by number, until the attacker reports the number
}

// headerSeq is the header in which the attacker numbers its requests.
const headerSeq = "X-Vegeta-Seq"

// target returns the request that the attacker sends as far as it knows (vegeta.Targeter). What is
// really sent depends on the number of the request, which is set only later.
func (h *hits) target(t *vegeta.Target) error {
	t.Method, t.URL = http.MethodGet, h.g.Target.URL()
	return nil
}

// RoundTrip makes the roll that a request stands for, and keeps its outcome for take. For the
// attacker, every request succeeds.
func (h *hits) RoundTrip(req *http.Request) (*http.Response, error) {
	seq, err := strconv.ParseUint(req.Header.Get(headerSeq), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("reading header %s: %w", headerSeq, err)
	}
	r := h.g.roll(order{number: int(seq) + 1, die: h.g.dieOf(seq), via: h.via})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rolls[seq] = r
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}

func (h *hits) take(seq uint64) Roll {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rolls[seq]
	delete(h.rolls, seq)
	return r
}
