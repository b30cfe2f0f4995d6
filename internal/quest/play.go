package quest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/traceparent"
	"dicelab/internal/wait"
)

const (
	lanes      = 8   // rolls under way at once
	crowdLanes = 100 // the same, in a quest about one among defaultCrowd
	users      = 9
	maxExtra   = 5 // times the rolls of the incident that are made until it shows
	rollLimit  = 20 * time.Second
)

// play makes the incident: rolls before it, in it and after it. All rolls of a part are
// answered before the next part begins.
func (e *Engine) play(ctx context.Context, r *run) error {
	in := r.incident
	c := causes()[in.Cause]
	if in.Blip != "" { // a slow roll long before, for which there is no reason any more
		if err := e.set(ctx, r, map[string][]string{in.Blip: {"slow=500ms"}}); err != nil {
			return err
		}
		e.rolls(ctx, r, before, 1, true)
	}
	background := map[string][]string{}
	if c.background != nil {
		background = c.background(in)
	}
	if err := e.set(ctx, r, background); err != nil {
		return err
	}
	if err := e.part(ctx, r, before, in.Before, c); err != nil {
		return err
	}
	on := c.specs(in)
	for service, specs := range background {
		on[service] = append(on[service], specs...)
	}
	if err := e.set(ctx, r, on); err != nil {
		return err
	}
	if err := e.part(ctx, r, within, in.Within, c); err != nil {
		return err
	}
	if err := e.set(ctx, r, background); err != nil {
		return err
	}
	if err := e.part(ctx, r, after, in.After, c); err != nil {
		return err
	}
	if err := e.set(ctx, r, map[string][]string{}); err != nil {
		return err
	}
	if err := e.settle(ctx, r); err != nil {
		return err
	}
	r.journal.change(func(j *Journal) { j.State = StateAsking })
	return r.journal.save()
}

// part makes the n rolls of a part: more, if the incident does not show in them, and for three
// scrapes, if it shows in metrics.
func (e *Engine) part(ctx context.Context, r *run, part, n int, c cause) error {
	if n == 0 {
		n = e.Crowd / 2
	}
	began := e.clock()
	for round := 0; ; round++ {
		if err := e.rolls(ctx, r, part, n, false); err != nil {
			return err
		}
		long := !c.scraped || part == after || e.clock().Sub(began) > 3*e.Scrape
		enough := part != within || c.enough == nil || c.enough(r.incident, r.journal.of(within))
		if long && enough {
			return nil
		}
		if !enough && round >= maxExtra {
			return fmt.Errorf("the incident did not show in %d rolls", (round+1)*n)
		}
	}
}

// of lists the rolls of a part.
func (j *Journal) of(part int) (rolls []Roll) {
	for _, r := range j.copy().Rolls {
		if r.Part == part && !r.Harmless {
			rolls = append(rolls, r)
		}
	}
	return rolls
}

// rolls makes n rolls, a few at once, and waits for all answers. Who rolls which die comes
// from the seed and the number of the roll.
func (e *Engine) rolls(ctx context.Context, r *run, part, n int, harmless bool) error {
	in := r.incident
	width, pace := lanes, e.Pace
	if causes()[in.Cause].crowd {
		width, pace = max(lanes, e.Crowd*crowdLanes/defaultCrowd), e.Pace/50
	}
	slots := make(chan struct{}, width)
	var all sync.WaitGroup
	defer all.Wait()
	first := len(r.journal.copy().Rolls)
	for i := range n {
		if err := wait.Sleep(ctx, pace); err != nil {
			return err
		}
		chance := rand.New(rand.NewPCG(in.Seed, uint64(first+i)))
		die := contract.Dice()[(first+i+int(in.Seed%2))%2]
		user := fmt.Sprintf("user-%d", 1+chance.IntN(users))
		if part == within && in.User != "" {
			user = in.User
		}
		odd := in.Stranger != "" && !harmless && i%7 == 3
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			roll := e.roll(ctx, die, user)
			roll.Part, roll.Harmless = part, harmless
			r.journal.change(func(j *Journal) {
				j.Rolls = append(j.Rolls, roll)
				if part == within && !harmless {
					if j.From.IsZero() || roll.Start.Before(j.From) {
						j.From = roll.Start
					}
					if roll.End.After(j.To) {
						j.To = roll.End
					}
				}
			})
			if odd {
				stranger := e.roll(ctx, "golden", in.Stranger)
				stranger.Part, stranger.Harmless = part, true
				r.journal.change(func(j *Journal) { j.Rolls = append(j.Rolls, stranger) })
			}
		})
	}
	return nil
}

// roll rolls a die through the front end, as a browser does. The trace begins there.
func (e *Engine) roll(ctx context.Context, die, user string) (r Roll) {
	r = Roll{Start: e.clock(), Die: die, User: user}
	defer func() { r.End = e.clock() }()
	ctx, cancel := context.WithTimeout(ctx, rollLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.Frontend+"/roll", strings.NewReader(url.Values{"die": {die}}.Encode()))
	if err != nil {
		r.Detail = err.Error()
		return r
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "dicelab-quest/"+e.Version)
	req.Header.Set("Baggage", contract.AttrUserID+"="+user)
	resp, err := e.client.Do(req)
	if err != nil {
		r.Detail = err.Error()
		return r
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		r.Detail = err.Error()
	}
	var problem struct{ Detail string }
	if json.Unmarshal(body, &problem) == nil && problem.Detail != "" {
		r.Detail = problem.Detail
	}
	r.Status = resp.StatusCode
	if header, err := traceparent.Parse(resp.Header.Get(contract.HeaderTraceresponse)); err == nil {
		r.TraceID = header.TraceID
	}
	return r
}

// settleLimit bounds the wait for the telemetry of the last rolls.
const settleLimit = 10 * time.Second

// settle waits until the last roll after the incident is stored: what came before it was
// sent before it.
func (e *Engine) settle(ctx context.Context, r *run) error {
	rolls := r.journal.of(after)
	if len(rolls) == 0 {
		return errors.New("no roll was made after the incident")
	}
	last := rolls[len(rolls)-1]
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	return wait.Until(ctx, func(ctx context.Context) error {
		t, err := e.Tempo.Trace(ctx, last.TraceID)
		if err == nil && len(t.Services()) < len(contract.Services()) {
			err = errors.New("the trace of the last roll is not complete")
		}
		return err
	})
}
