package loki

import (
	"crypto/sha256"
	"time"

	"dicelab/internal/pocket/logql"
	"dicelab/internal/pocket/store"
)

// repeats finds lines that repeat another of the same stream, time and text, in
// lines that come in order of time. Loki stores such a line once, so that a client
// may send again what it does not know to have arrived; here it is stored, and
// told once.
type repeats struct {
	at    time.Time
	first store.Line
	seen  map[[sha256.Size]byte]bool // lines of that time, once there are two
}

func (r *repeats) again(l store.Line) bool {
	if !l.Time.Equal(r.at) {
		*r = repeats{at: l.Time, first: l}
		return false
	}
	if r.seen == nil {
		r.seen = map[[sha256.Size]byte]bool{identity(r.first): true}
	}
	id := identity(l)
	again := r.seen[id]
	r.seen[id] = true
	return again
}

// identity is short, however long the line is: many may have one time.
func identity(l store.Line) [sha256.Size]byte {
	return sha256.Sum256([]byte(logql.FormatLabels(l.Stream) + l.Text))
}
