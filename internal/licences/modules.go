package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// module is one that is linked.
type module struct {
	Path, Version string
	Dir           string              // where its files are
	packages      map[string]struct{} // the folders of what is linked of it
	licences      []string            // their names, filled in by collect
}

// standardLibrary is the name of what has no module.
const standardLibrary = "Go's standard library"

// linked lists what is linked into a program, by path, but for its own module.
func linked(ctx context.Context, program string) ([]module, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=Dir,Standard,Module", program)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	list, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the packages of %s: %w: %s", program, err, strings.TrimSpace(stderr.String()))
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return nil, fmt.Errorf("asking for Go's own folder: %w", err)
	}
	goroot, version, _ := strings.Cut(strings.TrimSpace(string(root)), "\n")
	byPath := map[string]*module{standardLibrary: {Path: standardLibrary, Version: version, Dir: goroot, packages: map[string]struct{}{goroot: {}}}}
	for in := json.NewDecoder(bytes.NewReader(list)); ; {
		var p struct {
			Dir      string
			Standard bool
			Module   *struct {
				Path, Version, Dir string
				Main               bool
				Replace            *struct{ Dir, Version string }
			}
		}
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading the list of packages: %w", err)
		}
		if p.Standard || p.Module == nil || p.Module.Main {
			continue
		}
		m := byPath[p.Module.Path]
		if m == nil {
			m = &module{Path: p.Module.Path, Version: p.Module.Version, Dir: p.Module.Dir, packages: map[string]struct{}{}}
			if r := p.Module.Replace; r != nil {
				m.Dir, m.Version = r.Dir, r.Version
			}
			byPath[m.Path] = m
		}
		m.packages[p.Dir] = struct{}{}
	}
	var modules []module
	for _, m := range byPath {
		modules = append(modules, *m)
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return modules, nil
}

// files lists the licence texts of a module: in the folders of the packages that
// are linked, and above them up to the module's own.
func (m module) files() ([]string, error) {
	var found []string
	seen := map[string]bool{}
	for dir := range m.packages {
		for ; !seen[dir]; dir = filepath.Dir(dir) {
			seen[dir] = true
			entries, err := os.ReadDir(dir)
			if err != nil {
				return nil, fmt.Errorf("looking for the licence of %s: %w", m.Path, err)
			}
			for _, e := range entries {
				if e.Type().IsRegular() && isLicence(e.Name()) {
					found = append(found, filepath.Join(dir, e.Name()))
				}
			}
			if dir == m.Dir {
				break
			}
		}
	}
	slices.Sort(found)
	return found, nil
}

// isLicence reports whether a file has that name: LICENSE, COPYING.md, NOTICE and
// the like, and no source.
func isLicence(name string) bool {
	base, extension, _ := strings.Cut(strings.ToUpper(name), ".")
	if !slices.Contains([]string{"", "MD", "TXT", "MIT", "BSD", "APACHE", "CODE"}, extension) {
		return false
	}
	if strings.HasSuffix(base, "-LOGO") { // of a picture, which is not linked
		return false
	}
	for _, word := range []string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS", "COPYRIGHT"} {
		if strings.HasPrefix(base, word) {
			return true
		}
	}
	return false
}
