package sqlexport

import "time"

// firstWindow is the length of the first time range of windows. A short range costs little where
// traces are dense, and the ranges grow fast where they are sparse.
const firstWindow = 10 * time.Second

// windows calls read with time ranges that together are [from, to), the newest first, as servers
// find traces. read returns how full the response was: 1 or more if it was full. Then read is
// called again with the last half of the range or less, unless that would be shorter than
// leastTime: last reports that it cannot be halved.
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
			width = max(min(width/2, time.Duration(float64(width)*targetFill/fill)), leastTime)
			continue
		}
		to = start
		width = min(max(time.Duration(float64(width)*targetFill/max(fill, leastFill)), leastTime), maxWindow)
	}
	return nil
}

const (
	// full is the fill of a response that may not have everything, and nearlyFull the largest of
	// one that has.
	full       = 1.0
	nearlyFull = 0.99
	// targetFill is the fill for which the next range is chosen. A query with a full response is
	// wasted, and many small ones cost more than a few large ones.
	targetFill = 0.8
	// leastFill bounds the growth of stretches.
	leastFill = 0.1
)
