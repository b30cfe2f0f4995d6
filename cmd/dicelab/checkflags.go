package main

import (
	"net/http"
	"os"
	"strings"
	"time"

	"dicelab/internal/checklist"
	"dicelab/internal/cli"
	"dicelab/internal/query"
	"dicelab/internal/verify"
	"dicelab/stack"
)

// backendFlags are the addresses of the three query APIs, and what their queries
// carry.
type backendFlags struct {
	PrometheusURL cli.URL `default:"http://localhost:${prometheus}" help:"URL of Prometheus."`
	LokiURL       cli.URL `default:"http://localhost:${loki}" help:"URL of Loki."`
	TempoURL      cli.URL `default:"http://localhost:${tempo}" help:"URL of Tempo."`
	headerFlag
}

type headerFlag struct {
	Header []cli.Header `sep:"none" placeholder:"NAME=VALUE" help:"Header to send with every query, for tenants and tokens."`
}

func (h headerFlag) header() http.Header {
	headers := http.Header{}
	for _, text := range h.Header {
		name, value, _ := strings.Cut(string(text), "=")
		headers.Add(name, value)
	}
	return headers
}

func (h headerFlag) query(url cli.URL) query.Config {
	return query.Config{URL: string(url), Header: h.header()}
}

// modeGuessed is the word for a mode that is to be found out.
const modeGuessed = "guess"

// checkFlags are the settings of the checks of verify, and of the explorer's page
// Checklist.
type checkFlags struct {
	RollerURL   cli.URL       `default:"http://localhost:${roller}" help:"URL of the dice roller."`
	AlloyURL    cli.URL       `default:"http://localhost:${alloy}" help:"URL of Alloy."`
	GrafanaURL  cli.URL       `default:"${grafana}" none:"" help:"URL of Grafana, asked at the default in mode compose only."`
	Mode        string        `enum:"${modes}" default:"guess" help:"How the servers run: embedded, native, compose, own, or guess to find out."`
	Timeout     time.Duration `default:"${checks_timeout}" min:"100ms" max:"1h" help:"Time to wait for what must come, after the rolls."`
	StackConfig string        `placeholder:"DIR" help:"Directory of the real servers' configurations, laid out as the folder stack. The program's own if not given."`
}

// options returns the options of the checks.
func (c *checkFlags) options(frontend cli.URL, b *backendFlags) verify.Options {
	o := verify.Options{
		Frontend: string(frontend), Roller: string(c.RollerURL),
		Prometheus: string(b.PrometheusURL), Loki: string(b.LokiURL), Tempo: string(b.TempoURL),
		Alloy: string(c.AlloyURL), Grafana: string(c.GrafanaURL), Header: b.header(), Timeout: c.Timeout,
		Stack: stack.Configs, Version: version(), Traffic: simulate(string(frontend), os.Environ()),
	}
	if c.Mode != modeGuessed {
		o.Mode = checklist.Mode(c.Mode)
	}
	if c.StackConfig != "" {
		o.Stack = os.DirFS(c.StackConfig)
	}
	return o
}
