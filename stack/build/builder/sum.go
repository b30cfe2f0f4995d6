package builder

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The files of a server's folder: what pins its modules, and the manifest of a
// generated one.
const (
	modFile  = "go.mod"
	sumFile  = "go.sum"
	manifest = "manifest.yaml"
)

// Sum is the checksum of a server's folder: of its go.mod, its go.sum and its
// manifest, if it has one. 12 hex digits.
func Sum(dir string) (string, error) {
	h := sha256.New()
	for _, name := range []string{modFile, sumFile, manifest} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) && name != modFile {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("reading what pins a server: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n", name, len(content))
		h.Write(content)
	}
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}
