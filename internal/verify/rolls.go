package verify

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/verify/compare"
	"dicelab/internal/verify/frontpage"
	"dicelab/internal/wait"
)

// The number of rolls. The risky die fails one time in ten: a first batch of 30 has
// no failure in 1 run of 15, all of mostRolls in 1 run of 25,000.
const (
	rollsAtOnce = 30
	mostRolls   = 100
)

// rollEvery is the pause between rolls that keep counters moving, well below the
// time between two scrapes.
const rollEvery = 500 * time.Millisecond

// rolls makes the rolls of a run. Its life: startRolls makes those that are counted,
// in one stretch in which the run does nothing else, and reads the services' own
// counts before and after; keepRolling makes more in the background; stop ends
// that.
type rolls struct {
	began, ended time.Time         // of the stretch
	all          []*frontpage.Roll // of the stretch

	success, failure *frontpage.Roll // of the risky die; nil: there is none
	fair             *frontpage.Roll // without a trace context
	continued        *frontpage.Roll // with a sampled context, tracestate and baggage
	malformed        *frontpage.Roll // with an invalid traceparent
	unsampled        *frontpage.Roll // with a context that is not sampled

	before, after map[string]compare.Samples // by service
	countErr      error

	more   atomic.Int64 // made by keepRolling
	cancel context.CancelFunc
	wait   sync.WaitGroup
}

// What goes with the rolls that carry a context.
const (
	sentState   = "dicelab=verify"
	sentBaggage = "verify.run=checklist"
)

// startRolls makes rolls until the risky die has brought a value and has failed, or
// mostRolls are made.
func startRolls(ctx context.Context, r *run) *rolls {
	s := &rolls{cancel: func() {}}
	p := &Probe{run: r}
	s.before, s.countErr = p.counts(ctx)
	s.began = time.Now()
	for ctx.Err() == nil {
		batch := s.special()
		for len(batch) < min(rollsAtOnce, mostRolls-len(s.all)) {
			batch = append(batch, &frontpage.Roll{Die: contract.DieRisky})
		}
		var made sync.WaitGroup
		for _, one := range batch {
			made.Go(func() { r.roll(ctx, one) })
		}
		made.Wait()
		for _, one := range batch {
			s.add(one)
		}
		none := s.success == nil && s.failure == nil // in a whole batch: rolls do not work
		if none || len(s.all) >= mostRolls || s.complete() {
			break
		}
	}
	s.ended = time.Now()
	if s.countErr == nil {
		s.after, s.countErr = s.settle(ctx, p)
	}
	return s
}

// complete reports whether there is a roll of every kind.
func (s *rolls) complete() bool {
	return s.success != nil && s.failure != nil &&
		s.fair.Rolled() && s.continued.Rolled() && s.malformed.Rolled() && s.unsampled.Rolled()
}

// special makes those of the rolls with a context of their own that have not brought a
// value.
func (s *rolls) special() (batch []*frontpage.Roll) {
	// The ID of the first begins with zeros, which one in sixteen does, and which some
	// servers drop; that of the second has 31 digits.
	const parent, state, baggage = contract.HeaderTraceparent, contract.HeaderTracestate, contract.HeaderBaggage
	for _, one := range []struct {
		at   **frontpage.Roll
		sent map[string]string
	}{
		{&s.fair, nil},
		{&s.continued, map[string]string{state: sentState, baggage: sentBaggage,
			parent: "00-00" + digits(15) + "-" + digits(8) + "-01"}},
		{&s.malformed, map[string]string{parent: "00-" + digits(15) + "a-" + digits(8) + "-01"}},
		{&s.unsampled, map[string]string{parent: "00-" + digits(16) + "-" + digits(8) + "-00"}},
	} {
		if *one.at != nil && (*one.at).Rolled() {
			continue
		}
		*one.at = &frontpage.Roll{Die: contract.DieFair, Sent: http.Header{}}
		for name, value := range one.sent {
			(*one.at).Sent.Set(name, value)
		}
		batch = append(batch, *one.at)
	}
	return batch
}

func (s *rolls) add(one *frontpage.Roll) {
	s.all = append(s.all, one)
	if one.Die != contract.DieRisky {
		return
	}
	if s.success == nil && one.Rolled() {
		s.success = one
	}
	if s.failure == nil && one.FailedInBackend() {
		s.failure = one
	}
}

func (r *run) roll(ctx context.Context, one *frontpage.Roll) {
	one.Make(ctx, r.transport, r.at(r.Frontend, "/roll"), r.agent())
}

// keepRolling makes rolls until stop. A rate needs a counter that moves between two
// scrapes, and in a lab without earlier rolls, all of a run's rolls may fall between
// two of them.
func (s *rolls) keepRolling(ctx context.Context, r *run) {
	ctx, s.cancel = context.WithCancel(ctx)
	s.wait.Go(func() {
		for wait.Sleep(ctx, rollEvery) == nil {
			for _, die := range contract.Dice() {
				r.roll(ctx, &frontpage.Roll{Die: die})
				s.more.Add(1)
			}
		}
	})
}

// stop ends what keepRolling began. It returns the number of all rolls.
func (s *rolls) stop() int {
	if s == nil {
		return 0
	}
	s.cancel()
	s.wait.Wait()
	return len(s.all) + int(s.more.Load())
}

// reached is the number of rolls of the stretch that a service has answered.
func (s *rolls) reached(service string) (n int) {
	for _, one := range s.all {
		if service == contract.ServiceFrontend || one.Rolled() || one.FailedInBackend() {
			n++
		}
	}
	return n
}

// over is the end of the stretch. No rolls have ended long ago.
func (s *rolls) over() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.ended
}

// succeeded returns a roll of the risky die that brought a value.
func (s *rolls) succeeded() (*frontpage.Roll, error) {
	if s.success == nil {
		return nil, errors.New("no roll brought a value")
	}
	return s.success, nil
}

// failed returns a roll of the risky die that failed in the dice roller.
func (s *rolls) failed() (*frontpage.Roll, error) {
	if s.failure == nil {
		return nil, errors.New("no roll of the risky die failed in the dice roller")
	}
	return s.failure, nil
}

// summary lists how the rolls ended, and how many of them.
func (s *rolls) summary() string {
	count := map[string]int{}
	for _, one := range s.all {
		count[one.Outcome()]++
	}
	out := plural(len(s.all), "roll") + ":"
	for _, outcome := range slices.Sorted(maps.Keys(count)) {
		out += fmt.Sprintf(" %d × %s,", count[outcome], outcome)
	}
	return strings.TrimSuffix(out, ",")
}

// ids returns the rolls that are recorded, by trace ID.
func (s *rolls) ids() map[string]*frontpage.Roll {
	out := map[string]*frontpage.Roll{}
	for _, one := range s.all {
		if one.Trace.Sampled {
			out[one.Trace.TraceID] = one
		}
	}
	return out
}

// digits returns random bytes as hex digits.
func digits(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // it never fails
	b[0] |= 1           // an ID is not all zeros
	return hex.EncodeToString(b)
}
