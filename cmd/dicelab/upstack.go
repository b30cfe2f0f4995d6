package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/internal/lab/native"
	"dicelab/internal/pocket"
	"dicelab/internal/pocket/metrics"
	"dicelab/internal/pocket/store"
	"dicelab/stack"
)

// telemetryStack is what takes, keeps and serves the services' telemetry.
type telemetryStack struct {
	parts   []lab.Part
	otlp    lab.OTLP // where it takes spans
	readLog func(service string, r io.Reader) error
}

// telemetry makes the stack that was asked for, and points the explorer at it.
func (j joiner) telemetry() (telemetryStack, error) {
	if *j.stack == stackNone {
		return telemetryStack{readLog: func(string, io.Reader) error { return nil }}, nil
	}
	otlp := lab.OTLP{HTTP: j.at.url(otlpHTTPAt), GRPC: j.at.url(otlpGRPCAt)}
	*j.backends.prometheus, *j.backends.loki, *j.backends.tempo = j.at.url(prometheusAt), j.at.url(lokiAt), j.at.url(tempoAt)
	if *j.stack == stackNative {
		parts, spool, err := j.native()
		return telemetryStack{parts, otlp, spool.Read}, err
	}
	rules, err := stack.Configs.ReadFile("prometheus/rules.yml")
	if err != nil {
		return telemetryStack{}, err
	}
	otlp.OwnKey = rand.Text()
	keep := j.keep.options()
	keep.Fail = j.storeFailed
	s := pocket.New(pocket.Options{
		OwnKey: otlp.OwnKey, Memory: j.memory(), Print: j.report.Note, Recover: *j.recover,
		Dir: j.dir.Path(), Store: keep, Rules: rules, Explorer: j.at.url(explorerAt), Version: version(),
		Logger: slog.New(slog.NewTextHandler(j.env.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Targets: []metrics.Target{
			{Job: contract.ServiceFrontend, Address: j.at.target(frontendAt)},
			{Job: contract.ServiceRoller, Address: j.at.target(rollerAt)},
		},
	})
	return telemetryStack{j.embedded(s), otlp, s.ReadLog}, nil
}

// memory is what the lab's own process may have, in bytes; 0 means what GOMEMLIMIT
// says.
func (j joiner) memory() int64 {
	switch {
	case j.env.getenv(envMemoryLimit) != "":
		return 0
	case j.container > 0:
		return int64(shareOfStack * float64(j.container))
	}
	return math.MaxInt64
}

// storeFailed ends the program when the store cannot go on. Its services end when
// they find that it has.
func (j joiner) storeFailed(err error) {
	if failed, ok := errors.AsType[*store.FailedError](err); ok {
		err = hint(err, failed.Hint)
	}
	complain(j.env, err)
	_ = j.env.stderr.Flush() // there is nowhere to say that it failed
	os.Exit(lab.ExitCode(err))
}

// configurations are those of the real servers.
func (u *upFlags) configurations() fs.FS {
	if *u.configs != "" {
		return os.DirFS(*u.configs)
	}
	return stack.Configs
}

// native makes the real servers.
func (j joiner) native() ([]lab.Part, *native.Spool, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	s, err := native.New(native.Options{
		Dir: j.dir.Join("native"), Configs: j.configurations(), Listeners: j.at, Programs: j.programs,
		Targets: []native.Target{
			{Job: contract.ServiceFrontend, Address: j.at.target(frontendAt)},
			{Job: contract.ServiceRoller, Address: j.at.target(rollerAt)},
		},
		Guard: []string{self, guardCommand}, Env: os.Environ(), Notify: j.report.Children(),
	})
	if err != nil {
		return nil, nil, err
	}
	parts, err := s.Parts()
	return parts, s.Spool(), err
}

// embedded lists the parts of the embedded stack. Each API is a part of its own,
// so that the report names it with its address.
func (j joiner) embedded(stack *pocket.Stack) []lab.Part {
	prometheus := j.server("prometheus", prometheusAt, stack.Prometheus)
	serve, stop := prometheus.Start, prometheus.Stop
	prometheus.Start = func(ctx context.Context) error {
		if err := opening(stack.OpenMetrics)(ctx); err != nil {
			return err
		}
		return serve(ctx)
	}
	prometheus.Collect = stack.LastScrape
	prometheus.Stop = func(ctx context.Context) error { return errors.Join(stop(ctx), stack.CloseMetrics(ctx)) }
	return []lab.Part{
		{Name: "store", Start: opening(stack.OpenStore), Stop: stack.CloseStore},
		j.server("otlp http", otlpHTTPAt, stack.Receiver),
		lab.GRPCPart("otlp grpc", j.at[otlpGRPCAt], stack.GRPC),
		j.server("tempo", tempoAt, stack.Tempo),
		j.server("loki", lokiAt, stack.Loki),
		prometheus,
	}
}

// opening makes a failure to open what the data directory holds one that the
// person who typed the command can mend: data that is damaged, say.
func opening(open func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		err := open(ctx)
		if err == nil {
			return nil
		}
		next := "another data directory can be given with --data"
		if damaged, ok := errors.AsType[*pocket.DamagedError](err); ok {
			next = damagedHint(damaged)
		}
		return hint(&lab.UsageError{Err: err}, next)
	}
}

// damagedHint says what to type where something is damaged.
func damagedHint(e *pocket.DamagedError) string {
	aside := filepath.Join(e.Dir, "damaged-by-hand")
	var files []string
	for _, name := range e.Files {
		files = append(files, quoted(filepath.Join(e.Dir, name)))
	}
	return fmt.Sprintf("start without the old %s, and keep them in a folder of the data directory, with: dicelab up --recover --data %s; by hand: mkdir %s && mv %s %s",
		e.Lost, quoted(e.Dir), quoted(aside), strings.Join(files, " "), quoted(aside))
}

// quoted is a path as a shell reads it.
func quoted(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool {
		return !strings.ContainsRune("/._-", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
