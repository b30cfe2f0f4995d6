package intake

import "context"

// MaxQueries is the number of queries under way at once on one API: each may have a
// trace, or what it has found, in memory, and the lab shares few cores with what it
// measures. (Prometheus's default is 20.)
const MaxQueries = 4

// Turns is a semaphore that bounds the queries of an API.
type Turns chan struct{}

// NewTurns returns a semaphore for [MaxQueries] queries.
func NewTurns() Turns { return make(Turns, MaxQueries) }

// Take waits for a turn, which Leave gives back, or until ctx ends, and then
// returns its error.
func (t Turns) Take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Leave gives a turn back.
func (t Turns) Leave() { <-t }
