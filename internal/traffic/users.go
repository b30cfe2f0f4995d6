package traffic

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/wait"
)

// Users is a run of simulated users. Each makes 1 to MaxRolls rolls and thinks
// before each.
type Users struct {
	Count    int
	MaxRolls int
	Think    Range // how long a user thinks between two rolls
	// Duration, unless 0, is the time for which the number of users is kept up: a user that leaves
	// is replaced until it has passed.
	Duration time.Duration
	Forever  bool // a user that leaves is replaced until the run is stopped
}

// Check returns an error if the run is not possible.
func (u Users) Check() error {
	switch {
	case u.Count < 1:
		return fmt.Errorf("%d users: want at least 1", u.Count)
	case u.MaxRolls < 1:
		return fmt.Errorf("%d rolls a user: want at least 1", u.MaxRolls)
	case u.Duration < 0:
		return fmt.Errorf("duration %v: want one above 0s", u.Duration)
	}
	return u.Think.check()
}

// Users makes the rolls of users, all at once, until each has left or ctx ends.
func (g *Generator) Users(ctx context.Context, u Users) error {
	if err := u.Check(); err != nil {
		return err
	}
	ctx, cancel := g.begin(ctx, u.Duration)
	defer cancel()
	g.Telemetry.Logger.Info(contract.MsgTrafficStarted, contract.FieldBackendURL, g.Target.URL(),
		contract.FieldUsers, u.Count, contract.FieldSeed, g.Seed)
	lanes := make([]http.RoundTripper, min(u.Count, g.Connections)) // a user has a connection of its own, as a browser has
	for i := range lanes {
		lanes[i] = g.transport(1)
	}
	var all sync.WaitGroup
	for slot := range u.Count {
		all.Go(func() {
			for n := slot; ; n += u.Count { // a user's number, and with it all that the user does, is the seed's matter alone
				g.visit(ctx, u, n, lanes[slot%len(lanes)])
				if ctx.Err() != nil || u.Duration == 0 && !u.Forever {
					return
				}
			}
		})
	}
	all.Wait()
	g.finish()
	return aborted(ctx)
}

// finish stops the clock and logs the end of the run.
func (g *Generator) finish() {
	g.counter.end()
	rolls, failed := g.counter.counts()
	g.Telemetry.Logger.Info(contract.MsgTrafficFinished, contract.FieldRolls, rolls, contract.FieldFailed, failed)
}

// visit runs one user.
func (g *Generator) visit(ctx context.Context, u Users, n int, via http.RoundTripper) {
	user := fmt.Sprintf("user-%d", n+1)
	chance := rand.New(rand.NewPCG(g.Seed, uint64(n)))
	rolls := 1 + chance.IntN(u.MaxRolls)
	made, failed := 0, 0
	for number := 1; number <= rolls; number++ {
		share, die := chance.Float64(), g.pick(chance.Uint64())
		think := u.Think.at(share)
		if number == 1 { // users do not arrive all at the same moment
			think = time.Duration(share * float64(u.Think.Max))
		}
		if wait.Sleep(ctx, think) != nil {
			break
		}
		r := g.roll(order{user: user, number: number, die: die, via: via})
		g.counter.add(r)
		made++
		if r.Failed() {
			failed++
		}
	}
	g.Telemetry.Logger.Info(contract.MsgUserFinished, contract.FieldUserID, user, contract.FieldRolls, made, contract.FieldFailed, failed)
}
