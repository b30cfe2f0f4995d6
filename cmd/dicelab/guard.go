package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"dicelab/internal/lab/child"
)

// guardCommand runs a program that knows nothing of the lab so that it ends with
// the lab. It is for up, and not listed.
const guardCommand = "guard"

// statusError is the exit status of a guarded program, passed on without a word:
// whoever started the guard says what happened.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// guard runs PROGRAM [ARGUMENTS].
func guard(ctx context.Context, env environment) error {
	if len(env.args) == 0 {
		return usagef("guard: the program to run is missing")
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, _ = child.Watch(ctx, env.getenv, env.stdin)
	status, err := child.Guard(ctx, os.Environ(), env.stdout.File(), env.stderr.File(), env.args[0], env.args[1:]...)
	if err != nil {
		return err
	}
	if status == 128+int(syscall.SIGKILL) {
		// It was killed, and the lab shall see that as it was.
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	if status != 0 {
		return statusError(status)
	}
	return nil
}
