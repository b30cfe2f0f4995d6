package main

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"dicelab/internal/lab"
)

// The share of a container's memory that the garbage collector keeps a process
// below. Each has memory besides that the collector does not know of.
const (
	shareOfStack   = 0.55 // of the lab's own process, beside two services, or three
	shareOfChild   = 0.12 // of each of these
	shareOfProcess = 0.8  // of a process that has its container to itself
)

// memoryOfStack is where the collector of the lab's own process works harder, in
// bytes: without it the lab takes half as much again under load, and no less time.
// Queries may need more, and get it.
const memoryOfStack = 128 << 20

const envMemoryLimit = "GOMEMLIMIT" // of Go's runtime, see runtime/debug.SetMemoryLimit

// limitMemory sets the memory limit of Go's runtime to a share of what the
// container may have, and to most bytes at most, unless GOMEMLIMIT sets it. It
// returns the bytes that the container may have, 0 if there is no container with a
// limit, or if GOMEMLIMIT is set.
func limitMemory(getenv func(string) string, share float64, most uint64) (container uint64, err error) {
	if getenv(envMemoryLimit) != "" {
		return 0, nil
	}
	container, err = memlimit.FromCgroup()
	switch {
	case errors.Is(err, memlimit.ErrNoLimit), errors.Is(err, memlimit.ErrCgroupsNotSupported), errors.Is(err, memlimit.ErrNoCgroup):
		container = 0
	case err != nil:
		return 0, &lab.UsageError{Err: fmt.Errorf("finding the container's memory limit (%s sets one): %w", envMemoryLimit, err)}
	}
	limit := most
	if container > 0 {
		limit = min(limit, uint64(share*float64(container)))
	}
	debug.SetMemoryLimit(int64(min(limit, math.MaxInt64)))
	return container, nil
}
