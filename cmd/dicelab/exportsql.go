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
	to := time.Now()
	from := to.Add(-c.Since)
	o, err := c.source(tempo, from)
	if err != nil {
		return err
	}
	next := to.Add(progressEvery)
	o.From, o.To, o.Path = from, to, c.SQLite
	o.Progress = func(read sqlexport.Counts) {
		if now := time.Now(); now.After(next) {
			next = now.Add(progressEvery)
			fmt.Fprintln(env.stderr, "dicelab: read so far: "+read.String())
		}
	}
	o.Warn = func(text string) { warn(env, "%s", text) }
	counts, err := sqlexport.Export(ctx, o)
	if refused := refuseFile(err, c.SQLite, "--sqlite"); refused != nil {
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
	where := from.UTC().Format(time.RFC3339)
	if !c.fromServers {
		where += ", from " + c.Data
	}
	_, err = fmt.Fprintln(env.stdout, terminal.Sprintf("%s  %s since %s", c.SQLite, counts.String(), where))
	return err
}

// source returns what is read: servers, or a data directory.
func (c *exportCommand) source(tempo *query.Tempo, since time.Time) (o sqlexport.Options, err error) {
	if !c.fromServers {
		o.Journals, err = journals(c.Data, since)
		return o, err
	}
	o.Tempo = tempo
	if c.LokiURL != "" {
		if o.Loki, err = query.NewLoki(c.query(c.LokiURL)); err != nil {
			return o, &lab.UsageError{Err: err}
		}
	}
	return o, nil
}
