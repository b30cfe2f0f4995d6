package main

import (
	"context"
	"fmt"
	"time"

	"dicelab/internal/cli"
	"dicelab/internal/web"
)

type healthCommand struct {
	URL     cli.URL       `arg:"" name:"URL" help:"URL to ask, such as http://localhost:8102/healthz."`
	Timeout time.Duration `default:"3s" min:"1ms" max:"1m" help:"Time to wait for the answer."`
}

// Run asks one URL, for container health checks and troubleshooting. It exits 0 if
// the answer is 200, and 1 if it is not.
func (c *healthCommand) Run(ctx context.Context, env environment) error {
	status, err := web.AskHealth(ctx, string(c.URL), c.Timeout)
	if err == nil {
		_, err = fmt.Fprintf(env.stdout, "%s answered %s\n", c.URL, status)
	}
	return err
}
