package main

import (
	"math/rand/v2"
	"strconv"
	"time"

	"dicelab/internal/roller"
)

// diceFlags is what chance can be told, by the roller and by up.
type diceFlags struct {
	maxDelay  *time.Duration
	errorRate rate
	seed      seed
}

func defineDice(f *flags) *diceFlags {
	d := &diceFlags{errorRate: 0.1}
	d.maxDelay = f.Duration("max-delay", time.Second, "each roll waits for a random time below this; 0 for none")
	f.Var(&d.errorRate, "error-rate", "`share` of risky rolls that fail, 0 to 1")
	f.Var(&d.seed, "seed", "`number` from which chance starts: the same seed, the same rolls (default: chance)")
	return d
}

func (d *diceFlags) check() error {
	if *d.maxDelay < 0 || *d.maxDelay > time.Minute {
		return usagef("--max-delay %v: want a duration from 0s to 1m", *d.maxDelay)
	}
	return nil
}

// args are the flags that say the same to a child.
func (d *diceFlags) args() []string {
	args := []string{"--max-delay", d.maxDelay.String(), "--error-rate", d.errorRate.String()}
	if d.seed.given {
		args = append(args, "--seed", strconv.FormatUint(d.seed.value, 10))
	}
	return args
}

func (d *diceFlags) dice() *roller.Dice {
	from := d.seed.value
	if !d.seed.given {
		from = rand.Uint64()
	}
	return roller.NewDice(from, *d.maxDelay, float64(d.errorRate))
}
