package verify

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"dicelab/internal/checklist"
	"dicelab/internal/fault"
	"dicelab/internal/grafana"
	"dicelab/internal/query"
)

// Run runs the chosen checks. It calls began once, and each with every result in the
// order of the table, as soon as it and those before it are known; both may be nil.
//
// A check that fails is no error. An error is a *checklist.UnreachableError, or that
// of a context that ended.
func (v *Verifier) Run(ctx context.Context, began func(checklist.Start), each func(checklist.Result)) (
	report checklist.Report, err error) {
	report.Began = time.Now()
	r := newRun(v)
	defer r.close()
	if err := r.find(ctx); err != nil {
		return report, err
	}
	report.Mode, report.ModeWhy, report.Faults = r.mode, r.modeWhy, fault.NewLab(r.services(), (&Probe{run: r}).client()).On(ctx)
	if began != nil {
		began(checklist.Start{Mode: r.mode, ModeWhy: r.modeWhy, Faults: report.Faults, Rows: rows(v.chosen)})
	}
	plan := v.plan()
	if plan[rowRoll] != nil {
		if r.rolls = startRolls(ctx, r); ctx.Err() != nil {
			return report, ctx.Err()
		}
		for _, n := range plan {
			if n.Late {
				r.rolls.keepRolling(ctx, r)
				break
			}
		}
	}
	r.deadline = time.Now().Add(v.Timeout)
	for _, n := range plan {
		go r.perform(ctx, plan, n)
	}
	for _, c := range v.chosen {
		n := plan[c.Name] // it ends after those that it comes after: none is left behind
		<-n.ended
		result := n.result
		if by := plan[result.BlockedBy]; by != nil && !by.shown {
			result.Why += "; " + by.Name + " fails: " + by.result.Why
		}
		report.Add(result)
		if each != nil {
			each(result)
		}
	}
	report.Rolls = r.rolls.stop()
	report.Took = checklist.Seconds(time.Since(report.Began))
	return report, ctx.Err()
}

// node is a check of a run.
type node struct {
	Check
	shown  bool          // whether its result was asked for
	ended  chan struct{} // closed once result is set
	result checklist.Result
}

// plan returns the chosen checks and all that they come after, by name.
func (v *Verifier) plan() map[string]*node {
	plan := map[string]*node{}
	var add func(name string)
	add = func(name string) {
		if plan[name] != nil {
			return
		}
		for _, c := range v.all {
			if c.Name == name {
				plan[name] = &node{Check: c, ended: make(chan struct{})}
				for _, after := range c.After {
					add(after)
				}
			}
		}
	}
	for _, c := range v.chosen {
		add(c.Name)
		plan[c.Name].shown = true
	}
	return plan
}

// perform runs one check once those that it comes after have ended. If one of them
// has failed, the check looks without waiting, and its own failure is explained.
func (r *run) perform(ctx context.Context, plan map[string]*node, n *node) {
	defer close(n.ended)
	blockedBy := ""
	for _, name := range n.After {
		after := plan[name]
		<-after.ended
		if after.result.Outcome == checklist.Fail {
			blockedBy = cmp.Or(blockedBy, after.result.BlockedBy, name)
		}
	}
	began := time.Now()
	p := &Probe{run: r, deadline: r.deadline}
	if blockedBy != "" {
		p.deadline = began
		if late := r.rolls.over().Add(lateTime(r.mode)); n.Late && late.After(began) {
			p.deadline = late
		}
	}
	evidence, err := n.Run(ctx, p)
	result := checklist.Result{Row: n.Row, Outcome: checklist.Pass, Evidence: evidence}
	if err != nil {
		result.Outcome, result.Evidence, result.Why, result.BlockedBy = checklist.Fail, "", err.Error(), blockedBy
		if errors.As(err, new(*skipped)) {
			result.Outcome, result.BlockedBy = checklist.NotApplicable, ""
		} else if ctx.Err() != nil {
			result.Why = "stopped before it was found out"
		}
	}
	result.Exchanges, result.Page = p.Some(maxExchanges), p.page
	if result.Reproduce = p.command; result.Reproduce == "" && len(result.Exchanges) > 0 {
		result.Reproduce = result.Exchanges[len(result.Exchanges)-1].Command
	}
	result.Took = checklist.Seconds(time.Since(began))
	n.result = result
}

// lateTime is the time after the rolls in which Prometheus has what a healthy lab
// makes of them: a few scrapes; on the real servers a remote write, too.
func lateTime(mode checklist.Mode) time.Duration {
	if mode == checklist.Embedded {
		return 8 * time.Second
	}
	return 25 * time.Second
}

// run is one run: what it has found out, shared by all checks.
type run struct {
	*Verifier
	transport http.RoundTripper
	mode      checklist.Mode
	modeWhy   string
	deadline  time.Time // of what must come
	rolls     *rolls    // nil if no check needs them

	traces    shared[string, *query.Trace]    // by ID and number of spans
	lines     shared[string, []query.LogLine] // by query
	exemplars shared[string, query.Exemplar]  // by selector
	simulated shared[struct{}, simulation]    // of the traffic generator
	files     shared[struct{}, grafana.Files] // of Grafana
}

// maxConnections bounds the requests to one server that are under way: the rolls
// are made at once, and fifty checks begin at once.
const maxConnections = rollsAtOnce

func newRun(v *Verifier) *run {
	r := &run{Verifier: v, transport: v.Transport}
	if r.transport == nil {
		r.transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxConnsPerHost: maxConnections, MaxIdleConnsPerHost: maxConnections,
		}
	}
	return r
}

// close closes the connections that this run opened.
func (r *run) close() {
	if t, ok := r.transport.(*http.Transport); ok && r.Transport == nil {
		t.CloseIdleConnections()
	}
}
