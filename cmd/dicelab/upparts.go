package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/internal/lab/child"
	"dicelab/internal/pocket"
	"dicelab/internal/pocket/metrics"
	"dicelab/internal/web"
)

// joiner joins the packages into the parts of a lab.
type joiner struct {
	*upFlags
	env    environment
	at     places
	dir    *lab.Dir
	report *lab.Report
}

// parts lists what runs, in the order in which it starts: what takes telemetry
// before what emits it.
func (j joiner) parts() ([]lab.Part, error) {
	var parts []lab.Part
	var otlp lab.OTLP
	readLog := func(string, io.Reader) error { return nil }
	if *j.stack == stackEmbedded {
		stack := pocket.New(pocket.Options{
			Dir: j.dir.Path(), Explorer: j.at.url(explorerAt), Version: version(),
			Logger: slog.New(slog.NewTextHandler(j.env.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
			Targets: []metrics.Target{
				{Job: contract.ServiceFrontend, Address: j.at[frontendAt].Addr().String()},
				{Job: contract.ServiceRoller, Address: j.at[rollerAt].Addr().String()},
			},
		})
		otlp = lab.OTLP{HTTP: j.at.url(otlpHTTPAt), GRPC: j.at.url(otlpGRPCAt)}
		readLog = stack.ReadLog
		parts = j.embedded(stack)
		*j.backends.prometheus, *j.backends.loki, *j.backends.tempo = j.at.url(prometheusAt), j.at.url(lokiAt), j.at.url(tempoAt)
	}
	roller, err := j.service(contract.ServiceRoller, "roller", rollerAt, otlp, readLog, j.dice.args())
	if err != nil {
		return nil, err
	}
	explorerURL := j.at.url(explorerAt)
	frontend, err := j.service(contract.ServiceFrontend, "frontend", frontendAt, otlp, readLog, []string{
		"--roller-url", j.at.url(rollerAt), "--timeout", j.rollTimeout.String(), "--explorer-url", explorerURL,
		"--trace-url", explorerURL + "/traces/{trace_id}", "--logs-url", explorerURL + "/logs?trace_id={trace_id}",
	})
	if err != nil {
		return nil, err
	}
	explorer, err := j.backends.handler(j.at.url(frontendAt))
	if err != nil {
		return nil, err
	}
	parts = append(parts, roller, frontend, j.server("explorer", explorerAt, func() http.Handler { return explorer }))
	if !*j.traffic {
		return parts, nil
	}
	traffic, err := j.users(otlp, readLog)
	if err != nil {
		return nil, err
	}
	return append(parts, traffic), nil
}

// users is the traffic generator, as two users that never stop. It ends where
// the services are drained, before them: they finish what it has under way.
func (j joiner) users(otlp lab.OTLP, readLog func(string, io.Reader) error) (lab.Part, error) {
	part, err := j.service(contract.ServiceTraffic, "traffic", trafficAt, otlp, readLog, []string{
		"--frontend-url", j.at.url(frontendAt), "--users", "2", "--max-rolls-per-user", "20", "--think", "1s..4s", "--forever",
		"--addr", j.at[trafficAt].Addr().String(), "--log", toStdout, "--report", toNone,
	})
	part.URL, part.Drain, part.Stop = "", part.Stop, nil
	return part, err
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
// person who typed the command can mend: data of a newer version, say.
func opening(open func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := open(ctx); err != nil {
			return hint(&lab.UsageError{Err: err}, "another data directory can be given with --data")
		}
		return nil
	}
}

func (j joiner) server(name, at string, handler func() http.Handler) lab.Part {
	return lab.ServerPart(name, j.at[at], func() http.Handler { return web.Guard(handler()) })
}

// service runs one of this program's own services as a child process, as a
// container runtime would.
func (j joiner) service(service, command, at string, otlp lab.OTLP, readLog func(string, io.Reader) error, args []string) (lab.Part, error) {
	program, err := os.Executable()
	if err != nil {
		return lab.Part{}, fmt.Errorf("finding this program: %w", err)
	}
	c, err := child.New(child.Config{
		Name: service, Path: program, Args: append(append([]string{command}, args...), j.faultArgs(service)...),
		Env: lab.Environ(os.Environ(), service, otlp), Listener: j.at[at], ReadyURL: j.at.url(at) + "/readyz",
		Stdout: func(r io.Reader) error { return readLog(service, r) }, Stderr: j.env.stderr, Notify: j.report.Children(),
	})
	if err != nil {
		return lab.Part{}, err
	}
	return lab.ServicePart(service, j.at.url(at), c), nil
}
