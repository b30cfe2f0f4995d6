package explorer

import (
	"fmt"
	"hash/fnv"
	"sync"

	"dicelab/internal/contract"
)

// palette gives each service a colour: a class of the style sheet, the same on every
// page for as long as the explorer runs. It may be used by several goroutines.
type palette struct {
	mu    sync.Mutex
	slots map[string]int
	taken [colours]int // services that have a colour
}

const (
	// colours is the number of colours beside those of the lab's own services: c-v0
	// to c-v8.
	colours = 9
	// maxColoured bounds the services that the palette keeps. Further ones have a
	// colour by their name alone.
	maxColoured = 10_000
)

func newPalette() *palette { return &palette{slots: map[string]int{}} }

// class returns the class that colours a service. A service prefers the colour that
// its name leads to, so that it is mostly the same after a restart, and has another one
// while others have that and some colour is less used.
func (p *palette) class(service string) string {
	switch service {
	case contract.ServiceFrontend:
		return "c-frontend"
	case contract.ServiceRoller:
		return "c-roller"
	case contract.ServiceTraffic:
		return "c-traffic"
	case "", contract.ClientUser:
		return "c-other"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	slot, known := p.slots[service]
	if !known {
		hash := fnv.New32a()
		_, _ = hash.Write([]byte(service)) // a hash takes everything
		slot = int(hash.Sum32() % colours)
		for i := range colours {
			if next := (slot + i) % colours; p.taken[next] < p.taken[slot] {
				slot = next
			}
		}
		if len(p.slots) < maxColoured {
			p.slots[service] = slot
			p.taken[slot]++
		}
	}
	return fmt.Sprintf("c-v%d", slot)
}
