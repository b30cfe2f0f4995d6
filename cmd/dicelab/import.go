package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"dicelab/internal/cli"
	"dicelab/internal/embedded/store"
	"dicelab/internal/lab"
	"dicelab/internal/otlpclient"
	"dicelab/internal/otlpjson"
	"dicelab/internal/terminal"
)

// traceAge is the time that the lab's stores, embedded and real, keep a trace.
const traceAge = store.DefaultTraceAge

type importCommand struct {
	Files    []string `arg:"" name:"FILE" help:"File with traces as OTLP JSON; - for standard input."`
	TraceURL cli.URL  `default:"${trace_link}" none:"" help:"Link to a trace, to print; {trace_id} stands for its ID."`
}

// Help describes the environment of the command.
func (importCommand) Help() string { return helpImport }

// Run sends traces from files to a trace store. It exits 0 if the store has all of
// them, 1 if it has not taken some, 2 if a file cannot be read: then nothing was
// sent.
func (c *importCommand) Run(ctx context.Context, env environment) (err error) {
	traces, err := otlpjson.ReadFiles(c.Files, env.stdin, func(name, text string) { warn(env, "%s: %s", name, text) })
	if err != nil {
		return lab.Refuse(err, "nothing was sent: mend or leave out what is wrong, then import again")
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	uploader, err := otlpclient.NewUploader(ctx)
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	defer func() { err = errors.Join(err, uploader.Close(context.WithoutCancel(ctx))) }()
	for i, trace := range traces {
		receipt, err := uploader.Upload(ctx, trace.Data)
		if err != nil {
			err = fmt.Errorf("trace %s: %w", trace.ID, err)
			return lab.Hint(err, fmt.Sprintf("stored so far: %d of %d traces, and %d of %d spans of this one; "+
				"start the lab with: dicelab up; or set OTEL_EXPORTER_OTLP_ENDPOINT",
				i, len(traces), receipt.Stored, trace.Spans))
		}
		if receipt.Rejected > 0 {
			return fmt.Errorf("trace %s: %s has rejected %d of its %d spans: %s",
				trace.ID, uploader.To(), receipt.Rejected, trace.Spans, strings.Join(receipt.Remarks, "; "))
		}
		for _, remark := range receipt.Remarks {
			warn(env, "%s says: %s", uploader.To(), remark)
		}
		if trace.Oldest.Before(time.Now().Add(-traceAge)) {
			warn(env, "trace %s began at %s, more than %.0f hours ago: the lab's stores delete such spans again, "+
				"the embedded one within a minute;\n"+
				"  to look at it without storing it, open the file on the explorer's page Traces",
				trace.ID, trace.Oldest.Format(time.RFC3339), traceAge.Hours())
		}
		line := trace.String()
		if c.TraceURL != "" {
			line += "  " + strings.ReplaceAll(string(c.TraceURL), "{trace_id}", trace.ID)
		}
		if _, err := fmt.Fprintln(env.stdout, terminal.Sprintf("%s  %s", trace.ID, line)); err != nil {
			return fmt.Errorf("writing to standard output: %w", err)
		}
	}
	return nil
}
