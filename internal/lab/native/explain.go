package native

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"dicelab/internal/lab/child"
)

// said is how many of a server's last lines an error repeats. The whole is in
// its log file.
const said = 3

// explain shortens what a server said before it ended. Where some of the last
// lines are errors, those are why it ended; the others, and what the servers
// print of their flags after an error, are not.
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
	short.Lines = lines[max(0, len(lines)-said):]
	return &short
}
