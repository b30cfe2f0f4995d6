package verify_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/verify"
)

var update = flag.Bool("update", false, "write the table in docs/verify.md anew")

const document = "../../docs/verify.md"

// The table in docs is made from the table of checks, so that it cannot differ.
func TestDocumentIsCurrent(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	const end = "a test compares them.\n"
	prose, _, ok := strings.Cut(string(text), end)
	if !ok {
		t.Fatalf("%s has no line that ends in %q, after which the table comes", document, end)
	}
	want := prose + end + checksTable()
	if *update {
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		text = []byte(want)
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("docs/verify.md is not what is checked (-want +got); write it anew with: go test ./internal/verify -update\n%s", diff)
	}
}

func checksTable() string {
	var b strings.Builder
	group := ""
	for _, r := range verify.Table() {
		if r.Group != group {
			group = r.Group
			fmt.Fprintf(&b, "\n### %s\n\n| check | by hand | what it does | what it expects | if it fails |\n|---|---|---|---|---|\n", group)
		}
		cell := func(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
		box := cell(r.Box)
		if box == "" {
			box = "–"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | [what to do](troubleshooting.md#%s) |\n", r.Name, box, cell(r.Does), cell(r.Expects), r.Help)
	}
	return b.String()
}

// Every check has a section of troubleshooting.md, which its failure links to.
func TestEveryCheckHasHelp(t *testing.T) {
	text, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(text), -1) {
		plain := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		sections[strings.ReplaceAll(plain, " ", "-")] = true
	}
	for _, r := range verify.Table() {
		if !sections[r.Help] {
			t.Errorf("%s links to the section #%s, which is not there", r.Name, r.Help)
		}
	}
}
