package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"dicelab/internal/lab/servers"
)

type serversCommand struct {
	Servers string `placeholder:"DIR" help:"Directory in which the programs of the real servers are looked for, before PATH."`
}

// Run lists the real servers that are found. It exits 0 if all can be used, else 2,
// as "up --stack=native" would.
func (c *serversCommand) Run(ctx context.Context, env environment) error {
	found, unusable := servers.FindUsable(ctx, servers.Places{Dir: c.Servers, Path: env.getenv("PATH")})
	rows := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	for _, s := range found {
		if s.Err == nil {
			fmt.Fprintf(rows, "%s\t%s\t%s\t%s\n", s.Name, cmp.Or(s.Reports, "unknown"), s.Tested(), s.Path)
		}
	}
	return errors.Join(rows.Flush(), unusable)
}
