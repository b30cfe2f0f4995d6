package builder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"dicelab/stack"
)

const (
	// logFile is the name of the log of a build, beside the server.
	logFile = "build.log"
	// tailLines is how many lines of the log an error shows.
	tailLines = 10
	// stopTimeout is how long the go command may take to end its compilers.
	stopTimeout = 10 * time.Second
)

// job is the build of one server.
type job struct {
	*Builder
	server   stack.Component
	module   string // its folder in the source
	work     string // a folder for what is not the result
	log      *tally
	progress *progress
}

// build builds one server, into a folder of its own beside the place where it
// belongs, and moves it there when it is complete.
func (b *Builder) build(ctx context.Context, c stack.Component, p *progress) (err error) {
	path := c.Path(b.Cache)
	dir := filepath.Dir(path)
	failed := &Error{Server: c, Log: filepath.Join(dir, logFile)}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making room for %s: %w", c, err)
	}
	log, err := os.Create(failed.Log)
	if err != nil {
		return fmt.Errorf("making room for %s: %w", c, err)
	}
	work, err := os.MkdirTemp(dir, "work-")
	if err != nil {
		return errors.Join(fmt.Errorf("making room for %s: %w", c, err), log.Close())
	}
	defer func() { err = errors.Join(err, log.Close(), os.RemoveAll(work)) }()
	if err := p.say("building; log in %s", failed.Log); err != nil {
		return err
	}
	source, err := filepath.Abs(filepath.Join(b.Source, c.Name))
	if err != nil {
		return err
	}
	j := job{Builder: b, server: c, module: source, work: work, log: &tally{to: log}, progress: p}
	built, err := j.compile(ctx)
	if err == nil {
		err = os.Rename(built, path)
	}
	if err != nil {
		failed.Err = err
		if ctx.Err() != nil {
			return failed
		}
		failed.Tail, err = tail(failed.Log)
		return errors.Join(failed, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return p.say("built in %s, %d MB", p.elapsed(), info.Size()/1_000_000)
}

// compile makes the program, and returns where it is.
func (j *job) compile(ctx context.Context) (path string, err error) {
	dir, pkg := j.module, j.server.Package
	if j.server.Generator != "" {
		if dir, err = j.generate(ctx); err != nil {
			return "", err
		}
		pkg = "."
	}
	flags := []string{"-tags=" + strings.Join(j.server.Tags, ","), "-ldflags=" + j.ldflags()}
	return j.goBuild(ctx, dir, j.server.Name, pkg, flags...)
}

func (j *job) ldflags() string {
	flags := "-s -w" // no symbol table, no debug information
	if j.server.VersionVar != "" {
		flags += " -X " + j.server.VersionVar + "=" + j.server.Release
	}
	return flags
}

// generate writes the source of the server, and returns where it is. The go.mod
// that pins the generator pins what it generates: the generator's own choice of
// modules is not asked for.
func (j *job) generate(ctx context.Context) (dir string, err error) {
	generator, err := j.goBuild(ctx, j.module, "generator", j.server.Generator)
	if err != nil {
		return "", err
	}
	dir = filepath.Join(j.work, "source")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	err = j.run(ctx, dir, generator, "--config="+filepath.Join(j.module, manifest), "--skip-compilation", "--skip-get-modules")
	if err != nil {
		return "", fmt.Errorf("generating the source: %w", err)
	}
	for _, name := range []string{modFile, sumFile} {
		content, err := os.ReadFile(filepath.Join(j.module, name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// goBuild builds a package of the module in dir.
func (j *job) goBuild(ctx context.Context, dir, name, pkg string, flags ...string) (path string, err error) {
	path = filepath.Join(j.work, name)
	args := append([]string{"build", "-v", "-mod=readonly", "-buildvcs=false", "-trimpath", "-o", path}, flags...)
	if err := j.run(ctx, dir, "go", append(args, pkg)...); err != nil {
		return "", fmt.Errorf("compiling: %w", err)
	}
	return path, nil
}

// run runs a command to its end, and tells how it goes at every tick.
func (j *job) run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(j.environ(), "PWD="+dir, "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH, "CGO_ENABLED="+cgo(j.server))
	cmd.Stdout, cmd.Stderr = j.log, j.log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopTimeout
	if _, err := fmt.Fprintf(j.log.to, "%s\n", cmd); err != nil {
		return fmt.Errorf("writing the log: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var said error
	for {
		select {
		case err := <-done:
			if ctx.Err() != nil {
				err = fmt.Errorf("interrupted: %w", ctx.Err())
			}
			return errors.Join(err, said)
		case <-j.Ticks:
			said = errors.Join(said, j.progress.say("%s, %d modules fetched, %d packages compiled",
				j.progress.elapsed(), j.log.fetched.Load(), j.log.compiled.Load()))
		}
	}
}

func cgo(c stack.Component) string {
	if c.CGO {
		return "1"
	}
	return "0"
}

func (b *Builder) environ() []string {
	if b.Env != nil {
		return b.Env
	}
	return os.Environ()
}

// checkCompiler fails where a server needs a C compiler and there is none: at
// once, and not when the others have been built.
func (b *Builder) checkCompiler(ctx context.Context, missing map[string]stack.Component) error {
	for _, c := range missing {
		if !c.CGO {
			continue
		}
		cmd := exec.CommandContext(ctx, "go", "env", "CC")
		cmd.Env = b.environ()
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("finding the C compiler for %s: %w", c, err)
		}
		// CC may hold flags, and a wrapper before the compiler.
		name, _, _ := strings.Cut(string(bytes.TrimSpace(out)), " ")
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s needs a C compiler, and there is no %s; on Debian: apt-get install gcc libc6-dev", c, name)
		}
	}
	return nil
}

// tail is the end of a log.
func tail(path string) ([]string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the log of a build: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return lines[max(0, len(lines)-tailLines):], nil
}
