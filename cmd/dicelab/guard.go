package main

import (
	"context"

	"dicelab/internal/lab/child"
)

// guardCommand runs a program that knows nothing of the lab so that it ends with
// the lab.
type guardCommand struct {
	Program []string `arg:"" name:"PROGRAM"`
}

// Run runs the program and exits with its status, which "up" reports.
func (c *guardCommand) Run(ctx context.Context, env environment) error {
	status, err := child.RunGuard(ctx, env.getenv, env.stdin, env.stdout.File(), env.stderr.File(), c.Program)
	if err == nil && status != 0 {
		err = statusError(status)
	}
	return err
}
