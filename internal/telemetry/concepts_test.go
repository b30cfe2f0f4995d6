package telemetry_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/concepts.md shows the set-up as it is: each block of Go is quoted from the
// file that the last link alone on a line leads to, to the letter and in order.
// "…" stands for lines that are left out.
func TestConceptsQuoteTheCode(t *testing.T) {
	const docs = "../../docs"
	text, err := os.ReadFile(filepath.Join(docs, "concepts.md"))
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`^\[[^]]+\]\(([^)]+\.go)\)$`)
	file, blocks := "", map[string]int{}
	var block []string
	inside := false
	for i, line := range strings.Split(string(text), "\n") {
		switch found := link.FindStringSubmatch(line); {
		case inside && line == "```":
			inside = false
			blocks[file]++
			checkQuote(t, filepath.Join(docs, file), i+1, block)
		case inside:
			block = append(block, line)
		case line == "```go":
			inside, block = true, nil
		case found != nil:
			file = found[1]
		}
	}
	for _, name := range []string{"telemetry", "tracing", "propagate", "http", "log", "exemplar", "metrics"} {
		if blocks["../internal/telemetry/"+name+".go"] == 0 {
			t.Errorf("concepts.md quotes nothing from %s.go", name)
		}
	}
}

// checkQuote compares a block, which ends at a line of concepts.md, with a file.
func checkQuote(t *testing.T, file string, line int, block []string) {
	t.Helper()
	code, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("concepts.md, block before line %d: %v", line, err)
	}
	rest := string(code)
	for part := range strings.SplitSeq(strings.Join(block, "\n"), "…\n") {
		part = strings.TrimSuffix(part, "\n") + "\n"
		at := strings.Index(rest, part)
		if at < 0 {
			t.Errorf("concepts.md, block before line %d: %s has no lines\n%s", line, file, part)
			return
		}
		rest = rest[at+len(part):]
	}
}
