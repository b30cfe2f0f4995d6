package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"dicelab/internal/lab"
	"dicelab/internal/terminal"
)

// environment is what a command has of the world around it.
type environment struct {
	args           []string
	getenv         func(string) string
	stdin          io.Reader
	stdout, stderr *terminal.Output
}

// command is one subcommand.
type command struct {
	name    string
	summary string // one line of the overview
	run     func(context.Context, environment, *flags) error
}

func commands() []command {
	return []command{
		{"up", "run everything on this machine", up},
		{"roller", "run the dice roller alone", rollerCommand},
		{"frontend", "run the web front end alone", frontendCommand},
		{"explore", "run the explorer alone, over any Prometheus, Loki and Tempo", exploreCommand},
		{"traffic", "generate traffic: simulated users, or load at a rate", trafficCommand},
		{"verify", "check a running lab, box by box, with evidence", verifyCommand},
		{"export", "write a trace as OTLP JSON, or all traces and log lines as an SQLite file", exportCommand},
		{"import", "send traces from files to a trace store", importCommand},
		{"servers", "list the programs of the real servers that are found here", serversCommand},
		{"health", "exit 0 if a URL answers 200", health},
		{"version", "print version, commit and Go version", printVersion},
	}
}

// run does what the arguments ask and returns the exit status: 0 when it went
// well, 1 when something failed, 2 when it could not run as it was called.
func run(ctx context.Context, env environment) int {
	err := dispatch(ctx, env)
	err = errors.Join(err, env.stdout.Flush(), env.stderr.Flush())
	if err == nil || errors.Is(err, errHelp) {
		return lab.ExitOK
	}
	if status, ok := errors.AsType[statusError](err); ok {
		return int(status)
	}
	complain(env, err)
	return lab.ExitCode(err)
}

// complain prints an error, and what to do about it.
func complain(env environment, err error) {
	for line := range strings.SplitSeq(strings.TrimSpace(err.Error()), "\n") {
		if !strings.HasPrefix(line, " ") { // what is indented belongs to the line above
			line = "dicelab: error: " + line
		}
		fmt.Fprintln(env.stderr, line)
	}
	var h *hinted
	if errors.As(err, &h) {
		fmt.Fprintf(env.stderr, "dicelab: hint: %s\n", h.hint)
	}
}

func dispatch(ctx context.Context, env environment) error {
	if len(env.args) == 0 || env.args[0] == "-h" || env.args[0] == "--help" || env.args[0] == "help" {
		return overview(env)
	}
	name := env.args[0]
	if name == guardCommand { // its arguments are another program's, so it has no flags
		env.args = env.args[1:]
		return guard(ctx, env)
	}
	for _, c := range commands() {
		if c.name == name {
			env.args = env.args[1:]
			return c.run(ctx, env, newFlags(env, c.name, c.summary))
		}
	}
	return hint(usagef("there is no command %q", name), "dicelab help lists the commands")
}

func overview(env environment) error {
	fmt.Fprintf(env.stdout, "dicelab follows a roll of a die through two services: as a trace, as log lines, as metrics.\n\nUsage: dicelab COMMAND [flags]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(env.stdout, "  %-10s %s\n", c.name, c.summary)
	}
	fmt.Fprintf(env.stdout, "\ndicelab COMMAND -h lists the flags of a command. Start with: dicelab up\n")
	return errHelp
}

// errHelp ends a command that was only asked what it does.
var errHelp = errors.New("help was asked for")

// hinted is an error with what to type next.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

func hint(err error, hint string) error { return &hinted{err, hint} }

func usagef(format string, args ...any) error {
	return &lab.UsageError{Err: fmt.Errorf(format, args...)}
}
