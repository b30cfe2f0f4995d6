package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/roller"
	"dicelab/internal/telemetry"
)

func rollerCommand(ctx context.Context, env environment, f *flags) error {
	s := serviceFlags(f, contract.ServiceRoller, contract.PortRoller)
	maxDelay := f.Duration("max-delay", time.Second, "each roll waits for a random time below this; 0 for none")
	errorRate := rate(0.1)
	f.Var(&errorRate, "error-rate", "`share` of risky rolls that fail, 0 to 1")
	var from seed
	f.Var(&from, "seed", "`number` from which chance starts: the same seed, the same rolls (default: chance)")
	if err := f.parse(); err != nil {
		return err
	}
	if *maxDelay < 0 || *maxDelay > time.Minute {
		return usagef("roller: --max-delay %v: want a duration from 0s to 1m", *maxDelay)
	}
	if !from.given {
		from.value = rand.Uint64()
	}
	return s.serve(ctx, env, contract.MsgRollerStarted, func(tel *telemetry.Telemetry, faults *fault.Set) (http.Handler, error) {
		return roller.NewHandler(roller.Options{
			Telemetry: tel, Dice: roller.NewDice(from.value, *maxDelay, float64(errorRate)), Version: version(),
			Faults: faults, Switches: *s.switches, Hosts: s.hosts,
		})
	})
}
