package intake

import (
	"context"
	"runtime/debug"
)

// MaxQueries is the number of queries under way at once on one API: each may have a
// trace, or what it has found, in memory, and the lab shares few cores with what it
// measures. (Prometheus's default is 20.)
const MaxQueries = 4

// What a program that may have little memory has for queries: the largest
// take some 90 MiB, a trace of 40,000 spans as well as a million samples.
const (
	memoryOfRest  = 64 << 20
	memoryOfQuery = 96 << 20
)

// Turns is a semaphore that bounds the queries of an API.
type Turns chan struct{}

// NewTurns returns a semaphore for [MaxQueries] queries, or fewer, but at least one,
// where memory, the bytes that the program may have, is too little for them. 0 means
// the limit of Go's runtime (GOMEMLIMIT).
func NewTurns(memory int64) Turns {
	if memory == 0 {
		memory = debug.SetMemoryLimit(-1) // reads it
	}
	return make(Turns, min(max((memory-memoryOfRest)/memoryOfQuery, 1), MaxQueries))
}

// Take acquires a turn, which Leave releases. It fails with the error of ctx if that
// ends first.
func (t Turns) Take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Leave releases a turn.
func (t Turns) Leave() { <-t }
