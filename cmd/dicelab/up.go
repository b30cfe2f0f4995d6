package main

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/alecthomas/kong"

	"dicelab/internal/lab"
	"dicelab/internal/lab/servers"
	"dicelab/internal/service"
)

// Run runs everything on this machine. What can be refused is refused before
// anything starts: flags, then the data directory, then ports. The directory comes
// first because a second lab finds both taken, and the error of the directory names
// the first.
func (c *upCommand) Run(ctx context.Context, env environment, kctx *kong.Context) (err error) {
	container, err := lab.LimitMemory(env.getenv, lab.ShareOfLab, lab.MemoryOfLab)
	if err != nil {
		return err
	}
	if err := service.CheckTelemetry(ctx); err != nil {
		return err
	}
	var found []servers.Server
	if c.Stack == stackNative {
		if found, err = servers.FindUsable(ctx, servers.Places{Dir: c.Native.Servers, Path: env.getenv("PATH")}); err != nil {
			return err
		}
	}
	lab.Umask()
	dir, err := lab.OpenDir(c.Data, "--data")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	at, err := lab.Listen(ctx, c.addresses(kctx)...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, at.Close()) }()

	report := lab.NewReport(env.stdout.Raw(), lab.Colour(env.stdout.File(), env.getenv))
	report.Title(version(), c.Data)
	for _, s := range found {
		if note := s.Note(); note != "" {
			report.Note(note)
		}
	}
	up := upLab{c, env, at, dir, report, container, servers.Paths(found), rand.Text()}
	parts, err := up.parts()
	if err != nil {
		return err
	}
	signals, stop := lab.Signals()
	defer stop()
	return withHint((&lab.Lab{Parts: parts, Report: report, Opened: func() {
		for _, f := range c.Fault {
			report.Note("Broken on purpose: " + string(f))
		}
		report.Links(lab.Link{Label: "Roll a die", URL: at.URL(frontendAt)},
			lab.Link{Label: "Explore", URL: at.URL(explorerAt)})
	}}).Run(ctx, signals))
}
