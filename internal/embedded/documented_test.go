package embedded_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/metrics"
	"dicelab/internal/embedded/otlp"
	"dicelab/internal/embedded/store"
	"dicelab/internal/embedded/streams"
	"dicelab/internal/web"
)

// The bounds in ARCHITECTURE.md are those of the code.
func TestDocumentedBounds(t *testing.T) {
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	thousands := func(n int) string { return fmt.Sprintf("%d,%03d", n/1000, n%1000) }
	for _, row := range []string{
		fmt.Sprintf("| %d MiB, of which one request may have half, and the lab's own services alone the last %d MiB |", intake.DefaultBytes>>20, intake.DefaultBytes/intake.ReservedPart>>20),
		fmt.Sprintf("| %d MiB as JSON,", store.MaxTraceBytes>>20),
		fmt.Sprintf("a name of 100 bytes; %s, the last %d for the lab's own lines |", thousands(streams.Max), streams.Reserve),
		fmt.Sprintf("| %d MiB; nested %d deep |", otlp.MaxSpanBytes>>20, otlp.MaxDepth),
		fmt.Sprintf("every server of the lab | %s |", thousands(web.MaxConnections)),
		fmt.Sprintf("| %d s, 30 s, 1 min |", metrics.DefaultTimeout/time.Second),
		fmt.Sprintf("| %d days; %d MiB |", metrics.DefaultRetention/(24*time.Hour), metrics.DefaultRetentionBytes>>20),
	} {
		if !strings.Contains(string(text), row) {
			t.Errorf("ARCHITECTURE.md has no %q", row)
		}
	}
}
