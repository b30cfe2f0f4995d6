package conformance

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
)

// The folder of golden files, seen from this package.
const goldenDir = "golden"

//go:embed golden
var golden embed.FS

// Golden returns the normalised response of the real servers to a query. The error
// wraps fs.ErrNotExist if none is recorded.
func Golden(q Query) (string, error) { return read(q.Name + realSuffix) }

// GoldenEmbedded returns the expected response of the embedded stack: that of Golden,
// unless the query is marked as one whose responses differ.
func GoldenEmbedded(q Query) (string, error) {
	if q.Differs == "" {
		return Golden(q)
	}
	return read(q.Name + embeddedSuffix)
}

const (
	realSuffix     = ".txt"
	embeddedSuffix = ".embedded.txt"
)

func read(name string) (string, error) {
	content, err := golden.ReadFile(goldenDir + "/" + name)
	if err != nil {
		return "", fmt.Errorf("reading a golden file (make conformance writes them): %w", err)
	}
	return string(content), nil
}

// Record replaces the golden files in a checkout's folder of this package: the responses of
// the real servers, and those of the embedded stack to queries that are marked as ones
// whose responses differ. Both are keyed by the query's name.
func Record(dir string, list []Query, real, embedded map[string]string) error {
	dir = filepath.Join(dir, goldenDir)
	old, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("recording: %w", err)
		}
	}
	for _, q := range list {
		files := map[string]string{q.Name + realSuffix: real[q.Name]}
		if q.Differs != "" {
			files[q.Name+embeddedSuffix] = embedded[q.Name]
		}
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				return fmt.Errorf("recording %s: %w", q.Name, err)
			}
		}
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
