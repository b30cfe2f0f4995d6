package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"dicelab/internal/checklist"
	"dicelab/internal/cli"
	"dicelab/internal/lab"
	"dicelab/internal/traffic"
	"dicelab/internal/verify"
	"dicelab/internal/verify/report"
)

type verifyCommand struct {
	FrontendURL cli.URL      `default:"http://localhost:${frontend}" help:"URL of the front end."`
	Only        []string     `sep:"none" placeholder:"NAME" help:"Check or group to run alone; a wrong name lists all."`
	Format      string       `enum:"${report_formats}" default:"text" help:"Form of the report: text, json, or junit (XML for CI servers)."`
	Verbose     bool         `short:"v" help:"With text: write requests and answers of every check."`
	Backends    backendFlags `embed:"" group:"Query APIs"`
	Checks      checkFlags   `embed:"" group:"The other servers, and the checks"`
}

// Run checks a running lab. It exits 0 if no check fails, 1 if one does, 2 if
// nothing could be checked.
func (c *verifyCommand) Run(ctx context.Context, env environment) error {
	o := c.Checks.options(c.FrontendURL, &c.Backends)
	o.Only = c.Only
	checks, err := verify.New(o)
	if err != nil {
		return lab.Refuse(err, "dicelab verify -h lists the flags")
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // from then on a second signal kills

	out, err := report.New(c.Format, env.stdout,
		report.Options{Colour: lab.Colour(env.stdout.File(), env.getenv), Verbose: c.Verbose, Version: version()})
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	found, err := checks.Run(ctx, out.Begin, out.Result)
	if _, ok := errors.AsType[*checklist.UnreachableError](err); ok {
		return lab.Refuse(err, "start the lab with: dicelab up; or say where the front end is with --frontend-url")
	}
	if err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	if err := out.End(found); err != nil {
		return err
	}
	if found.Failed > 0 {
		return statusError(lab.ExitFailed)
	}
	return nil
}

// simulate runs the traffic generator as a program of its own: a few rolls of two
// users who do not think, with their traces and their log. environ says where its
// spans go.
func simulate(frontend string, environ []string) func(context.Context) (verify.Traffic, error) {
	args := []string{"traffic", "--frontend-url", frontend, "--users", "2", "--max-rolls-per-user", "2",
		"--think", "0s..100ms", "--report", traffic.FormJSON, "--log", "stderr"}
	command := "dicelab " + strings.Join(args, " ")
	return func(ctx context.Context) (verify.Traffic, error) {
		program, err := os.Executable()
		if err != nil {
			return verify.Traffic{}, fmt.Errorf("finding this program: %w", err)
		}
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		r, log, err := traffic.RunProgram(ctx, environ, program, args...)
		if err != nil {
			return verify.Traffic{}, fmt.Errorf("%s: %w", command, err)
		}
		return verify.Traffic{Command: command, Log: log, TraceIDs: r.TraceIDs(), Dropped: r.DroppedSpans()}, nil
	}
}
