package roller

import (
	"math/rand/v2"
	"sync"
	"time"

	"dicelab/internal/contract"
)

// Dice draws rolls. It is safe for concurrent use. Two Dice with the same seed
// give the same rolls in the same order, whichever dice are asked for.
type Dice struct {
	mu        sync.Mutex
	random    *rand.Rand
	maxDelay  time.Duration
	errorRate float64
}

// draw is the random part of one roll.
type draw struct {
	delay time.Duration
	fails bool
	value int // meaningless when it fails
	luck  float64
}

// NewDice makes dice that answer after a delay in [0, maxDelay), and whose risky
// one fails at errorRate, 0 to 1.
func NewDice(seed uint64, maxDelay time.Duration, errorRate float64) *Dice {
	return &Dice{random: rand.New(rand.NewPCG(seed, 0)), maxDelay: maxDelay, errorRate: errorRate}
}

// draw takes the same four numbers from the source for every roll, so that one
// roll's kind never changes the next roll's luck.
func (d *Dice) draw(die string) draw {
	d.mu.Lock()
	defer d.mu.Unlock()
	delay, fails, value, luck := d.random.Float64(), d.random.Float64(), 1+d.random.IntN(6), d.random.Float64()
	roll := draw{delay: time.Duration(delay * float64(d.maxDelay)), value: value, luck: luck}
	if die == contract.DieRisky {
		roll.value++ // 2 to 7: what its risk buys
		roll.fails = fails < d.errorRate
	}
	return roll
}
