package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dicelab/internal/embedded/metrics"
	"dicelab/internal/embedded/store"
)

// DamagedError means that a part of the data directory cannot be opened because its files
// are damaged. With [Options.Recover] they are moved aside.
type DamagedError struct {
	Dir   string   // the data directory
	Files []string // the names in it that have to be moved away
	Lost  string   // the data that are missing then: "traces and log lines"
	Err   error
}

// Error names the damaged data and the cause.
func (e *DamagedError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// ByHand returns the commands of a shell that move the files aside.
func (e *DamagedError) ByHand() string {
	aside := filepath.Join(e.Dir, "damaged-by-hand")
	var files []string
	for _, name := range e.Files {
		files = append(files, Quoted(filepath.Join(e.Dir, name)))
	}
	return fmt.Sprintf("mkdir %s && mv %s %s", Quoted(aside), strings.Join(files, " "), Quoted(aside))
}

// Quoted returns a path as a shell reads it.
func Quoted(path string) string {
	plain := func(r rune) bool {
		return strings.ContainsRune("/._-", r) || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if strings.ContainsFunc(path, func(r rune) bool { return !plain(r) }) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

// openStore opens the store of traces and logs.
func (s *Stack) openStore(ctx context.Context) (*store.Store, error) {
	o := s.o.Store
	o.Rebuild = s.o.Recover
	if s.o.Recover {
		s.print("Traces and log lines: reading the journals, and making their indexes anew.")
	}
	opened, err := store.Open(ctx, s.o.Dir, o)
	switch {
	case err == nil:
		if s.o.Recover {
			s.print("Traces and log lines: nothing to recover.")
		}
		return opened, nil
	case !store.Damaged(err):
		return nil, err
	}
	if err := s.recover(&DamagedError{Dir: s.o.Dir, Files: present(s.o.Dir, store.Files()), Lost: "traces and log lines", Err: err}); err != nil {
		return nil, err
	}
	return store.Open(ctx, s.o.Dir, o)
}

// checkMetrics moves the TSDB aside if it is damaged.
func (s *Stack) checkMetrics() error {
	err := metrics.Check(metrics.Options{Dir: s.o.Dir, Logger: s.o.Logger})
	var damaged *metrics.DamagedError
	switch {
	case err == nil:
		s.print("Metrics: nothing to recover.")
		return nil
	case !errors.As(err, &damaged):
		return err
	}
	return s.recover(s.damagedMetrics(err))
}

func (s *Stack) damagedMetrics(err error) error {
	return &DamagedError{Dir: s.o.Dir, Files: []string{metrics.DirName}, Lost: "metrics", Err: err}
}

// recover moves damaged files aside, or returns the error if that was not asked for.
func (s *Stack) recover(damaged error) error {
	var e *DamagedError
	if !s.o.Recover || !errors.As(damaged, &e) {
		return damaged
	}
	aside, err := moveAside(e.Dir, e.Files, time.Now())
	if err != nil {
		return errors.Join(damaged, err)
	}
	s.print(fmt.Sprintf("Moved %s to %s and starting without the %s in it, because of: %v.", strings.Join(e.Files, ", "), aside, e.Lost, e.Err))
	return nil
}

// AsideDir returns the name of the directory, in the data directory, to which damaged
// files are moved at that time.
func AsideDir(at time.Time) string { return "damaged-" + at.UTC().Format("20060102-150405") }

// moveAside moves files of dir into a directory in it that is named by the time.
func moveAside(dir string, files []string, at time.Time) (aside string, err error) {
	aside = filepath.Join(dir, AsideDir(at))
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return "", fmt.Errorf("moving damaged files aside: %w", err)
	}
	for _, name := range files {
		to := filepath.Join(aside, name)
		if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("moving damaged files aside: %s is there already: try again", to)
		}
		if err := os.Rename(filepath.Join(dir, name), to); err != nil {
			return "", fmt.Errorf("moving damaged files aside: %w", err)
		}
	}
	return aside, nil
}

// present returns those of some files of dir that are there.
func present(dir string, files []string) (there []string) {
	for _, name := range files {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			there = append(there, name)
		}
	}
	return there
}
