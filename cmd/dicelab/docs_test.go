package main

import (
	"context"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dicelab/internal/terminal"
)

// root is the repository's, as seen from this package.
const root = "../.."

// documents returns the repository's Markdown files and their texts.
func documents(t *testing.T) map[string]string {
	t.Helper()
	docs := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			docs[file] = string(text)
		}
	}
	if len(docs) < 7 {
		t.Fatalf("found %d documents in %s, want README, ARCHITECTURE, CONTRIBUTING, CHANGELOG and docs", len(docs), root)
	}
	return docs
}

// A link to a file or a heading that is not there sends a reader nowhere.
func TestDocumentLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]+)?[^)]*\)`)
	docs := documents(t)
	for file, text := range docs {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			to := file
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(file), m[1])
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
			}
			if m[2] != "" && !slices.Contains(anchors(docs[to]), m[2]) {
				t.Errorf("%s links to %s%s, where no heading has that name", file, m[1], m[2])
			}
		}
	}
}

// anchors returns the names under which a document's headings can be linked to: small
// letters, digits, hyphens for spaces, and nothing else.
func anchors(text string) (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		name := strings.ReplaceAll(strings.ToLower(m[1]), " ", "-")
		names = append(names, "#"+regexp.MustCompile(`[^\p{L}\p{N}_-]`).ReplaceAllString(name, ""))
	}
	return names
}

// A flag that a document names must exist.
func TestDocumentFlags(t *testing.T) {
	known := map[string]bool{"--data-urlencode": true, "--format": true, "--alias": true, "--enable-feature": true} // of curl, docker, Prometheus
	named := regexp.MustCompile(`--[a-z][a-z-]+`)
	parser, err := newParser(environment{getenv: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range parser.Model.Leaves(true) {
		for _, flag := range named.FindAllString(help(t, c.Name), -1) {
			known[flag] = true
		}
	}
	for file, text := range documents(t) {
		for _, flag := range named.FindAllString(text, -1) {
			if !known[flag] {
				t.Errorf("%s names %s, which no command has", file, flag)
			}
		}
	}
}

// help returns the help text of a command.
func help(t *testing.T, name string) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "help"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := out.Close(); err != nil {
			t.Error(err)
		}
	}()
	if status := run(context.Background(), environment{args: []string{name, "-h"}, getenv: os.Getenv, stdout: terminal.NewOutput(out), stderr: terminal.NewOutput(out)}); status != 0 {
		t.Fatalf("dicelab %s -h: exit status %d", name, status)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A make target that a document names must exist.
func TestDocumentTargets(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(string(makefile), -1) {
		targets = append(targets, m[1])
	}
	for file, text := range documents(t) {
		for _, m := range regexp.MustCompile("(?m)(?:`|^)make ([a-z-]+)").FindAllStringSubmatch(text, -1) {
			if !slices.Contains(targets, m[1]) {
				t.Errorf("%s names make %s; the targets are %v", file, m[1], targets)
			}
		}
	}
}

// Every package says what its job is.
func TestPackageComments(t *testing.T) {
	commented := map[string]bool{} // by folder
	for _, top := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				return err
			}
			text := file.Doc.Text()
			commented[filepath.Dir(path)] = commented[filepath.Dir(path)] ||
				strings.HasPrefix(text, "Package "+file.Name.Name+" ") || strings.HasPrefix(text, "Command ")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for folder, ok := range commented {
		if !ok {
			t.Errorf("%s has no package comment that begins with \"Package\" and its name", folder)
		}
	}
}
