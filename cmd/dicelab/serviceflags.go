package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"dicelab/internal/cli"
	"dicelab/internal/fault"
	"dicelab/internal/roller"
	"dicelab/internal/service"
	"dicelab/internal/telemetry"
)

// serveFlags are those of every command that serves on one address. The address is
// that of the variable "port".
type serveFlags struct {
	Addr      cli.Address `default:"127.0.0.1:${port}" help:"Address to listen on; port 0 takes a free one."`
	AllowHost []cli.Host  `sep:"none" placeholder:"NAME" help:"Name besides localhost and IP addresses under which the server may be addressed."`
}

// serviceFlags are those that roller and frontend have in common.
type serviceFlags struct {
	serveFlags
	LogDir        string      `placeholder:"DIR" none:"" help:"Directory in which log lines are also kept, for an agent that follows files: DIR/SERVICE/000001.log and so on."`
	Fault         []faultSpec `sep:"none" group:"Faults" placeholder:"FAULT" complete:"faults" help:"Fault to switch on, such as no-export or slow=2s; see docs/faults.md."`
	FaultSwitches bool        `group:"Faults" help:"Let faults be switched while it runs: a panel on the page, /faults on both services."`
}

// The types of flags that name faults.
type (
	faultSpec    string // a fault of the service
	serviceFault string // SERVICE:FAULT
)

// run serves until a signal ends the process.
func (s *serviceFlags) run(ctx context.Context, env environment, name, started string,
	newHandler func(*telemetry.Telemetry, *fault.Set) (http.Handler, error)) error {
	return service.Run(ctx, service.Options{
		Name: name, Version: version(), Started: started, Addr: string(s.Addr), Faults: cli.Texts(s.Fault), LogDir: s.LogDir,
		NewHandler: newHandler, Getenv: env.getenv, Stdin: env.stdin, Stdout: env.stdout,
	})
}

// diceFlags are the settings of chance, for roller and for up.
type diceFlags struct {
	MaxDelay  time.Duration `default:"1s" min:"0s" max:"1m" help:"Each roll waits for a random time below this; 0s for none."`
	ErrorRate cli.Share     `default:"0.1" help:"Share of risky rolls that fail, 0 to 1."`
	Seed      cli.Seed      `placeholder:"NUMBER" help:"Number from which chance starts: the same seed, the same rolls. Random if not given."`
}

// args returns the flags with which a child has the same settings.
func (d *diceFlags) args() []string {
	args := []string{"--max-delay", d.MaxDelay.String(), "--error-rate", fmt.Sprint(float64(d.ErrorRate))}
	if d.Seed.Given {
		args = append(args, "--seed", strconv.FormatUint(d.Seed.N, 10))
	}
	return args
}

func (d *diceFlags) dice() *roller.Dice {
	return roller.NewDice(d.Seed.Or(rand.Uint64()), d.MaxDelay, float64(d.ErrorRate))
}

// envControl is the environment variable in which up hands its services the token for
// hidden faults.
const envControl = "DICELAB_CONTROL_TOKEN"
