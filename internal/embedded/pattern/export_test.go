package pattern

// Tests compare the two ways to match, and the computed size with the compiler's.
var (
	MatchInPieces = (*Pattern).matchInPieces
	SizeOf        = func(p *Pattern) int { return p.size }
)
