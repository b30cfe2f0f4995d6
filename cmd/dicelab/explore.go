package main

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"dicelab/internal/contract"
	"dicelab/internal/explorer"
	"dicelab/internal/lab"
	"dicelab/internal/query"
	"dicelab/internal/web"
)

// backends says where the three query APIs are.
type backends struct {
	prometheus, loki, tempo *string
	headers                 list
}

func backendFlags(f *flags) *backends {
	b := &backends{
		prometheus: f.String("prometheus-url", "http://localhost:"+contract.PortPrometheus, "`URL` of Prometheus"),
		loki:       f.String("loki-url", "http://localhost:"+contract.PortLoki, "`URL` of Loki"),
		tempo:      f.String("tempo-url", "http://localhost:"+contract.PortTempo, "`URL` of Tempo"),
	}
	f.Var(&b.headers, "header", "`NAME=VALUE` to send with every query, for tenants and tokens (repeatable)")
	return b
}

// handler makes the explorer over the backends.
func (b *backends) handler(frontendURL string) (http.Handler, error) {
	headers := http.Header{}
	for _, h := range b.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return nil, usagef("--header %q: write it as NAME=VALUE", h)
		}
		headers.Add(name, value)
	}
	config := func(url string) query.Config { return query.Config{URL: url, Header: headers} }
	prometheus, err1 := query.NewPrometheus(config(*b.prometheus))
	loki, err2 := query.NewLoki(config(*b.loki))
	tempo, err3 := query.NewTempo(config(*b.tempo))
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, &lab.UsageError{Err: err}
	}
	return explorer.NewHandler(explorer.Options{
		Prometheus: prometheus, Loki: loki, Tempo: tempo, FrontendURL: frontendURL, Version: version(),
	})
}

func exploreCommand(ctx context.Context, env environment, f *flags) error {
	addr := f.String("addr", "127.0.0.1:"+contract.PortExplorer, "`address` to listen on; port 0 takes a free one")
	frontendURL := f.String("frontend-url", "http://localhost:"+contract.PortFrontend, "`URL` of the front end, where rolls are made")
	b := backendFlags(f)
	if err := f.parse(); err != nil {
		return err
	}
	handler, err := b.handler(*frontendURL)
	if err != nil {
		return err
	}
	listeners, err := lab.Listen(ctx, lab.Address{Addr: *addr, Owner: "the explorer", Flag: "--addr"})
	if err != nil {
		return err
	}
	signals, stop := lab.Signals()
	defer stop()
	report := lab.NewReport(env.stdout, lab.Colour(env.stdout, env.getenv))
	part := lab.ServerPart("explorer", listeners[0], func() http.Handler { return web.GuardForms(handler) })
	return (&lab.Lab{Parts: []lab.Part{part}, Report: report}).Run(ctx, signals)
}
