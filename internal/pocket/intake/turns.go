package intake

import "context"

// MaxQueries is how many queries are under way at once on one API: each may have a
// trace, or what it has found, in memory, and the lab shares few cores with what it
// measures. (Prometheus's default is 20.)
const MaxQueries = 8

// Turns bound the queries of an API: who finds none waits.
type Turns chan struct{}

// NewTurns makes [MaxQueries] of them.
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
