package doctest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"dicelab/internal/wait"
)

// Lab is the environment in which the commands of a block run.
type Lab struct {
	// Ports maps the ports in the document to those of the lab.
	Ports map[string]string
	// Flags are added to a command of dicelab, by its subcommand.
	Flags map[string][]string
	// Names maps the lab's own names to those in the document.
	Names map[string]string
	// Dir is the working directory of commands. Env is added to their environment.
	Dir string
	Env []string
	// Path is the directory of dicelab; "" if it is on the path of the tests.
	Path string
	// Patience bounds the wait for a command to print what is shown: what was
	// rolled takes a while to arrive.
	Patience time.Duration
}

// Run runs a block, up to the first command that does not print what is shown: it
// is run again until it does or patience is over.
func (l Lab) Run(ctx context.Context, b Block) error {
	known := ids{}
	for _, s := range b.Steps {
		if err := l.step(ctx, s, known); err != nil {
			return fmt.Errorf("line %d: %s: %w", s.Line, s.Command, err)
		}
	}
	return nil
}

func (l Lab) step(ctx context.Context, s Step, known ids) error {
	ctx, cancel := context.WithTimeout(ctx, l.Patience)
	defer cancel()
	return wait.Until(ctx, func(ctx context.Context) error {
		printed, err := l.bash(ctx, known.fill(s.Command))
		if err != nil {
			return err
		}
		return known.match(s.Shown, printed)
	})
}

// bash runs a command as a reader does, and returns what it prints. Its exit
// status is part of it only where the document shows it.
func (l Lab) bash(ctx context.Context, command string) (printed string, err error) {
	// A file, not a pipe: what a command starts in the background holds it open.
	out, err := os.CreateTemp("", "dicelab-printed-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.Remove(out.Name())) }()
	cmd := exec.CommandContext(ctx, "bash", "-c", l.there(command))
	env := append(os.Environ(), l.Env...)
	if l.Path != "" {
		env = append(env, "PATH="+l.Path+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = l.Dir, env, out, out
	err = cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		err = nil
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return "", fmt.Errorf("running it: %w", err)
	}
	text, err := os.ReadFile(out.Name())
	if ctx.Err() != nil { // it was cut off
		err = errors.Join(err, fmt.Errorf("it did not end, and printed: %s", text))
	}
	return l.shown(string(text)), err
}

var (
	hostPort   = regexp.MustCompile(`\b(localhost|127\.0\.0\.1):(\d+)\b`)
	subcommand = regexp.MustCompile(`\bdicelab ([a-z]+)\b`)
)

// there makes a command that is shown one for this lab.
func (l Lab) there(command string) string {
	command = hostPort.ReplaceAllStringFunc(command, func(s string) string {
		host, port, _ := strings.Cut(s, ":")
		if there, ok := l.Ports[port]; ok {
			port = there
		}
		return host + ":" + port
	})
	return subcommand.ReplaceAllStringFunc(command, func(s string) string {
		_, name, _ := strings.Cut(s, " ")
		return strings.Join(append([]string{s}, l.Flags[name]...), " ")
	})
}

// shown makes what was printed on this lab what the document would show.
func (l Lab) shown(printed string) string {
	for shown, there := range l.Ports {
		printed = regexp.MustCompile(`\b(localhost:|127\.0\.0\.1:|port )`+there+`\b`).ReplaceAllString(printed, "${1}"+shown)
	}
	for is, called := range l.Names {
		printed = strings.ReplaceAll(printed, is, called)
	}
	return printed
}
