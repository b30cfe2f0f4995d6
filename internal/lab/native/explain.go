package native

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"dicelab/internal/lab/child"
)

// repeatedLines limits how many of a server's last lines an error repeats. Its log file has all.
const repeatedLines = 3

// explain shortens a server's last output in err. If some of the last
// lines are errors, they are kept as the reason; the others, and what the servers
// print about their flags after an error, are dropped.
func explain(err error) error {
	ended, ok := errors.AsType[*child.EndedError](err)
	if !ok {
		return err
	}
	lines := slices.DeleteFunc(slices.Clone(ended.Lines), func(l string) bool { return strings.TrimSpace(l) == "" })
	routine := regexp.MustCompile(`level=(debug|info|warn)`)
	alarming := regexp.MustCompile(`(?i)level=(error|fatal)|\berror\b|\bpanic:|failed|fatal|invalid`)
	if bad := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !alarming.MatchString(l) || routine.MatchString(l) }); len(bad) > 0 {
		lines = bad
	}
	short := *ended
	short.Lines = lines[max(0, len(lines)-repeatedLines):]
	return &short
}
