package main

import (
	"context"
	"errors"
	"io"
	"os/signal"
	"syscall"

	"github.com/mattn/go-isatty"

	"dicelab/internal/cli"
	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/internal/lab/child"
	"dicelab/internal/service"
	"dicelab/internal/telemetry"
	"dicelab/internal/traffic"
)

// Run generates traffic. The first signal lets what is under way finish and brings
// the report, the second kills.
func (c *trafficCommand) Run(ctx context.Context, env environment) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // from then on a second signal kills
	ctx, gate := child.Watch(ctx, env.getenv, env.stdin)

	progress, out := c.outputs(env)
	lines, closeLog, err := service.OpenLog(out, c.LogDir, contract.ServiceTraffic)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	tel, err := telemetry.New(ctx, telemetry.Config{Service: contract.ServiceTraffic, Version: version(), Output: lines})
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	generator, err := c.generator(tel)
	if err != nil {
		return errors.Join(err, tel.Shutdown(context.WithoutCancel(ctx)))
	}
	defer generator.Close()
	began, err := c.generate(ctx, env, generator, gate, progress)
	// Before the report, which has the number of spans that were dropped.
	err = errors.Join(err, tel.Shutdown(context.WithoutCancel(ctx)))
	if began {
		err = errors.Join(err, generator.WriteReport(env.stdout, c.Report))
	}
	return err
}

// outputs returns the terminal that shows progress, or nil if standard error is none,
// and the writer of log lines.
func (c *trafficCommand) outputs(env environment) (progress *traffic.Terminal, lines io.Writer) {
	if isatty.IsTerminal(env.stderr.File().Fd()) && env.getenv("TERM") != "dumb" {
		progress = traffic.NewTerminal(env.stderr.Raw())
	}
	switch {
	case c.Log == "none":
		return progress, io.Discard
	case c.Log == "stdout":
		return progress, env.stdout
	case progress != nil:
		return progress, progress
	default:
		return nil, env.stderr
	}
}

// generate makes the rolls. It reports whether it began to.
func (c *trafficCommand) generate(ctx context.Context, env environment, g *traffic.Generator, gate *child.Gate,
	progress *traffic.Terminal) (began bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if c.Addr != "" {
		listener, err := service.Listen(ctx, env.getenv, string(c.Addr))
		if err != nil {
			return false, err
		}
		stop := service.Probes(listener, gate, g.Telemetry, cli.Texts(c.AllowHost), cancel)
		defer func() { err = errors.Join(err, stop(ctx)) }()
	}
	if err := g.Await(ctx, c.Wait); err != nil {
		return false, lab.Refuse(err, "start the lab with: dicelab up; or say where the target is with --"+c.Target+"-url")
	}
	return true, progress.During(ctx, g.Progress, func() error {
		if c.Rate != (traffic.Rate{}) {
			return g.Load(ctx, c.load())
		}
		return g.Users(ctx, c.users())
	})
}
