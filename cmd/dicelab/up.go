package main

import (
	"context"
	"errors"
	"io"

	"dicelab/internal/lab"
	"dicelab/internal/lab/servers"
	"dicelab/internal/telemetry"
)

// up runs everything on this machine. What can be refused is refused before
// anything starts: flags, then the data directory, then ports. The directory
// comes first since a second lab, which finds both taken, is best told of the
// first.
func up(ctx context.Context, env environment, f *flags) (err error) {
	u := defineUp(f)
	if err := f.parse(); err != nil {
		return err
	}
	if err := u.settle(f); err != nil {
		return err
	}
	container, err := limitMemory(env.getenv, shareOfStack, memoryOfStack)
	if err != nil {
		return err
	}
	if err := checkTelemetry(ctx); err != nil {
		return err
	}
	var found []servers.Server
	if *u.stack == stackNative {
		if found, err = findServers(ctx, env, *u.servers); err != nil {
			return err
		}
	}
	lab.Umask()
	dir, err := lab.OpenDir(*u.data, "--data")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	at, err := u.listen(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, at.close()) }()

	report := lab.NewReport(env.stdout.Raw(), lab.Colour(env.stdout.File(), env.getenv))
	report.Title(version(), *u.data)
	for _, s := range found {
		if note := s.Note(); note != "" {
			report.Note(note)
		}
	}
	join := joiner{upFlags: u, env: env, at: at, dir: dir, report: report, container: container, programs: servers.Paths(found)}
	parts, err := join.parts()
	if err != nil {
		return err
	}
	signals, stop := lab.Signals()
	defer stop()
	return (&lab.Lab{Parts: parts, Report: report, Opened: func() {
		for _, f := range *u.faults {
			report.Note("Broken on purpose: " + f)
		}
		report.Links(lab.Link{Label: "Roll a die", URL: at.url(frontendAt)}, lab.Link{Label: "Explore", URL: at.url(explorerAt)})
	}}).Run(ctx, signals)
}

// checkTelemetry refuses OTEL_* settings that the services would refuse, so that
// it is told once and before anything has started.
func checkTelemetry(ctx context.Context) error {
	tel, err := telemetry.New(ctx, telemetry.Config{Output: io.Discard})
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	return tel.Shutdown(ctx)
}
