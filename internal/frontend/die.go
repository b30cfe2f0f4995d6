package frontend

// pip is a dot on a die's face, in the units of the page's 100 by 100 drawing.
type pip struct{ X, Y int }

// pips places the dots of 1 to 7 on a grid of three by three. A die that shows
// seven has the six and the middle one.
func pips(value int) []pip {
	const low, middle, high = 24, 50, 76
	var (
		centre    = pip{middle, middle}
		diagonal  = []pip{{low, low}, {high, high}}
		crossing  = []pip{{high, low}, {low, high}}
		midHeight = []pip{{low, middle}, {high, middle}}
	)
	var face []pip
	if value >= 2 {
		face = append(face, diagonal...)
	}
	if value >= 4 {
		face = append(face, crossing...)
	}
	if value >= 6 {
		face = append(face, midHeight...)
	}
	if value%2 == 1 {
		face = append(face, centre)
	}
	return face
}
