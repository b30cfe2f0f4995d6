package main

import (
	"context"
	"net/http"
	"time"

	"dicelab/internal/cli"
	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/frontend"
	"dicelab/internal/roller"
	"dicelab/internal/telemetry"
)

type frontendCommand struct {
	Service     serviceFlags  `embed:"" set:"port=${frontend}"`
	RollerURL   cli.URL       `default:"http://localhost:${roller}" help:"URL of the dice roller."`
	Timeout     time.Duration `default:"5s" min:"1ms" max:"1m" help:"Time that a roll may take before it is given up."`
	TraceURL    string        `group:"Links" default:"${trace_link}" help:"Link to a trace; {trace_id} stands for its ID."`
	LogsURL     string        `group:"Links" default:"${logs_link}" help:"Link to the log lines of a trace."`
	ExplorerURL cli.URL       `group:"Links" none:"" default:"http://localhost:${explorer}" help:"URL of the explorer."`
}

// Help describes the environment of the command.
func (frontendCommand) Help() string { return helpTelemetry }

// Run runs the front end.
func (c *frontendCommand) Run(ctx context.Context, env environment) error {
	return c.Service.run(ctx, env, contract.ServiceFrontend, contract.MsgFrontendStarted,
		func(tel *telemetry.Telemetry, faults *fault.Set) (http.Handler, error) {
			return c.handler(tel, faults, env.getenv(envControl))
		})
}

func (c *frontendCommand) handler(tel *telemetry.Telemetry, faults *fault.Set, control string) (http.Handler, error) {
	base := roller.NewTransport()
	client, err := roller.NewClient(string(c.RollerURL), tel.Transport(base), c.Timeout)
	if err != nil {
		return nil, err
	}
	options := frontend.Options{
		Telemetry: tel, Roller: client, BackendURL: string(c.RollerURL), TraceURL: c.TraceURL, LogsURL: c.LogsURL,
		ExplorerURL: string(c.ExplorerURL), Faults: faults, Control: control, Hosts: cli.Texts(c.Service.AllowHost),
	}
	if c.Service.FaultSwitches {
		options.Switches = &fault.Remote{URL: string(c.RollerURL), Client: &http.Client{Transport: base}}
	}
	return frontend.NewHandler(options)
}
