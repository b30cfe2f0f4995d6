package cli

import (
	"fmt"
	"io"
	"strings"

	"dicelab/internal/lab"
)

// Fail prints the error with which a command ends, and its hint, and returns the exit
// status.
func Fail(err error, stderr io.Writer) int {
	for line := range strings.SplitSeq(strings.TrimSpace(err.Error()), "\n") {
		if !strings.HasPrefix(line, " ") { // an indented line belongs to the line above
			line = "dicelab: error: " + line
		}
		fmt.Fprintln(stderr, line)
	}
	if hint := lab.HintOf(err); hint != "" {
		fmt.Fprintf(stderr, "dicelab: hint: %s\n", hint)
	}
	return lab.ExitCode(err)
}
