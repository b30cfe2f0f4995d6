package sqlexport

import "time"

// firstWindow is where windows begins: a short time costs little where there is much,
// and where there is little, windows grow fast.
const firstWindow = 10 * time.Second

// windows calls read with stretches of time that together are [from, to), the newest
// first, as servers find traces. read returns how full the answer was: 1 or more if
// it was full, and then read is called again with the last half of the stretch or
// less, unless that would be shorter than leastTime: last reports that it cannot be
// halved.
func windows(from, to time.Time, read func(from, to time.Time, last bool) (fill float64, err error)) error {
	width := firstWindow
	for from.Before(to) {
		start := to.Add(-width)
		if start.Before(from) {
			start = from
		}
		last := width <= leastTime
		fill, err := read(start, to, last)
		if err != nil {
			return err
		}
		if fill >= full && !last {
			width = max(min(width/2, time.Duration(float64(width)*wanted/fill)), leastTime)
			continue
		}
		to = start
		width = min(max(time.Duration(float64(width)*wanted/max(fill, leastFill)), leastTime), maxWindow)
	}
	return nil
}

const (
	// full is the fill of an answer that may not have everything, and nearlyFull the
	// most of one that has.
	full       = 1.0
	nearlyFull = 0.99
	// wanted is the fill for which the next stretch is chosen. A full answer is asked
	// for in vain, and many small ones cost more than a few large ones.
	wanted = 0.8
	// leastFill bounds the growth of stretches.
	leastFill = 0.1
)
