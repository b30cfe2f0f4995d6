package verify

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"dicelab/internal/query"
)

// DefaultTimeout is how long a run waits for what must come. Tempo's service
// graph takes up to 19 s through its remote write; a machine may be busy.
const DefaultTimeout = 45 * time.Second

// Options say what is checked.
type Options struct {
	// Base URLs, http or https.
	Frontend, Roller, Prometheus, Loki, Tempo string
	Alloy                                     string // "": where a lab has it
	Grafana                                   string // "": none
	// Header is sent with every request to the telemetry servers: tenants, tokens.
	Header http.Header
	// Mode is how the lab runs; "" lets it be guessed.
	Mode Mode
	// Only names the rows and groups to check; none means all.
	Only []string
	// Timeout bounds the wait for what must come, from the end of the rolls. 0
	// means DefaultTimeout.
	Timeout time.Duration
	// Traffic runs the traffic generator once, for a few rolls; nil where there is
	// none to run.
	Traffic func(context.Context) (Traffic, error)
	// Stack is the folder of the servers' configurations, for Grafana's dashboard
	// and data sources; nil where there is none.
	Stack fs.FS
	// Version is said in the header User-Agent.
	Version string
	// Transport carries the requests. Nil means a new one.
	Transport http.RoundTripper
}

// Traffic is what a run of the traffic generator left.
type Traffic struct {
	Command  string   // what was run, for a shell
	TraceIDs []string // of its rolls, 32 hex digits
	Log      string   // its log, one JSON object a line
	Dropped  int      // spans that it could not deliver
}

// Verifier runs the checks.
type Verifier struct {
	Options
	checks []check
}

// New checks the options. The error says what to change.
func New(o Options) (*Verifier, error) {
	for _, server := range []struct {
		name, url string
		optional  bool
	}{
		{"the front end", o.Frontend, false}, {"the dice roller", o.Roller, false},
		{"Prometheus", o.Prometheus, false}, {"Loki", o.Loki, false}, {"Tempo", o.Tempo, false},
		{"Alloy", o.Alloy, true}, {"Grafana", o.Grafana, true},
	} {
		if server.optional && server.url == "" {
			continue
		}
		if u, err := url.Parse(server.url); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			return nil, fmt.Errorf("the URL of %s, %q, is not like http://localhost:8102", server.name, server.url)
		}
	}
	if err := o.Mode.check(); err != nil {
		return nil, err
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("the timeout %v is below zero", o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	checks, err := chosen(o.Only)
	if err != nil {
		return nil, err
	}
	return &Verifier{Options: o, checks: checks}, nil
}

// UnreachableError is the error of a run that could not begin: nothing can be
// verified without the front end.
type UnreachableError struct {
	URL string // the front end's
	Err error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("the front end at %s does not answer: %v", e.URL, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Run checks. It calls began once, and each with every result in the order of
// the table, as soon as it and those before it are known; both may be nil.
//
// A check that fails is no error. An error is an *UnreachableError, or that of a
// context that ended.
func (v *Verifier) Run(ctx context.Context, began func(Start), each func(Result)) (Report, error) {
	report := Report{Began: time.Now()}
	r := newRun(v)
	defer r.close()
	if err := r.find(ctx); err != nil {
		return report, err
	}
	report.Mode, report.ModeWhy = r.mode, r.modeWhy
	if began != nil {
		began(Start{Mode: r.mode, ModeWhy: r.modeWhy, Rows: rows(v.checks)})
	}
	if r.needs()&needRolls != 0 {
		r.rolls.make(ctx, r)
	}
	r.deadline = time.Now().Add(v.Timeout)
	results := make([]chan ended, len(v.checks))
	for i, c := range v.checks {
		results[i] = make(chan ended, 1)
		go func() { results[i] <- r.check(ctx, c) }()
	}
	told := map[string]string{} // who has told the cause, by the row that would
	for _, result := range results {
		got := <-result
		got.explain(told)
		report.add(got.Result)
		if each != nil {
			each(got.Result)
		}
	}
	report.Rolls = len(r.rolls.all) + int(r.moved.Load())
	report.Took = Seconds(time.Since(report.Began))
	return report, ctx.Err()
}

// run is one run: what it has found out, shared by all checks.
type run struct {
	*Verifier
	transport http.RoundTripper
	mode      Mode
	modeWhy   string
	looked    map[need][]*exchange // the first look at each telemetry server
	down      map[need]string      // those that give no usable answer, and why
	deadline  time.Time            // of what must come
	rolls     rolls
	moved     atomic.Int64 // rolls besides these, see move
	seen      evidence
}

// maxConnections bounds the requests to one server that are under way: fifty
// checks begin at once, and the servers have other work.
const maxConnections = 10

func newRun(v *Verifier) *run {
	r := &run{Verifier: v, transport: v.Transport, looked: map[need][]*exchange{}, down: map[need]string{}}
	if r.transport == nil {
		r.transport = &http.Transport{Proxy: http.ProxyFromEnvironment, MaxConnsPerHost: maxConnections, MaxIdleConnsPerHost: maxConnections}
	}
	return r
}

// close gives up the connections that this run opened.
func (r *run) close() {
	if t, ok := r.transport.(*http.Transport); ok && r.Transport == nil {
		t.CloseIdleConnections()
	}
}

// needs is what the chosen checks need together.
func (r *run) needs() (all need) {
	for _, c := range r.checks {
		all |= c.needs
	}
	return all
}

// ended is a check that has ended, and what its result may have to tell in the
// place of a row that is not checked.
type ended struct {
	Result
	cause string
}

// explain tells the cause, or names the earlier result that has told it.
func (e *ended) explain(told map[string]string) {
	if e.cause == "" {
		return
	}
	if by := told[e.BlockedBy]; by != "" {
		e.BlockedBy = by
		return
	}
	told[e.BlockedBy] = e.Name
	e.Why, e.BlockedBy = e.Why+": "+e.cause, ""
}

// check runs one check, unless what it needs is known to be missing.
func (r *run) check(ctx context.Context, c check) ended {
	start := time.Now()
	p := &probe{run: r}
	found, blocked := r.blocked(c.needs)
	if !blocked {
		found = c.run(ctx, p)
	}
	if ctx.Err() != nil && found.outcome == Fail {
		found = fail("stopped before it was found out")
	}
	result := Result{Row: c.Row, Outcome: found.outcome, Evidence: found.evidence, Why: found.why, BlockedBy: found.blockedBy,
		Exchanges: p.taken(), Took: Seconds(time.Since(start))}
	if result.Reproduce = found.command; result.Reproduce == "" && len(result.Exchanges) > 0 {
		result.Reproduce = result.Exchanges[len(result.Exchanges)-1].Command
	}
	return ended{result, found.cause}
}

// prometheus, loki and tempo are clients whose exchanges are kept.
func (p *probe) prometheus() *query.Prometheus {
	c, err := query.NewPrometheus(p.config(p.Prometheus))
	return must(c, err)
}

func (p *probe) loki() *query.Loki {
	c, err := query.NewLoki(p.config(p.Loki))
	return must(c, err)
}

func (p *probe) tempo() *query.Tempo {
	c, err := query.NewTempo(p.config(p.Tempo))
	return must(c, err)
}

func (p *probe) config(url string) query.Config {
	return query.Config{URL: url, HTTP: p.client(), Header: p.Header}
}

// must is for what cannot fail after New.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("a URL that New accepted: %v", err))
	}
	return v
}
