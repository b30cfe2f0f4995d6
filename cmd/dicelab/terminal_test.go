package main_test

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dicelab/internal/contract"
)

// What a client sends to a service comes back in the output of up, in the spans
// that the service writes to its standard error here: with its control characters
// made visible.
func TestLinesOfChildrenAreClean(t *testing.T) {
	t.Parallel()
	l := startLab(t, t.TempDir(), []string{"OTEL_TRACES_EXPORTER=console", "OTEL_BSP_SCHEDULE_DELAY=10"})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.url(t, contract.ServiceRoller)+"/roll?die=fair", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "agent \u009b31m \u202e \x9b end")
	resp, err := l.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("answered %d, %v", resp.StatusCode, err)
	}
	eventually(t, "the span in the output", func() error { return l.err.shows("agent ") })
	l.signal(t, syscall.SIGINT)
	if status := l.wait(t); status != 0 {
		t.Errorf("exit status %d", status)
	}
	output := l.out.String() + l.err.String()
	if !strings.Contains(output, `agent \u009b31m \u202e \ufffd end`) {
		t.Error("the output does not show what the client sent")
	}
	if i := strings.IndexFunc(output, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || 0x7f <= r && r <= 0x9f || r == 0x202e }); i >= 0 {
		t.Errorf("the output gets a control character: %q", output[i:min(len(output), i+40)])
	}
}

// Standard output and standard error are opened in one place, so that everything
// that is printed is clean. The exporter of spans to the console and the command
// that lists licences have theirs.
func TestOutputIsWrapped(t *testing.T) {
	direct := regexp.MustCompile(`os\.Std(out|err)\b|\bfmt\.Print|\bprintln\(`)
	allowed := []string{"cmd/dicelab/main.go", "internal/telemetry/tracing.go", "internal/licences/main.go"}
	for _, dir := range []string{"cmd", "internal", "stack"} {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			name := strings.TrimPrefix(filepath.ToSlash(path), "../../")
			text, err := os.ReadFile(path)
			if found := direct.Find(text); found != nil && !slices.Contains(allowed, name) {
				t.Errorf("%s uses %s: write to environment.stdout or stderr, which are cleaned", name, found)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
