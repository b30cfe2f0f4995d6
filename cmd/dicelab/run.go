package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"dicelab/internal/cli"
	"dicelab/internal/lab"
	"dicelab/internal/terminal"
)

// environment holds what a command needs from the process: variables, streams and the like.
type environment struct {
	args           []string
	getenv         func(string) string
	stdin          io.Reader
	stdout, stderr *terminal.Output
}

// run runs the command that the arguments name and returns the exit status: 0 if
// all went well, 1 if something failed, 2 if it could not run as it was called.
func run(ctx context.Context, env environment) int {
	err := runCommand(ctx, env)
	err = errors.Join(err, env.stdout.Flush(), env.stderr.Flush())
	if err == nil || errors.Is(err, cli.ErrHelp) {
		return lab.ExitOK
	}
	if status, ok := errors.AsType[statusError](err); ok {
		return int(status)
	}
	return cli.Fail(err, env.stderr)
}

func runCommand(ctx context.Context, env environment) error {
	parser, err := newParser(env)
	if err != nil {
		return err
	}
	kctx, err := cli.Parse(parser, env.args)
	if err != nil {
		return err
	}
	kctx.BindTo(ctx, (*context.Context)(nil))
	return kctx.Run(env)
}

// statusError is an exit status without a message.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// warn prints a warning.
func warn(env environment, format string, args ...any) {
	fmt.Fprintln(env.stderr, "dicelab: warning: "+terminal.Sprintf(format, args...))
}
