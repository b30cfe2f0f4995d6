package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/internal/otlpjson"
	"dicelab/internal/pocket/store"
	"dicelab/internal/telemetry"
	"dicelab/internal/terminal"
)

// traceAge is how long the lab's stores, embedded and real, keep a trace.
const traceAge = store.DefaultTraceAge

// standardInput is the name of a file that is read from there.
const standardInput = "-"

// importCommand sends traces from files to a trace store. It exits 0 when the
// store has all of them, 1 when it has not taken some, 2 when a file cannot be
// read: then nothing was sent.
func importCommand(ctx context.Context, env environment, f *flags) (err error) {
	traceURL := f.url("trace-url", "http://localhost:"+contract.PortExplorer+"/traces/{trace_id}", "`link` to a trace, to print; {trace_id} stands for its ID; "+orNone)
	if err := f.parse("FILE..."); err != nil {
		return err
	}
	traces, err := readTraces(env, f.Args())
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	uploader, err := telemetry.NewUploader(ctx)
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	defer func() { err = errors.Join(err, uploader.Close(context.WithoutCancel(ctx))) }()
	for i, trace := range traces {
		receipt, err := uploader.Upload(ctx, trace.Data)
		if err != nil {
			err = fmt.Errorf("trace %s: %w", trace.ID, err)
			return hint(err, fmt.Sprintf("stored so far: %d of %d traces, and %d of %d spans of this one; start the lab with: dicelab up; or set OTEL_EXPORTER_OTLP_ENDPOINT",
				i, len(traces), receipt.Stored, trace.Spans))
		}
		if receipt.Rejected > 0 {
			return fmt.Errorf("trace %s: %s has rejected %d of its %d spans: %s", trace.ID, uploader.To(), receipt.Rejected, trace.Spans, strings.Join(receipt.Remarks, "; "))
		}
		for _, remark := range receipt.Remarks {
			warn(env, "%s says: %s", uploader.To(), remark)
		}
		if trace.Oldest.Before(time.Now().Add(-traceAge)) {
			warn(env, "trace %s began at %s, more than %s ago: the lab's stores delete such spans again, the embedded one within a minute;\n"+
				"  to look at it without storing it, open the file on the explorer's page Traces", trace.ID, trace.Oldest.Format(time.RFC3339), hours(traceAge))
		}
		line := describe(trace)
		if *traceURL != "" {
			line += "  " + strings.ReplaceAll(*traceURL, "{trace_id}", trace.ID)
		}
		if _, err := fmt.Fprintln(env.stdout, terminal.Sprintf("%s  %s", trace.ID, line)); err != nil {
			return fmt.Errorf("writing to standard output: %w", err)
		}
	}
	return nil
}

// readTraces reads all files before anything is sent.
func readTraces(env environment, files []string) ([]otlpjson.Trace, error) {
	var traces []otlpjson.Trace
	var errs []error
	for _, name := range files {
		doc, err := readFile(env, name)
		if name == standardInput {
			name = "standard input"
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("reading %s: %w", name, err))
			continue
		}
		for _, note := range doc.Notes {
			warn(env, "%s: %s", name, note)
		}
		if doc.Partial {
			warn(env, "%s: the trace store that wrote it has left spans out, as it says", name)
		}
		traces = append(traces, doc.Traces...)
	}
	if len(errs) > 0 {
		return nil, hint(errors.Join(errs...), "nothing was sent: mend or leave out what is wrong, then import again")
	}
	return traces, nil
}

func readFile(env environment, name string) (*otlpjson.Document, error) {
	if name == standardInput {
		return otlpjson.Read(env.stdin)
	}
	file, err := os.Open(name)
	if err != nil {
		if failed, ok := errors.AsType[*fs.PathError](err); ok {
			err = failed.Err // the path is in the message already
		}
		return nil, err
	}
	defer file.Close()
	return otlpjson.Read(file)
}

// describe says of a trace what it has.
func describe(t otlpjson.Trace) string {
	names := make([]string, len(t.Services))
	for i, name := range t.Services {
		names[i] = cmp.Or(name, "a service without a name")
	}
	spans := "spans"
	if t.Spans == 1 {
		spans = "span"
	}
	return fmt.Sprintf("%d %s of %s", t.Spans, spans, strings.Join(names, ", "))
}

// warn tells of something that is no error but should not pass unseen.
func warn(env environment, format string, args ...any) {
	fmt.Fprintln(env.stderr, "dicelab: warning: "+terminal.Sprintf(format, args...))
}

func hours(d time.Duration) string { return fmt.Sprintf("%.0f hours", d.Hours()) }
