package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"dicelab/internal/lab"
	"dicelab/internal/query"
	"dicelab/internal/sqlexport"
	"dicelab/internal/terminal"
)

// progressEvery is the time between lines of progress.
const progressEvery = 5 * time.Second

// exportSQLite writes the file, with progress on standard error, and reports what is
// in it.
func (c *exportCommand) exportSQLite(ctx context.Context, env environment, tempo *query.Tempo) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var loki *query.Loki
	var err error
	if c.LokiURL != "" {
		if loki, err = query.NewLoki(c.query(c.LokiURL)); err != nil {
			return &lab.UsageError{Err: err}
		}
	}
	to := time.Now()
	from := to.Add(-c.Since)
	next := to.Add(progressEvery)
	counts, err := sqlexport.Export(ctx, sqlexport.Options{
		Tempo: tempo, Loki: loki, From: from, To: to, Path: c.SQLite,
		Progress: func(read sqlexport.Counts) {
			if now := time.Now(); now.After(next) {
				next = now.Add(progressEvery)
				fmt.Fprintln(env.stderr, "dicelab: read so far: "+read.String())
			}
		},
		Warn: func(text string) { warn(env, "%s", text) },
	})
	if refused := refuseFile(err, "--sqlite"); refused != nil {
		return refused
	}
	if failed, ok := errors.AsType[*query.Error](err); ok && failed.Unreachable() && ctx.Err() == nil {
		return unreachable(failed)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("stopped before the end")
		}
		return lab.Hint(fmt.Errorf("export: %w", err), "no file was written")
	}
	since := from.UTC().Format(time.RFC3339)
	_, err = fmt.Fprintln(env.stdout, terminal.Sprintf("%s  %s since %s", c.SQLite, counts.String(), since))
	return err
}
