// Package quest asks the learner. A quest is an incident that the lab makes with a seed:
// it rolls dice, breaks one thing for a while, and asks what broke, where, when and for
// whom. Answers are graded against the journal of what the lab did and against what is
// stored, never against a constant. Exercises are quests without an incident, on the
// learner's own rolls.
//
// The rules:
//   - The same seed makes the same incident. Rolls are answered before a fault is
//     switched, so that each roll is wholly within the incident or wholly outside.
//   - Faults of a quest are hidden, and have a lease: services switch them off if this
//     process is gone.
//   - A reason why an answer is wrong does not give the right one away.
//   - Stored telemetry is read through package query alone, as the learner reads it.
package quest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"dicelab/internal/checklist"
	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/query"
	"dicelab/internal/wait"
)

// Options configure an engine.
type Options struct {
	Tempo            *query.Tempo
	Loki             *query.Loki
	Prometheus       *query.Prometheus
	Frontend, Roller string // base URLs of the services
	Token            string // with which the services let faults be hidden
	Dir              string // of the journals
	Version          string // in the header User-Agent of the rolls
	// Check runs the checklist, which proves a repair.
	Check func(context.Context) (checklist.Report, error)
	// Pace is the time between two rolls; 0 means 150 ms.
	Pace time.Duration
	// Scrape is the time between two scrapes of a target; 0 means 2 s.
	Scrape time.Duration
	// Crowd is the number of rolls of a quest about one among many; 0 means 1500.
	Crowd int
}

// Engine runs one quest at a time. It is safe for concurrent use.
type Engine struct {
	Options
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	client *http.Client

	mu    sync.Mutex
	run   *run // nil: no quest was started yet
	clock func() time.Time

	acting  sync.Mutex // held during an action: there is one at a time
	control sync.Mutex // held while faults are sent, so that none comes after the end
}

// run is a quest from its start to its end.
type run struct {
	quest    Quest
	incident Incident
	journal  *Journal
	cancel   context.CancelFunc
	hidden   map[string][]string // the faults that are on, by service
	traces   map[string]*query.Trace
	over     bool // its faults are off, and must not be sent again
}

// The states of a quest.
const (
	StateRunning  = "running"  // the incident is being made
	StateAsking   = "asking"   // the questions are open
	StateMending  = "mending"  // the cause is on again, and to be switched off
	StateChecking = "checking" // the checklist looks at the repair
	StateEnded    = "ended"
)

const (
	lease      = 20 * time.Second // of hidden faults
	renewal    = 5 * time.Second  // time between two renewals of the lease
	idleLimit  = time.Hour        // after which a quest ends without an answer
	hintPrice  = 10               // points that a hint costs
	mendPoints = 10
	fullScore  = 100

	defaultCrowd = 1500 // rolls
)

// New returns an engine, and closes the journals that an earlier one left open. The
// caller closes it.
func New(o Options) (*Engine, error) {
	if o.Pace == 0 {
		o.Pace = 150 * time.Millisecond
	}
	if o.Scrape == 0 {
		o.Scrape = 2 * time.Second
	}
	if o.Crowd == 0 {
		o.Crowd = defaultCrowd
	}
	if err := closeLeftOpen(o.Dir); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = crowdLanes
	return &Engine{Options: o, ctx: ctx, cancel: cancel, clock: time.Now, client: &http.Client{Transport: transport}}, nil
}

// Close ends the quest that is under way, and waits until its faults are off.
func (e *Engine) Close() error {
	err := e.end("the lab was stopped")
	e.cancel()
	e.work.Wait()
	e.client.CloseIdleConnections()
	return err
}

// UserError is an error that the learner can mend: a name that does not exist, an action
// at the wrong time.
type UserError struct{ text string }

func (e *UserError) Error() string { return e.text }

func refuse(format string, args ...any) error { return &UserError{fmt.Sprintf(format, args...)} }

// Do performs an action of the learner: start (name, seed), answer (the IDs of questions),
// hint, mend (setting) or stop. Its error is a [*UserError] unless the lab is at fault.
func (e *Engine) Do(ctx context.Context, action string, form url.Values) error {
	e.acting.Lock()
	defer e.acting.Unlock()
	switch action {
	case "start":
		return e.start(ctx, form.Get("name"), form.Get("seed"))
	case "answer":
		return e.answer(ctx, form)
	case "hint":
		return e.hint()
	case "mend":
		return e.mend(ctx, form.Get("setting"))
	case "stop":
		if r := e.current(); r == nil || r.journal.state() == StateEnded {
			return refuse("no quest is under way")
		}
		return e.end("given up")
	}
	return refuse("there is no action %q: choose start, answer, hint, mend or stop", action)
}

func (e *Engine) current() *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.run
}

// UnderWay reports whether a quest hides faults.
func (e *Engine) UnderWay() bool {
	r := e.current()
	return r != nil && r.quest.incident() && r.journal.state() != StateEnded
}

func (e *Engine) start(ctx context.Context, name, seedText string) error {
	i := slices.IndexFunc(Quests(), func(q Quest) bool { return q.Name == name })
	if i < 0 {
		return refuse("there is no quest %q: dicelab quest lists them", name)
	}
	seed := rand.Uint64N(1_000_000) // short, for a person to type
	if seedText != "" {
		var err error
		if seed, err = strconv.ParseUint(strings.TrimSpace(seedText), 10, 64); err != nil {
			return refuse("seed %q: want a number from 0", seedText)
		}
	}
	if e.ctx.Err() != nil {
		return refuse("the lab is being stopped")
	}
	q := Quests()[i]
	e.mu.Lock()
	if r := e.run; r != nil && r.journal.state() != StateEnded {
		e.mu.Unlock()
		return refuse("the quest %s is under way: answer it, or end it with: dicelab quest stop", r.quest.Name)
	}
	runCtx, cancel := context.WithCancel(e.ctx)
	r := &run{quest: q, incident: q.Draw(seed), cancel: cancel, hidden: map[string][]string{}, traces: map[string]*query.Trace{}}
	r.journal = newJournal(e.Dir, q, seed, e.clock())
	if q.incident() {
		r.journal.Incident = &r.incident
	}
	e.run = r
	e.mu.Unlock()
	err := r.journal.save()
	if !q.incident() {
		return err
	}
	if err == nil {
		err = e.apply(ctx, r)
	}
	if err != nil {
		return errors.Join(err, e.end("it could not begin"))
	}
	e.work.Go(func() { e.hold(runCtx, r) })
	e.work.Go(func() {
		if err := e.play(runCtx, r); err != nil && runCtx.Err() == nil {
			r.journal.change(func(j *Journal) { j.Failure = err.Error() })
			_ = e.end("the lab could not make it: " + err.Error()) // what matters has been reported
		}
	})
	return nil
}

// services returns the base URLs of the services by name.
func (e *Engine) services() map[string]string {
	return map[string]string{contract.ServiceFrontend: e.Frontend, contract.ServiceRoller: e.Roller}
}

// apply sends both services the faults that the run has for them. Without a fault, a
// service is informed of the quest all the same, so that asking it gives nothing away.
func (e *Engine) apply(ctx context.Context, r *run) error {
	e.control.Lock()
	defer e.control.Unlock()
	var errs []error
	for service, base := range e.services() {
		e.mu.Lock()
		specs, over := slices.Clone(r.hidden[service]), r.over
		e.mu.Unlock()
		if over {
			return errOver
		}
		errs = append(errs, fault.Remote{URL: base, Client: e.client}.Hide(ctx, e.Token, lease, specs...))
	}
	return errors.Join(errs...)
}

var errOver = errors.New("the quest has ended")

// set makes specs, by service, the faults that are on, and writes that into the journal.
func (e *Engine) set(ctx context.Context, r *run, specs map[string][]string) error {
	e.mu.Lock()
	r.hidden = specs
	e.mu.Unlock()
	r.journal.change(func(j *Journal) { j.Faults = append(j.Faults, Switch{Time: e.clock(), On: specs}) })
	return errors.Join(e.apply(ctx, r), r.journal.save())
}

// hold renews the leases until ctx ends. A service that was started anew gets its faults
// back in this way.
func (e *Engine) hold(ctx context.Context, r *run) {
	idle := e.clock().Add(idleLimit)
	for wait.Sleep(ctx, renewal) == nil {
		_ = e.apply(ctx, r) // the next renewal comes before the lease ends
		if e.clock().After(idle) {
			_ = e.end("nobody answered for an hour") // the journal is written again when the lab ends
			return
		}
	}
}

// end ends the quest, if one is under way: its faults go off, and then its journal is
// closed.
func (e *Engine) end(why string) error {
	e.control.Lock()
	defer e.control.Unlock()
	e.mu.Lock()
	r := e.run
	if r == nil || r.over {
		e.mu.Unlock()
		return nil
	}
	r.over = true
	e.mu.Unlock()
	r.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), renewal)
	defer cancel()
	var errs []error
	if r.quest.incident() {
		for _, base := range e.services() {
			errs = append(errs, fault.Remote{URL: base, Client: e.client}.Hide(ctx, e.Token, 0))
		}
	}
	r.journal.change(func(j *Journal) { j.State, j.Ended, j.Why = StateEnded, e.clock(), why })
	return errors.Join(append(errs, r.journal.finish())...)
}

// asking returns the run if its questions are open.
func (e *Engine) asking() (*run, error) {
	r := e.current()
	switch {
	case r == nil || r.journal.state() == StateEnded:
		return nil, refuse("no quest is under way: start one with: dicelab quest start NAME")
	case r.journal.state() == StateRunning:
		return nil, refuse("the incident is still going on: wait for its end, and look around meanwhile")
	case r.journal.state() != StateAsking:
		return nil, refuse("all questions are answered: what is left is to mend it")
	}
	return r, nil
}

func (e *Engine) hint() error {
	r, err := e.asking()
	if err != nil {
		return err
	}
	if r.journal.copy().Hints >= len(r.quest.Hints) {
		return refuse("there are no more hints")
	}
	r.journal.change(func(j *Journal) { j.Hints++ })
	return r.journal.save()
}

// answer grades the answers in form, by the IDs of their questions. Questions that were
// answered rightly stay so.
func (e *Engine) answer(ctx context.Context, form url.Values) error {
	r, err := e.asking()
	if err != nil {
		return err
	}
	for id := range form {
		if !slices.ContainsFunc(r.quest.Questions, func(q Question) bool { return q.ID == id }) {
			return refuse("the quest %s has no question %q: it has %s", r.quest.Name, id, strings.Join(r.quest.ids(), ", "))
		}
	}
	given := 0
	g := grader{e, r, r.journal.copy(), map[string]string{}}
	for _, q := range r.quest.Questions {
		text := strings.TrimSpace(form.Get(q.ID))
		if done := r.journal.right(q.ID); done != "" {
			g.answers[q.ID] = done
			continue
		}
		if text == "" {
			continue
		}
		given++
		g.answers[q.ID] = text
		wrong, err := q.grade(ctx, g, text)
		if err != nil {
			return fmt.Errorf("grading %s: %w", q.ID, err)
		}
		r.journal.change(func(j *Journal) {
			j.Answers = append(j.Answers, Answer{Time: e.clock(), Question: q.ID, Text: text, Right: wrong == "", Why: wrong})
		})
	}
	if given == 0 {
		return refuse("no answer was given: the questions are %s", strings.Join(r.quest.ids(), ", "))
	}
	if len(r.journal.open(r.quest)) > 0 {
		return r.journal.save()
	}
	if !r.quest.incident() {
		return e.end("solved")
	}
	r.journal.change(func(j *Journal) { j.State = StateMending })
	return e.set(ctx, r, causes()[r.incident.Cause].specs(r.incident))
}

// mend switches a setting off, SERVICE:FAULT, and runs the checklist if it was the one.
func (e *Engine) mend(ctx context.Context, setting string) error {
	r := e.current()
	if r == nil || r.journal.state() != StateMending {
		return refuse("there is nothing to mend yet: answer the questions first")
	}
	service, name, _ := strings.Cut(strings.TrimSpace(setting), ":")
	name, _, _ = strings.Cut(name, "=")
	if err := fault.CheckOf(contract.Services())(exampleOf(service, name)); err != nil {
		return refuse("%q is no setting: write SERVICE:FAULT; docs/faults.md lists them", setting)
	}
	on := map[string][]string{}
	found := false
	for s, specs := range r.hidden {
		for _, spec := range specs {
			if n, _, _ := strings.Cut(spec, "="); s == service && n == name {
				found = true
				continue
			}
			on[s] = append(on[s], spec)
		}
	}
	r.journal.change(func(j *Journal) {
		j.Mends = append(j.Mends, Mend{Time: e.clock(), Setting: service + ":" + name, Right: found})
	})
	if !found {
		return errors.Join(refuse("%s:%s was not on: nothing has changed, and it is still broken", service, name), r.journal.save())
	}
	if err := e.set(ctx, r, on); err != nil {
		return err
	}
	r.journal.change(func(j *Journal) { j.State = StateChecking })
	e.work.Go(func() {
		report, err := e.Check(e.ctx)
		r.journal.change(func(j *Journal) {
			m := &j.Mends[len(j.Mends)-1]
			m.Passed, m.Failed = report.Passed, report.Causes()
			if err != nil {
				m.Error = err.Error()
			}
		})
		why := "solved"
		if err != nil || report.Failed > 0 {
			why = "mended, but the checklist did not pass"
		}
		_ = e.end(why) // the journal is in memory, too
	})
	return nil
}

// exampleOf returns SERVICE:FAULT with a value that the fault takes.
func exampleOf(service, name string) string {
	for _, f := range fault.Catalogue() {
		if f.Name == name && f.Example != "" {
			return service + ":" + name + "=" + f.Example
		}
	}
	return service + ":" + name
}
