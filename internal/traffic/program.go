package traffic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// RunProgram runs the generator as a program of its own, as a person would. Its
// arguments must ask for a report as JSON and for the log on standard error.
func RunProgram(ctx context.Context, environ []string, path string, args ...string) (r Report, log string, err error) {
	var out, lines bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = environ, &out, &lines
	if err := cmd.Run(); err != nil {
		return r, "", fmt.Errorf("%w: %s", err, strings.TrimSpace(lines.String()))
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, "", fmt.Errorf("reading its report: %w", err)
	}
	return r, lines.String(), nil
}

// TraceIDs lists the traces of the rolls that the report shows.
func (r Report) TraceIDs() (ids []string) {
	for _, roll := range slices.Concat(r.Slowest, r.Failures) { // a roll may be among both
		if !slices.Contains(ids, roll.TraceID) {
			ids = append(ids, roll.TraceID)
		}
	}
	return ids
}

// DroppedSpans returns the number of spans that were dropped, for any reason.
func (r Report) DroppedSpans() (n int) {
	for _, dropped := range r.Dropped {
		n += dropped
	}
	return n
}
