package conformance

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The folder of golden files, seen from this package.
const goldenDir = "golden"

//go:embed golden
var golden embed.FS

// Golden is what the real servers answered to a query, normalised; the error
// wraps fs.ErrNotExist where nothing is recorded.
func Golden(q Query) (string, error) { return read(q.Name + ".txt") }

// GoldenEmbedded is what the embedded stack answers: the same as Golden, unless
// the query says that it differs.
func GoldenEmbedded(q Query) (string, error) {
	if q.Differs == "" {
		return Golden(q)
	}
	return read(q.Name + embeddedSuffix)
}

const embeddedSuffix = ".embedded.txt"

func read(name string) (string, error) {
	content, err := golden.ReadFile(goldenDir + "/" + name)
	if err != nil {
		return "", fmt.Errorf("reading a golden file (make conformance writes them): %w", err)
	}
	return string(content), nil
}

// Record writes the golden files of a query into a checkout's folder of this
// package: what the real servers answered, and what the embedded stack did if
// the query says that it differs.
func Record(dir string, q Query, real, embedded string) error {
	base := filepath.Join(dir, goldenDir, q.Name)
	if err := os.WriteFile(base+".txt", []byte(real), 0o644); err != nil {
		return fmt.Errorf("recording %s: %w", q.Name, err)
	}
	if q.Differs != "" {
		if err := os.WriteFile(base+embeddedSuffix, []byte(embedded), 0o644); err != nil {
			return fmt.Errorf("recording %s: %w", q.Name, err)
		}
		return nil
	}
	if err := os.Remove(base + embeddedSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("recording %s: %w", q.Name, err)
	}
	return nil
}

// Recorded lists the names of all golden files.
func Recorded() ([]string, error) {
	entries, err := golden.ReadDir(goldenDir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}
