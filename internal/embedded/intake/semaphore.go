package intake

import (
	"context"
	"runtime/debug"
)

// MaxQueries is the largest number of queries that one API answers at once. Each may
// have a trace, or its result, in memory, and the lab shares few cores with what it
// measures. (Prometheus's default is 20.)
const MaxQueries = 4

// Memory that a program with a memory limit reserves for one query and for the rest.
// The largest queries take some 90 MiB: a trace of 40,000 spans, or a million samples.
const (
	memoryOfRest  = 64 << 20
	memoryOfQuery = 96 << 20
)

// Semaphore bounds the number of queries that an API answers at once.
type Semaphore chan struct{}

// NewSemaphore returns a semaphore for [MaxQueries] queries. If memory, the number of
// bytes that the program may have, is too little for them, it is for fewer, but at
// least for one. A memory of 0 means the limit of Go's runtime (GOMEMLIMIT).
func NewSemaphore(memory int64) Semaphore {
	if memory == 0 {
		memory = debug.SetMemoryLimit(-1) // reads it
	}
	return make(Semaphore, min(max((memory-memoryOfRest)/memoryOfQuery, 1), MaxQueries))
}

// Acquire waits until fewer queries are under way than the semaphore allows. The
// caller must call Release when its query has ended. If ctx ends first, Acquire
// returns the error of ctx, and Release must not be called.
func (s Semaphore) Acquire(ctx context.Context) error {
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Release ends what Acquire began.
func (s Semaphore) Release() { <-s }
