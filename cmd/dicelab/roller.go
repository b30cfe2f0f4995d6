package main

import (
	"context"
	"net/http"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
	"dicelab/internal/roller"
	"dicelab/internal/telemetry"
)

func rollerCommand(ctx context.Context, env environment, f *flags) error {
	s := serviceFlags(f, contract.ServiceRoller, contract.PortRoller)
	dice := defineDice(f)
	if err := f.parse(); err != nil {
		return err
	}
	return s.serve(ctx, env, contract.MsgRollerStarted, func(tel *telemetry.Telemetry, faults *fault.Set) (http.Handler, error) {
		return roller.NewHandler(roller.Options{
			Telemetry: tel, Dice: dice.dice(), Version: version(), Faults: faults, Switches: *s.switches, Hosts: *s.hosts,
		})
	})
}
