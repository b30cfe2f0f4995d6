package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/internal/otlpjson"
	"dicelab/internal/query"
	"dicelab/internal/terminal"
)

// exportCommand writes a trace as OTLP JSON, or all traces and log lines of a time
// as an SQLite file. It exits 0 when they are written, 1 when the store does not
// have the trace or not all could be read, 2 when no server could be asked or the
// file is there already.
func exportCommand(ctx context.Context, env environment, f *flags) error {
	tempoURL := f.url("tempo-url", "http://localhost:"+contract.PortTempo, "`URL` of Tempo")
	headers := headerFlag(f, "")
	output := f.String("output", "", "`file` to write, which must not exist yet (default: standard output)")
	sql := defineSQLFlags(f)
	if err := f.parseFor(sql.arguments); err != nil {
		return err
	}
	if given := f.given(); *sql.file != "" {
		if given["output"] {
			return f.usage(errors.New("--output and --sqlite exclude each other: --sqlite names the file"))
		}
		return sql.export(ctx, env, *tempoURL, asHeader(*headers))
	} else if given[sinceFlag] || given[lokiFlag] {
		return f.usage(errors.New("--since and --loki-url mean something with --sqlite FILE alone"))
	}
	id, err := query.ParseTraceID(f.Arg(0))
	if err != nil {
		return hint(usagef("export: %w", err), "the address of the trace's page ends with its ID, and so does the answer to a roll")
	}
	tempo, err := query.NewTempo(query.Config{URL: *tempoURL, Header: asHeader(*headers)})
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	trace, partial, err := tempo.Export(ctx, id, 0)
	if errors.Is(err, query.ErrNotFound) {
		return hint(fmt.Errorf("trace %s is not at %s", id, tempo.URL()),
			fmt.Sprintf("a new trace takes a second to get there, and the lab keeps traces for %s; another Tempo can be given with --tempo-url", hours(traceAge)))
	}
	if failed, ok := errors.AsType[*query.Error](err); ok && failed.Unreachable() {
		return unreachable(failed)
	}
	if err != nil {
		return err
	}
	if partial {
		warn(env, "%s has left spans out of trace %s, as it says: the trace is larger than it answers with", tempo.URL(), id)
	}
	if *output == "" {
		return trace.Write(env.stdout)
	}
	return saveTrace(env, *output, trace)
}

// unreachable returns the error of a server that does not answer.
func unreachable(err *query.Error) error {
	return hint(&lab.UsageError{Err: err}, fmt.Sprintf("start the lab with: dicelab up; or say where %s is with --%s-url", err.Server, strings.ToLower(err.Server)))
}

// saveTrace writes a new file, whole or not at all, that its owner alone can read:
// telemetry may be private.
func saveTrace(env environment, path string, trace otlpjson.Trace) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return hint(usagef("export: %s is there already", path), "nothing is overwritten: give another name with --output, or remove the file first")
	}
	if err != nil {
		return hint(usagef("export: creating the file: %w", err), "give another name with --output")
	}
	err = trace.Write(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(path))
	}
	_, err = fmt.Fprintln(env.stdout, terminal.Sprintf("%s  %s", path, describe(trace)))
	return err
}
