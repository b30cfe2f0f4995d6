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
	errorRate *float64
	seed      **uint64 // nil: not given
}

func defineDice(f *flags) *diceFlags {
	return &diceFlags{
		maxDelay:  f.duration("max-delay", time.Second, 0, time.Minute, "each roll waits for a random `time` below this; 0s for none"),
		errorRate: f.share("error-rate", 0.1, "`share` of risky rolls that fail, 0 to 1"),
		seed:      f.number("seed", "`number` from which chance starts: the same seed, the same rolls (default: chance)"),
	}
}

// args are the flags that say the same to a child.
func (d *diceFlags) args() []string {
	args := []string{"--max-delay", d.maxDelay.String(), "--error-rate", shareText(*d.errorRate)}
	if *d.seed != nil {
		args = append(args, "--seed", strconv.FormatUint(**d.seed, 10))
	}
	return args
}

func (d *diceFlags) dice() *roller.Dice {
	from := rand.Uint64()
	if *d.seed != nil {
		from = **d.seed
	}
	return roller.NewDice(from, *d.maxDelay, *d.errorRate)
}
