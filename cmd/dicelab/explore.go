package main

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/http"

	"dicelab/internal/cli"
	"dicelab/internal/explorer"
	"dicelab/internal/grafana"
	"dicelab/internal/lab"
	"dicelab/internal/query"
	"dicelab/internal/quest"
	"dicelab/internal/web"
)

type exploreCommand struct {
	serveFlags  `set:"port=${explorer}"`
	FrontendURL cli.URL      `default:"http://localhost:${frontend}" help:"URL of the front end."`
	RollLink    cli.URL      `placeholder:"URL" help:"URL of the front end as browsers reach it. That of --frontend-url if not given."`
	BasePath    cli.Path     `placeholder:"PATH" help:"Path below which a reverse proxy serves the pages, such as /lab."`
	Backends    backendFlags `embed:"" group:"Query APIs"`
	Checks      checkFlags   `embed:"" group:"Checklist"`
}

// Run runs the explorer.
func (c *exploreCommand) Run(ctx context.Context, env environment, given cli.Given) error {
	if _, err := lab.LimitMemory(env.getenv, lab.ShareOfProcess, math.MaxUint64); err != nil {
		return err
	}
	o := c.Checks.options(c.FrontendURL, &c.Backends)
	hint := "start the lab with: dicelab up; or give the URL of the front end: dicelab explore --frontend-url URL"
	checks, err := newExplorerChecks(o, hint, serversGiven(o, given))
	if err != nil {
		return err
	}
	handler, err := c.Backends.explorer(cmp.Or(c.RollLink, c.FrontendURL), "", c.BasePath, checks, nil)
	if err != nil {
		return err
	}
	listeners, err := lab.Listen(ctx, lab.Address{Addr: string(c.Addr), Owner: "the explorer", Flag: "--addr"})
	if err != nil {
		return err
	}
	signals, stop := lab.Signals()
	defer stop()
	report := lab.NewReport(env.stdout.Raw(), lab.Colour(env.stdout.File(), env.getenv))
	handler = web.Guard(handler, cli.Texts(c.AllowHost)...)
	part := lab.ServerPart("explorer", listeners[""], func() http.Handler { return handler })
	return (&lab.Lab{Parts: []lab.Part{part}, Report: report}).Run(ctx, signals)
}

// clients returns clients of the backends.
func (b *backendFlags) clients() (*query.Prometheus, *query.Loki, *query.Tempo, error) {
	prometheus, err1 := query.NewPrometheus(b.query(b.PrometheusURL))
	loki, err2 := query.NewLoki(b.query(b.LokiURL))
	tempo, err3 := query.NewTempo(b.query(b.TempoURL))
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, nil, nil, &lab.UsageError{Err: err}
	}
	return prometheus, loki, tempo, nil
}

// explorer makes the explorer over the backends. Its pages link to the front end.
func (b *backendFlags) explorer(frontend, otlp cli.URL, base cli.Path, checks *explorerChecks, quests *quest.Engine) (http.Handler, error) {
	prometheus, loki, tempo, err := b.clients()
	if err != nil {
		return nil, err
	}
	var senders *query.Senders
	if otlp != "" {
		var err error
		if senders, err = query.NewSenders(query.Config{URL: string(otlp)}); err != nil {
			return nil, err
		}
	}
	return explorer.NewHandler(explorer.Options{
		Prometheus: prometheus, Loki: loki, Tempo: tempo, Senders: senders,
		Dashboard: grafana.Stage2(), Checklist: checks, FrontendURL: string(frontend), BasePath: string(base), Version: version(),
		Faults: checks.faults(), Quests: quests,
	})
}
