package loki

import (
	"crypto/sha256"
	"time"

	"dicelab/internal/embedded/logql"
	"dicelab/internal/embedded/store"
)

// duplicates finds lines with the same stream, time and text as an earlier one, in
// lines that come in order of time. Loki stores such a line once, so that a client may
// send a line again if it does not know whether it arrived. This store keeps
// duplicates, and queries return them once.
type duplicates struct {
	at    time.Time
	first store.Line
	seen  map[[sha256.Size]byte]bool // lines of that time, once there are two
}

// again reports whether l is a duplicate of an earlier line.
func (r *duplicates) again(l store.Line) bool {
	if !l.Time.Equal(r.at) {
		*r = duplicates{at: l.Time, first: l}
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

// identity returns a hash of a line, because many long lines may have one time.
func identity(l store.Line) [sha256.Size]byte {
	return sha256.Sum256([]byte(logql.FormatLabels(l.Stream) + l.Text))
}
