package main

import (
	"context"
	"errors"

	"dicelab/internal/lab"
)

// up runs everything on this machine. What can be refused is refused before
// anything starts: flags, then ports, then the data directory.
func up(ctx context.Context, env environment, f *flags) (err error) {
	u := defineUp(f)
	if err := f.parse(); err != nil {
		return err
	}
	if err := u.check(); err != nil {
		return err
	}
	at, err := u.listen(ctx)
	if err != nil {
		return err
	}
	dir, err := lab.OpenDir(*u.data, "--data")
	if err != nil {
		return errors.Join(err, at.close())
	}
	defer func() { err = errors.Join(err, dir.Close()) }()

	report := lab.NewReport(env.stdout, lab.Colour(env.stdout, env.getenv))
	report.Title(version(), *u.data)
	join := joiner{upFlags: u, env: env, at: at, dir: dir, report: report}
	parts, err := join.parts()
	if err != nil {
		return errors.Join(err, at.close())
	}
	signals, stop := lab.Signals()
	defer stop()
	return (&lab.Lab{Parts: parts, Report: report, Opened: func() {
		for _, f := range u.faults {
			report.Note("Broken on purpose: " + f)
		}
		report.Links(lab.Link{Label: "Roll a die", URL: at.url(frontendAt)}, lab.Link{Label: "Explore", URL: at.url(explorerAt)})
	}}).Run(ctx, signals)
}
