package quest

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	"dicelab/internal/contract"
)

// Incident is a quest with everything that its seed decides.
type Incident struct {
	Seed    uint64        `json:"seed"`
	Cause   string        `json:"cause"`
	Service string        `json:"service"`         // where
	Die     string        `json:"die,omitempty"`   // whose rolls are affected; "" for all
	Size    time.Duration `json:"size,omitempty"`  // nanoseconds: how slow, how far off, after how long
	Share   int           `json:"share,omitempty"` // percent
	Count   int           `json:"count,omitempty"`
	User    string        `json:"user,omitempty"` // who alone rolls in the incident
	// Numbers of rolls before, in and after the incident; 0 for half a crowd.
	Before int `json:"before"`
	Within int `json:"within"`
	After  int `json:"after"`
	// Oddities that are no part of it.
	Stranger string `json:"stranger,omitempty"` // a user who asks for a die that does not exist
	Blip     string `json:"blip,omitempty"`     // a service with a slow roll before
}

// Fault returns the setting that mends the incident, SERVICE:FAULT.
func (in Incident) Fault() string {
	for service, specs := range causes()[in.Cause].specs(in) {
		for _, spec := range specs {
			name, _, _ := strings.Cut(spec, "=")
			return service + ":" + name
		}
	}
	return ""
}

// Draw makes the incident of a seed.
func (q Quest) Draw(seed uint64) Incident {
	if !q.incident() {
		return Incident{Seed: seed}
	}
	name := fnv.New64a()
	_, _ = name.Write([]byte(q.Name)) // a hash never fails
	chance := rand.New(rand.NewPCG(seed, name.Sum64()))
	in := Incident{Seed: seed, Cause: pick(chance, q.causes), Service: pick(chance, contract.Services()), Die: pick(chance, contract.Dice()),
		Share: 70 + 5*chance.IntN(5), Count: 2 + chance.IntN(3), Before: 12 + chance.IntN(9), Within: 12 + chance.IntN(9), After: 6 + chance.IntN(5)}
	tenths := time.Duration(chance.IntN(16)) * 100 * time.Millisecond
	switch in.Cause {
	case "slow":
		in.Size = 1800*time.Millisecond + tenths
	case "needle":
		in.Size = 2800*time.Millisecond + tenths/2 // with the roll's own second below the front end's limit of 5 s
		in.User, in.Before, in.Within, in.After = fmt.Sprintf("user-%d", 1+chance.IntN(users)), 0, 1, 0
	case "clock":
		in.Size = 3*time.Second + 5*tenths
		if chance.IntN(2) == 0 {
			in.Size = -in.Size
		}
	case "timeout":
		in.Size = 150*time.Millisecond + tenths/8
	}
	if in.Cause == "retries" || in.Cause == "timeout" {
		in.Service = contract.ServiceFrontend
	}
	if c := causes()[in.Cause]; c.background == nil && in.Cause != "errors" {
		in.Die = ""
	}
	if in.Cause == "timeout" {
		in.Die = ""
	}
	switch {
	case in.Cause == "needle" || in.Cause == "counter":
	case chance.IntN(2) == 0:
		in.Stranger = fmt.Sprintf("user-%d", users+1+chance.IntN(users))
	default:
		in.Blip = pick(chance, contract.Services())
	}
	return in
}

func pick[T any](chance *rand.Rand, list []T) T { return list[chance.IntN(len(list))] }

func (r Roll) fell() bool { return strings.Contains(strings.ToLower(r.Detail), fell) }
