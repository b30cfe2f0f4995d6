package main

import (
	"context"
	"net/http"

	"dicelab/internal/cli"
	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/roller"
	"dicelab/internal/telemetry"
)

type rollerCommand struct {
	Service serviceFlags `embed:"" set:"port=${roller}"`
	Dice    diceFlags    `embed:"" group:"Dice"`
}

// Help describes the environment of the command.
func (rollerCommand) Help() string { return helpTelemetry }

// Run runs the dice roller.
func (c *rollerCommand) Run(ctx context.Context, env environment) error {
	return c.Service.run(ctx, env, contract.ServiceRoller, contract.MsgRollerStarted,
		func(tel *telemetry.Telemetry, faults *fault.Set) (http.Handler, error) {
			return roller.NewHandler(roller.Options{
				Telemetry: tel, Dice: c.Dice.dice(), Version: version(), Faults: faults,
				Switches: c.Service.FaultSwitches, Control: env.getenv(envControl), Hosts: cli.Texts(c.Service.AllowHost),
			})
		})
}
