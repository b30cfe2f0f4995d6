package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/internal/query"
	"dicelab/internal/sqlexport"
	"dicelab/internal/terminal"
)

// sinceFlag means something with --sqlite alone, as lokiFlag does here.
const sinceFlag = "since"

// Bounds of --since: no store keeps telemetry for longer than some years.
const (
	leastSince = time.Second
	mostSince  = 10 * 365 * 24 * time.Hour
)

// progressEvery is the time between lines of progress.
const progressEvery = 5 * time.Second

// sqlFlags are the flags of an export to SQLite.
type sqlFlags struct {
	file, lokiURL *string
	since         *time.Duration
}

func defineSQLFlags(f *flags) *sqlFlags {
	return &sqlFlags{
		file: f.String("sqlite", "", "`file` of SQLite to write all traces and log lines of the last --since to, which must not exist yet; without TRACE_ID"),
		lokiURL: f.url(lokiFlag, "http://localhost:"+contract.PortLoki, "`URL` of Loki, for --sqlite; "+orNone+
			", to leave log lines out"),
		since: f.duration(sinceFlag, time.Hour, leastSince, mostSince, "`time` before now that is exported, for --sqlite"),
	}
}

// arguments returns the arguments that are wanted beside the flags.
func (s *sqlFlags) arguments() []string {
	if *s.file != "" {
		return nil
	}
	return []string{"TRACE_ID"}
}

// export writes the file, with progress on standard error, and reports what is in
// it.
func (s *sqlFlags) export(ctx context.Context, env environment, tempoURL string, header http.Header) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	tempo, err := query.NewTempo(query.Config{URL: tempoURL, Header: header})
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	var loki *query.Loki
	if *s.lokiURL != "" {
		if loki, err = query.NewLoki(query.Config{URL: *s.lokiURL, Header: header}); err != nil {
			return &lab.UsageError{Err: err}
		}
	}
	to := time.Now()
	from := to.Add(-*s.since)
	next := to.Add(progressEvery)
	counts, err := sqlexport.Export(ctx, sqlexport.Options{
		Tempo: tempo, Loki: loki, From: from, To: to, Path: *s.file,
		Progress: func(c sqlexport.Counts) {
			if now := time.Now(); now.After(next) {
				next = now.Add(progressEvery)
				fmt.Fprintln(env.stderr, "dicelab: read so far: "+amounts(c))
			}
		},
		Warn: func(text string) { warn(env, "%s", text) },
	})
	if errors.Is(err, sqlexport.ErrExists) {
		return hint(usagef("export: %w", err), "nothing is overwritten: give another name with --sqlite, or remove the file first")
	}
	if failed, ok := errors.AsType[*query.Error](err); ok && failed.Unreachable() && ctx.Err() == nil {
		return unreachable(failed)
	}
	if failed, ok := errors.AsType[*fs.PathError](err); ok && failed.Op == "open" {
		return hint(&lab.UsageError{Err: fmt.Errorf("export: %w", err)}, "give another name with --sqlite")
	}
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("stopped before the end")
		}
		return hint(fmt.Errorf("export: %w", err), "no file was written")
	}
	_, err = fmt.Fprintln(env.stdout, terminal.Sprintf("%s  %s since %s", *s.file, amounts(counts), from.UTC().Format(time.RFC3339)))
	return err
}

func amounts(c sqlexport.Counts) string {
	return fmt.Sprintf("%d spans in %d traces, %d log lines", c.Spans, c.Traces, c.Lines)
}
