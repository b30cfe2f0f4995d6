package doctest

// Match compares what was printed with what is shown, with no ID known.
func Match(shown []string, printed string) error { return ids{}.match(shown, printed) }

// There returns the command that a lab runs for one that is shown.
func (l Lab) There(command string) string { return l.there(command) }
