package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"dicelab/internal/checklist"
	"dicelab/internal/cli"
	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/lab"
	"dicelab/internal/verify"
)

// explorerChecks are the checks of verify as the explorer performs them.
type explorerChecks struct {
	options verify.Options
	servers []checklist.Server
	hint    string // what to do where the front end does not answer
	modeWhy string // how the mode is known; empty: verify finds it out
}

// newExplorerChecks refuses options that verify would refuse, when the explorer
// starts.
func newExplorerChecks(o verify.Options, hint string, servers []checklist.Server) (*explorerChecks, error) {
	if _, err := verify.New(o); err != nil {
		return nil, &lab.UsageError{Err: err}
	}
	return &explorerChecks{options: o, servers: servers, hint: hint}, nil
}

// serversGiven lists the servers of o with the flags of their addresses, and
// whether those were given.
func serversGiven(o verify.Options, given cli.Given) []checklist.Server {
	servers := serversOf(o)
	for i, name := range []string{"frontend-url", "roller-url", "prometheus-url", "loki-url", "tempo-url", "alloy-url", "grafana-url"} {
		servers[i].Flag, servers[i].Given = "--"+name, given[name]
	}
	return servers
}

func serversOf(o verify.Options) []checklist.Server {
	return []checklist.Server{{Name: "front end", URL: o.Frontend}, {Name: "dice roller", URL: o.Roller}, {Name: "Prometheus", URL: o.Prometheus},
		{Name: "Loki", URL: o.Loki}, {Name: "Tempo", URL: o.Tempo}, {Name: "Alloy", URL: o.Alloy, Optional: true}, {Name: "Grafana", URL: o.Grafana, Optional: true}}
}

// faults returns a function that lists the faults that are on in the services.
func (c *explorerChecks) faults() func() []string {
	on := fault.NewLab(map[string]string{contract.ServiceFrontend: c.options.Frontend, contract.ServiceRoller: c.options.Roller},
		&http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
	return func() []string { return on.On(context.Background()) } // it has a timeout of its own
}

// Servers lists what is looked at.
func (c *explorerChecks) Servers() []checklist.Server { return c.servers }

// Rows lists all checks.
func (c *explorerChecks) Rows() []checklist.Row { return verify.Table() }

// Run runs the checks of a group, or all.
func (c *explorerChecks) Run(ctx context.Context, group string, began func(checklist.Start), each func(checklist.Result)) (
	checklist.Report, error) {
	o := c.options
	if group != "" {
		o.Only = []string{group}
	}
	checks, err := verify.New(o)
	if err != nil {
		return checklist.Report{}, err
	}
	report, err := checks.Run(ctx, func(s checklist.Start) {
		s.ModeWhy = cmp.Or(c.modeWhy, s.ModeWhy)
		began(s)
	}, each)
	if unreachable, ok := errors.AsType[*checklist.UnreachableError](err); ok {
		unreachable.Hint = c.hint
	}
	return report, err
}
