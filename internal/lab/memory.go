package lab

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// The share of a container's memory that the garbage collector keeps a process
// below. Each process has memory besides that the collector does not know of.
const (
	ShareOfLab     = 0.55 // of the process of "dicelab up", beside two or three services
	ShareOfProcess = 0.8  // of a process that has its container to itself
	shareOfChild   = 0.12 // of each service of "dicelab up"
)

// MemoryOfLab is the size, in bytes, at which the collector of the lab's own process
// works harder: without it the lab takes half as much again under load, and no less
// time. Queries may need more, and get it.
const MemoryOfLab = 128 << 20

const envMemoryLimit = "GOMEMLIMIT" // of Go's runtime, see runtime/debug.SetMemoryLimit

// Container is the memory limit of this process's container in bytes. It is 0 if
// there is no container with a limit, or if GOMEMLIMIT is set.
type Container uint64

// LimitMemory sets the memory limit of Go's runtime to a share of the container's,
// and to at most most bytes, unless GOMEMLIMIT sets it. It returns the container's.
func LimitMemory(getenv func(string) string, share float64, most uint64) (Container, error) {
	if getenv(envMemoryLimit) != "" {
		return 0, nil
	}
	container, err := memlimit.FromCgroup()
	switch {
	case errors.Is(err, memlimit.ErrNoLimit), errors.Is(err, memlimit.ErrCgroupsNotSupported),
		errors.Is(err, memlimit.ErrNoCgroup):
		container = 0
	case err != nil:
		return 0, &UsageError{Err: fmt.Errorf("finding the container's memory limit (%s sets one): %w", envMemoryLimit, err)}
	}
	limit := most
	if container > 0 {
		limit = min(limit, uint64(share*float64(container)))
	}
	debug.SetMemoryLimit(int64(min(limit, math.MaxInt64)))
	return Container(container), nil
}

// OfLab returns the bytes that the lab's own process may have; 0 means that GOMEMLIMIT
// says how many.
func (c Container) OfLab(getenv func(string) string) int64 {
	switch {
	case getenv(envMemoryLimit) != "":
		return 0
	case c > 0:
		return int64(ShareOfLab * float64(c))
	}
	return math.MaxInt64
}

// ChildEnv returns the environment variable that limits the memory of one child,
// if the container has a limit.
func (c Container) ChildEnv() []string {
	if c == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s=%d", envMemoryLimit, uint64(shareOfChild*float64(c)))}
}
