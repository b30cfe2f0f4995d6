package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

const (
	// askTimeout is the longest time that a program may take to print its version:
	// the largest is 400 MB, and may have to be read from a slow disk.
	askTimeout = 30 * time.Second
	// maxEcho limits how much of a program's output an error repeats, in bytes.
	maxEcho = 200
)

// number matches a semantic version, as in "tempo, version 3.0.3 (branch: …)".
var number = regexp.MustCompile(`\bv?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)`)

// version runs a program with --version, which all servers know, and returns the
// version without "v", or "" if the program was built without one.
func version(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.WaitDelay = time.Second // a child of the program may hold its output open
	out, err := cmd.CombinedOutput()
	out = bytes.TrimSpace(out)
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("it printed no version within %v", askTimeout)
	case err != nil && len(out) > 0:
		return "", fmt.Errorf("asked for its version it failed (%w) and printed %q", err, first(out))
	case err != nil:
		var problem *exec.ExitError
		if !errors.As(err, &problem) {
			return "", errors.Unwrap(err) // without the path, which the caller names
		}
		return "", fmt.Errorf("asked for its version it failed (%w)", err)
	}
	match := number.FindSubmatch(out)
	switch {
	case match != nil:
		return string(match[1]), nil
	case strings.Contains(string(out), "version"): // built without one, as Homebrew's Loki is
		return "", nil
	default:
		return "", fmt.Errorf("asked for its version it printed %q", first(out))
	}
}

// first returns the first line of an output, cut to maxEcho bytes.
func first(out []byte) string {
	line, _, _ := strings.Cut(string(out), "\n")
	return line[:min(len(line), maxEcho)]
}
