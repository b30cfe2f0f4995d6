package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"dicelab/internal/cli"
	"dicelab/internal/explorer/checklist"
	"dicelab/internal/lab"
	"dicelab/internal/verify"
	"dicelab/internal/verify/report"
)

// explorerChecks are the checks of verify as the explorer performs them.
type explorerChecks struct {
	options verify.Options
	servers []checklist.Server
	hint    string // what to do where the front end does not answer
	modeWhy string // how the mode is known; empty for verify's own words
}

// newExplorerChecks refuses options that verify would refuse, so that it is told
// when the explorer starts.
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
		servers[i].Flag, servers[i].Told = "--"+name, given[name]
	}
	return servers
}

func serversOf(o verify.Options) []checklist.Server {
	return []checklist.Server{{Name: "front end", URL: o.Frontend}, {Name: "dice roller", URL: o.Roller}, {Name: "Prometheus", URL: o.Prometheus},
		{Name: "Loki", URL: o.Loki}, {Name: "Tempo", URL: o.Tempo}, {Name: "Alloy", URL: o.Alloy, Optional: true}, {Name: "Grafana", URL: o.Grafana, Optional: true}}
}

// Servers lists what is looked at.
func (c *explorerChecks) Servers() []checklist.Server { return c.servers }

// Rows lists all checks.
func (c *explorerChecks) Rows() []checklist.Row { return rowsOf(verify.Table()) }

// Run runs the checks of a group, or all.
func (c *explorerChecks) Run(ctx context.Context, group string, began func(checklist.Start), each func(checklist.Result)) (checklist.Report, error) {
	o := c.options
	if group != "" {
		o.Only = []string{group}
	}
	checks, err := verify.New(o)
	if err != nil {
		return checklist.Report{}, &checklist.BeginError{Err: err}
	}
	found, err := checks.Run(ctx, func(s verify.Start) {
		began(checklist.Start{Mode: string(s.Mode), ModeWhy: cmp.Or(c.modeWhy, s.ModeWhy), Rows: rowsOf(s.Rows)})
	}, func(r verify.Result) { each(resultOf(r)) })
	if _, ok := errors.AsType[*verify.UnreachableError](err); ok {
		err = &checklist.BeginError{Err: err, Hint: c.hint}
	}
	if err != nil {
		return checklist.Report{}, err
	}
	text, err := report.JSON(found)
	return checklist.Report{Passed: found.Passed, Failed: found.Failed, NotApplicable: found.NotApplicable, Rolls: found.Rolls,
		Took: time.Duration(found.Took), JSON: text}, err
}

func rowsOf(rows []verify.Row) []checklist.Row {
	out := make([]checklist.Row, len(rows))
	for i, r := range rows {
		out[i] = checklist.Row(r)
	}
	return out
}

func resultOf(r verify.Result) checklist.Result {
	out := checklist.Result{Row: checklist.Row(r.Row), Outcome: checklist.Outcome(r.Outcome), Evidence: r.Evidence, Why: r.Why,
		BlockedBy: r.BlockedBy, Reproduce: r.Reproduce, Took: time.Duration(r.Took)}
	for _, x := range r.Exchanges {
		out.Exchanges = append(out.Exchanges, checklist.Exchange(x))
	}
	return out
}
