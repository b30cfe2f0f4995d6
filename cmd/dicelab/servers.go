package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"dicelab/internal/lab"
	"dicelab/internal/lab/servers"
)

const serversFlag = "servers"

func defineServers(f *flags, more string) *string {
	return f.String(serversFlag, "", "`directory` in which the programs of the real servers are looked for, before PATH"+more)
}

// findServers finds the real servers. Servers that cannot be used are an error.
func findServers(ctx context.Context, env environment, dir string) ([]servers.Server, error) {
	found, err := servers.Find(ctx, servers.Places{Dir: dir, Path: env.getenv("PATH")})
	if err != nil {
		return nil, hint(&lab.UsageError{Err: err}, "name the folder of the servers with --servers DIR")
	}
	if err := servers.Unusable(found); err != nil {
		return found, hint(&lab.UsageError{Err: err},
			"put the programs on PATH, or into one folder and name it with --servers DIR; the lab runs without them, too: dicelab up")
	}
	return found, nil
}

// serversCommand lists the real servers that are found. It exits 0 if all can be
// used, else 2, as "up --stack=native" would.
func serversCommand(ctx context.Context, env environment, f *flags) error {
	dir := defineServers(f, "")
	if err := f.parse(); err != nil {
		return err
	}
	found, unusable := findServers(ctx, env, *dir)
	rows := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	for _, s := range found {
		if s.Err != nil {
			continue
		}
		note := "as tested"
		if s.Reports != s.Version {
			note = "tested with " + s.Version
		}
		fmt.Fprintf(rows, "%s\t%s\t%s\t%s\n", s.Name, cmp.Or(s.Reports, "unknown"), note, s.Path)
	}
	return errors.Join(rows.Flush(), unusable)
}
