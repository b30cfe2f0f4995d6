package verify

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/query"
)

// How many rolls are made for a success and a failure: the risky die fails one
// time in ten, so that all of mostRolls bring a value in 1 run of 38,000.
const (
	rollsAtOnce = 10
	mostRolls   = 100
)

// rollTimeout is how long a roll may take; a front end answers after 5 s at the
// latest unless it is told otherwise.
const rollTimeout = time.Minute

// roll is one roll through the front end, as a browser without JavaScript makes
// it.
type roll struct {
	die    string
	sent   http.Header // the trace context that went with it
	status int         // on the wire; 0 where there was no answer
	trace  query.Traceparent
	page   page
	err    error       // there was no answer that could be read
	asked  []*exchange // the request
}

func (r *roll) rolled() bool { return r.err == nil && r.page.result && r.page.status == "" }

// failedInBackend tells whether the roll failed as the risky die does.
func (r *roll) failedInBackend() bool {
	return r.err == nil && r.page.status == strconv.Itoa(http.StatusBadGateway)
}

// outcome names how the roll ended.
func (r *roll) outcome() string {
	switch {
	case r.err != nil:
		return r.err.Error()
	case r.page.status != "" && strings.Contains(r.page.problem, r.page.status): // as its heading does
		return shorten(r.page.problem)
	case r.page.status != "":
		return r.page.status + " " + shorten(r.page.problem)
	case !r.page.result:
		return strconv.Itoa(r.status) + " and a page without a result"
	}
	return strconv.Itoa(r.status)
}

// rolls are those that a run makes, in one stretch in which it does nothing
// else, with the services' own counts before and after it.
type rolls struct {
	began, ended time.Time
	all          []*roll

	success, failure *roll // of the risky die; nil: there is none
	fair             *roll // without a trace context
	continued        *roll // with a sampled context, tracestate and baggage
	malformed        *roll // with a traceparent that is none
	unsampled        *roll // with a context that is not sampled

	before, after map[string]samples // by service
	countErr      error
}

// What goes with the rolls that carry a context.
const (
	sentState   = "dicelab=verify"
	sentBaggage = "verify.run=checklist"
)

func (s *rolls) make(ctx context.Context, r *run) {
	p := &probe{run: r}
	s.before, s.countErr = p.counts(ctx)
	s.began = time.Now()
	s.fair = &roll{die: contract.DieFair}
	// The ID begins with zeros, which one in sixteen does, and which some servers
	// drop.
	s.continued = &roll{die: contract.DieFair, sent: http.Header{
		http.CanonicalHeaderKey(contract.HeaderTraceparent): {"00-00" + digits(15) + "-" + digits(8) + "-01"},
		http.CanonicalHeaderKey(contract.HeaderTracestate):  {sentState},
		http.CanonicalHeaderKey(contract.HeaderBaggage):     {sentBaggage},
	}}
	// A trace ID of 31 digits.
	s.malformed = &roll{die: contract.DieFair, sent: http.Header{
		http.CanonicalHeaderKey(contract.HeaderTraceparent): {"00-" + digits(15) + "a-" + digits(8) + "-01"}}}
	s.unsampled = &roll{die: contract.DieFair, sent: http.Header{
		http.CanonicalHeaderKey(contract.HeaderTraceparent): {"00-" + digits(16) + "-" + digits(8) + "-00"}}}
	batch := []*roll{s.fair, s.continued, s.malformed, s.unsampled}
	for ctx.Err() == nil {
		for len(batch) < min(rollsAtOnce, mostRolls-len(s.all)) {
			batch = append(batch, &roll{die: contract.DieRisky})
		}
		s.together(ctx, r, batch)
		if s.success != nil && s.failure != nil || len(s.all) >= mostRolls || s.success == nil && s.failure == nil {
			break // the last: neither outcome among ten means that rolls do not work
		}
		batch = nil
	}
	s.ended = time.Now()
	if s.countErr == nil {
		s.after, s.countErr = s.settle(ctx, p)
	}
}

// together makes some rolls at once.
func (s *rolls) together(ctx context.Context, r *run, batch []*roll) {
	var wait sync.WaitGroup
	for _, one := range batch {
		wait.Go(func() { one.make(ctx, r) })
	}
	wait.Wait()
	for _, one := range batch {
		s.all = append(s.all, one)
		if one.die != contract.DieRisky {
			continue
		}
		if s.success == nil && one.rolled() {
			s.success = one
		}
		if s.failure == nil && one.failedInBackend() {
			s.failure = one
		}
	}
}

func (o *roll) make(ctx context.Context, r *run) {
	ctx, cancel := context.WithTimeout(ctx, rollTimeout)
	defer cancel()
	p := &probe{run: r}
	header := http.Header{"Content-Type": {formType}, "Accept": {"text/html"}}
	maps.Copy(header, o.sent)
	a, err := p.do(ctx, http.MethodPost, r.at(r.Frontend, "/roll"), header, url.Values{"die": {o.die}}.Encode())
	o.status, o.asked, o.err = a.status, p.asked, err
	if err != nil {
		return
	}
	if o.page, o.err = parsePage(a.body); o.err != nil {
		return
	}
	// Without it, what needs the ID says so.
	o.trace, _ = query.ParseTraceparent(a.header.Get(contract.HeaderTraceresponse))
}

// moveEvery is the pause between rolls that keep counters moving: as long as the
// lab's servers scrape and collect apart.
const moveEvery = 2 * time.Second

// move makes rolls again and again until stop: a rate needs a counter that moves
// while it is looked at, and in a lab in which nobody has rolled before, all of a
// run's rolls may fall between two samples.
func (r *run) move(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(moveEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			for _, die := range contract.Dice() {
				(&roll{die: die}).make(ctx, r)
				r.moved.Add(1)
			}
		}
	})
	return func() { cancel(); wait.Wait() }
}

// told says how the rolls ended: how many, and in which ways.
func (s *rolls) told() string {
	count := map[string]int{}
	for _, one := range s.all {
		count[one.outcome()]++
	}
	var parts []string
	for _, outcome := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d × %s", count[outcome], outcome))
	}
	return fmt.Sprintf("%d rolls: %s", len(s.all), strings.Join(parts, ", "))
}

// ids are the trace IDs of the rolls that are recorded.
func (s *rolls) ids() map[string]*roll {
	out := map[string]*roll{}
	for _, one := range s.all {
		if one.trace.Sampled {
			out[one.trace.TraceID] = one
		}
	}
	return out
}

// digits are random bytes as hex digits.
func digits(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // it never fails
	b[0] |= 1           // an ID is not all zeros
	return hex.EncodeToString(b)
}
