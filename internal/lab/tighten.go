package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Umask makes every file and directory that this process and its children create
// readable by their owner alone, unless they say otherwise.
func Umask() { syscall.Umask(0o077) }

// ours reports whether the lab makes files of this name in a data directory.
func ours(name string) bool {
	return slices.Contains([]string{lockName, ".probe", "store.lock", "spans", "lines", "prometheus", "native"}, name) ||
		strings.HasPrefix(name, "store.db") || strings.HasPrefix(name, "damaged-")
}

// tighten takes the rights of others away from what the lab has in a data
// directory, which an older version or a wider umask may have left; and from the
// directory itself if there is nothing else in it. A directory that holds other
// things, such as a home directory or /tmp, keeps its rights: it is not the lab's.
//
// A symbolic link is refused, because what would be written through it is
// somewhere else.
func tighten(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("data directory %s cannot be read: %w", dir, err)
	}
	alone := true
	for _, e := range entries {
		if !ours(e.Name()) {
			alone = false
			continue
		}
		if err := tightenEntry(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	info, err := os.Stat(dir) // the directory itself may be chosen by a link
	if err != nil {
		return fmt.Errorf("data directory %s cannot be read: %w", dir, err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !alone || !ok || int(owner.Uid) != os.Getuid() || info.Mode()&fs.ModeSticky != 0 {
		return nil
	}
	return private(dir, info)
}

// tightenEntry refuses what is neither a file nor a directory.
func tightenEntry(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist): // removed meanwhile, by a lab that is just ending
		return nil
	case err != nil:
		return fmt.Errorf("%s cannot be read: %w", path, err)
	case !info.IsDir() && !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither a file nor a directory but %s, which is not followed: remove it", path, kindOf(info.Mode()))
	}
	return private(path, info)
}

// private takes the rights of others away from a file or directory.
func private(path string, info fs.FileInfo) error {
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if err := os.Chmod(path, info.Mode().Perm()&^0o077); err != nil {
		return fmt.Errorf("%s can be read by others, which cannot be changed: %w", path, err)
	}
	return nil
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}
