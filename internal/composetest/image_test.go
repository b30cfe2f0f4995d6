//go:build compose

package composetest_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// layer is the file system of an image, put together from files of this machine.
type layer struct {
	out  *tar.Writer
	have map[string]bool
}

// importImage makes an image of one layer. The changes are lines of a Dockerfile.
func importImage(t *testing.T, name string, changes []string, fill func(*layer) error) {
	t.Helper()
	r, w := io.Pipe()
	go func() {
		l := &layer{out: tar.NewWriter(w), have: map[string]bool{}}
		err := fill(l)
		w.CloseWithError(errors.Join(err, l.out.Close()))
	}()
	args := []string{"docker", "import"}
	for _, c := range changes {
		args = append(args, "--change", c)
	}
	if _, err := try(t.Context(), r, nil, append(args, "-", name)...); err != nil {
		t.Fatalf("making the image %s: %v", name, err)
	}
}

// dir adds a directory of an owner.
func (l *layer) dir(name string, owner int, mode fs.FileMode) error {
	if l.have[name] {
		return nil
	}
	l.have[name] = true
	return l.out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(name, "/") + "/", Mode: int64(mode), Uid: owner, Gid: owner})
}

// file adds a file of this machine, as root's. A link is followed.
func (l *layer) file(from, to string) (err error) {
	if l.have[to] {
		return nil
	}
	l.have[to] = true
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(to, "/"), Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime()}
	if err := l.out.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(l.out, f)
	return err
}

// tree adds a directory with what is in it.
func (l *layer) tree(from, to string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		inside, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		return l.file(name, path.Join(to, inside))
	})
}

// program adds a program and the libraries that it is linked with.
func (l *layer) program(from, to string) error {
	if err := l.file(from, to); err != nil {
		return err
	}
	libraries, err := linked(from)
	if err != nil {
		return err
	}
	for _, lib := range libraries {
		if err := l.file(lib, lib); err != nil {
			return err
		}
	}
	return nil
}

// linked lists the libraries of a program, the loader among them.
func linked(program string) ([]string, error) {
	out, err := exec.Command("ldd", program).CombinedOutput()
	if strings.Contains(string(out), "not a dynamic executable") || strings.Contains(string(out), "statically linked") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("finding the libraries of %s: %w: %s", program, err, out)
	}
	var libraries []string
	for _, m := range regexp.MustCompile(`(?m)(?:=> |^\s*)(/\S+)`).FindAllStringSubmatch(string(out), -1) {
		libraries = append(libraries, m[1])
	}
	return libraries, nil
}
