// Package servers finds the programs of the real servers on this machine, and
// asks each for its version.
package servers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"text/tabwriter"

	"golang.org/x/mod/semver"

	"dicelab/internal/lab"
	"dicelab/stack"
)

// Server is a server of the stack and the program that was found for it.
type Server struct {
	stack.Component
	Path    string // of the program; empty if none was found
	Reports string // the version that the program reports, such as "3.0.3"; empty if it reports none
	Err     error  // why the program cannot be used; ErrMissing if there is none
}

// ErrMissing is the Err of a server whose program was not found.
var ErrMissing = errors.New("not found")

// Places lists directories that may contain programs.
type Places struct {
	// Dir comes first, with the directories in it, as archives unpack to them;
	// empty for none.
	Dir string
	// Path is a list of directories as in the environment variable PATH.
	Path string
}

// Find searches the program of every component, and runs each that it finds with
// --version. It fails if Dir cannot be read; a problem of one server is its Err.
func Find(ctx context.Context, p Places) ([]Server, error) {
	dirs, err := p.own()
	if err != nil {
		return nil, err
	}
	var found []Server
	for _, c := range stack.Components() {
		s := Server{Component: c}
		if s.Path, s.Err = find(c, dirs); s.Path == "" && s.Err == nil {
			s.Path, s.Err = find(c, filepath.SplitList(p.Path))
		}
		if s.Path == "" && s.Err == nil {
			s.Err = ErrMissing
		}
		found = append(found, s)
	}
	var wg sync.WaitGroup
	for i := range found {
		if found[i].Err == nil {
			wg.Go(func() { found[i].ask(ctx) })
		}
	}
	wg.Wait()
	return found, nil
}

// FindUsable is Find, and fails if a server cannot be used. The error says what to do
// with the flag --servers.
func FindUsable(ctx context.Context, p Places) ([]Server, error) {
	found, err := Find(ctx, p)
	if err != nil {
		return nil, lab.Refuse(err, "name the folder of the servers with --servers DIR")
	}
	if err := Unusable(found); err != nil {
		return found, lab.Refuse(err,
			"put the programs on PATH, or into one folder and name it with --servers DIR; the lab runs without them, too: dicelab up")
	}
	return found, nil
}

// own returns Dir and the directories in it.
func (p Places) own() ([]string, error) {
	if p.Dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(p.Dir)
	if err != nil {
		return nil, fmt.Errorf("looking for servers: %w", err)
	}
	dirs := []string{p.Dir}
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(p.Dir, e.Name()))
		}
	}
	return dirs, nil
}

// find returns the first program of a component in dirs, or "". A file that has
// its name and cannot be run is an error if no other is found.
func find(c stack.Component, dirs []string) (path string, err error) {
	platform := "-" + runtime.GOOS + "-" + runtime.GOARCH
	for _, name := range c.Programs {
		for _, dir := range dirs {
			if dir == "" {
				continue // the current directory, which nothing should run from by accident
			}
			for _, file := range []string{filepath.Join(dir, name), filepath.Join(dir, name+platform)} {
				info, e := os.Stat(file)
				switch {
				case errors.Is(e, fs.ErrNotExist) || e == nil && info.IsDir():
				case e != nil:
					err = e
				case info.Mode().Perm()&0o111 == 0:
					err = fmt.Errorf("%s may not be executed: chmod +x %s", file, file)
				default:
					return filepath.Abs(file)
				}
			}
		}
	}
	return "", err
}

// ask sets Reports, and Err if the program cannot be used.
func (s *Server) ask(ctx context.Context) {
	if s.Reports, s.Err = version(ctx, s.Path); s.Err != nil {
		s.Err = fmt.Errorf("%s at %s does not work: %w; get another from %s", s.Name, s.Path, s.Err, s.Download)
		return
	}
	if s.Reports != "" && semver.Compare("v"+s.Reports, "v"+s.Oldest) < 0 {
		s.Err = fmt.Errorf("%s at %s is version %s, and dicelab needs %s or newer: get %s from %s",
			s.Name, s.Path, s.Reports, s.Oldest, s.Version, s.Download)
	}
}

// Note describes a version that dicelab is not tested with; it is empty for the
// tested one.
func (s Server) Note() string {
	if s.Err != nil || s.Reports == s.Version {
		return ""
	}
	return fmt.Sprintf("%s is version %s; dicelab is tested with %s", s.Name, cmp.Or(s.Reports, "unknown"), s.Version)
}

// Tested returns how the version of the program compares with the tested one.
func (s Server) Tested() string {
	if s.Reports == s.Version {
		return "as tested"
	}
	return "tested with " + s.Version
}

// Unusable returns an error that lists what cannot be used: programs that do not
// work or are too old, and one table of the missing ones. It is nil if every
// server can be used.
func Unusable(found []Server) error {
	var errs []error
	var missing []stack.Component
	for _, s := range found {
		switch {
		case errors.Is(s.Err, ErrMissing):
			missing = append(missing, s.Component)
		case s.Err != nil:
			errs = append(errs, s.Err)
		}
	}
	if len(missing) > 0 {
		errs = append(errs, fmt.Errorf("not found on this machine: %d of %d servers\n%s", len(missing), len(found), table(missing)))
	}
	return errors.Join(errs...)
}

// table lists components with the tested version and where to get it.
func table(missing []stack.Component) string {
	var text strings.Builder
	rows := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(rows, "  SERVER\tVERSION\tWHERE TO GET IT")
	for _, c := range missing {
		where := c.Download
		if c.Brew != "" {
			where += " or: brew install " + c.Brew
		}
		fmt.Fprintf(rows, "  %s\t%s\t%s\n", c.Name, c.Version, where)
	}
	_ = rows.Flush() // a strings.Builder takes everything
	return strings.TrimRight(text.String(), "\n")
}

// Paths returns the paths of the programs by component.
func Paths(found []Server) map[string]string {
	paths := map[string]string{}
	for _, s := range found {
		if s.Err == nil {
			paths[s.Name] = s.Path
		}
	}
	return paths
}
