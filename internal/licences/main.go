// Command licences writes the licence texts of all that is linked into dicelab: of
// the modules, and of Go itself. They belong with every copy of the program, in its
// image and in archives of it.
//
//	go run ./internal/licences > THIRD-PARTY-LICENSES
//
// The texts are those in the module cache. Equal ones are written once. A module
// without a licence, or with a text that this program does not know, is an error.
package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

func main() {
	if err := run(context.Background(), os.Stdout, "./cmd/dicelab"); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

// run writes the texts for what is linked into the program of a package.
func run(ctx context.Context, out io.Writer, program string) error {
	modules, err := linked(ctx, program)
	if err != nil {
		return err
	}
	texts, err := collect(modules)
	if err != nil {
		return err
	}
	return write(out, modules, texts)
}

// write writes a table of modules, and then the texts, each below those that have
// it.
func write(out io.Writer, modules []module, texts map[string]*text) error {
	var b strings.Builder
	b.WriteString("dicelab is linked with the modules below. The texts of their licences follow, equal ones once.\n\n")
	for _, m := range modules {
		fmt.Fprintf(&b, "%s %s: %s\n", m.Path, m.Version, strings.Join(m.licences, ", "))
	}
	for _, t := range slices.SortedFunc(maps.Values(texts), func(a, b *text) int { return strings.Compare(a.of[0], b.of[0]) }) {
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(t.of, "\n"), strings.TrimSpace(t.body))
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("writing the texts: %w", err)
	}
	return nil
}
