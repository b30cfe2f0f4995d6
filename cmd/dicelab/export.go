package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"dicelab/internal/cli"
	"dicelab/internal/lab"
	"dicelab/internal/query"
	"dicelab/internal/sqlexport"
	"dicelab/internal/terminal"
)

type exportCommand struct {
	TraceID  string  `arg:"" optional:"" name:"TRACE_ID" help:"Trace to write; not with --sqlite."`
	Output   string  `group:"without sqlite" placeholder:"FILE" help:"File to write, which must not exist yet. Standard output if not given."`
	TempoURL cli.URL `default:"http://localhost:${tempo}" help:"URL of Tempo."`
	headerFlag
	SQLite  string        `name:"sqlite" placeholder:"FILE" help:"File of SQLite to write all traces and log lines of the last --since to, which must not exist yet."`
	Since   time.Duration `group:"with sqlite" default:"1h" min:"1s" max:"87600h" help:"Time before now that is exported."`
	LokiURL cli.URL       `group:"with sqlite" default:"http://localhost:${loki}" none:"" help:"URL of Loki; without, log lines are left out."`
	Data    string        `group:"with sqlite" default:".dicelab" help:"Data directory of an embedded stack, which may run: read instead of Tempo and Loki, and faster. The default is read if it is there and no server is given."`

	fromServers bool // rather than from Data
}

func (c *exportCommand) Check(given cli.Given) error {
	server := ""
	for _, name := range []string{"tempo-url", "loki-url", "header"} {
		if given[name] {
			server = name
		}
	}
	c.fromServers = server != "" || !given["data"] && !hasStore(c.Data)
	switch {
	case given["data"] && server != "":
		return fmt.Errorf("--data and --%s exclude each other: a data directory is read without servers", server)
	case c.SQLite == "" && c.TraceID == "":
		return errors.New("TRACE_ID is missing")
	case c.SQLite != "" && c.TraceID != "":
		return fmt.Errorf("unexpected argument %s: --sqlite exports all traces", c.TraceID)
	}
	return nil
}

// Run writes a trace as OTLP JSON, or all traces and log lines of a time as an
// SQLite file. It exits 0 if they are written, 1 if the store does not have the
// trace or not all could be read, 2 if no server could be asked or the file is
// there already.
func (c *exportCommand) Run(ctx context.Context, env environment) error {
	tempo, err := query.NewTempo(c.query(c.TempoURL))
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	if c.SQLite != "" {
		return c.exportSQLite(ctx, env, tempo)
	}
	id, err := query.ParseTraceID(c.TraceID)
	if err != nil {
		return lab.Refuse(fmt.Errorf("export: %w", err),
			"the address of the trace's page ends with its ID, and so does the answer to a roll")
	}
	trace, partial, err := tempo.Export(ctx, id, 0)
	if errors.Is(err, query.ErrNotFound) {
		return lab.Hint(fmt.Errorf("trace %s is not at %s", id, tempo.URL()),
			fmt.Sprintf("a new trace takes a second to get there, and the lab keeps traces for %.0f hours; "+
				"another Tempo can be given with --tempo-url", traceAge.Hours()))
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
	if c.Output == "" {
		return trace.Write(env.stdout)
	}
	if err := trace.Create(c.Output); err != nil {
		return cmp.Or(refuseFile(err, c.Output, "--output"), err)
	}
	_, err = fmt.Fprintln(env.stdout, terminal.Sprintf("%s  %s", c.Output, trace.String()))
	return err
}

// unreachable returns the error of a server that does not answer.
func unreachable(err *query.Error) error {
	return lab.Refuse(err, fmt.Sprintf("start the lab with: dicelab up; or say where %s is with --%s-url",
		err.Server, strings.ToLower(err.Server)))
}

// refuseFile returns the error of a file that cannot be written, whose name is path,
// the value of flag, or nil if err is another one.
func refuseFile(err error, path, flag string) error {
	failed, isPath := errors.AsType[*fs.PathError](err)
	switch {
	case errors.Is(err, fs.ErrExist) && isPath:
		err = fmt.Errorf("%s is there already", failed.Path)
		fallthrough
	case errors.Is(err, sqlexport.ErrExists):
		return lab.Refuse(fmt.Errorf("export: %w", err),
			"nothing is overwritten: give another name with "+flag+", or remove the file first")
	case isPath && failed.Op == "open" && filepath.Dir(failed.Path) == filepath.Dir(path):
		return lab.Refuse(fmt.Errorf("export: %w", err), "give another name with "+flag)
	}
	return nil
}
