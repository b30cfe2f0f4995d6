package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"dicelab/internal/cli"
	"dicelab/internal/lab"
	"dicelab/internal/telemetry"
	"dicelab/internal/traffic"
)

type trafficCommand struct {
	Target      string        `group:"Target" enum:"${targets}" default:"frontend" help:"Service to ask for rolls: frontend or roller."`
	FrontendURL cli.URL       `group:"Target" when:"with target=frontend" default:"http://localhost:${frontend}" help:"URL of the front end."`
	RollerURL   cli.URL       `group:"Target" when:"with target=roller" default:"http://localhost:${roller}" help:"URL of the dice roller."`
	Wait        time.Duration `group:"Target" default:"10s" min:"0s" max:"1h" help:"Time to wait for a target that does not answer yet."`
	Timeout     time.Duration `group:"Target" default:"10s" min:"1ms" max:"1h" help:"Time that an answer may take."`
	Connections cli.Count     `group:"Target" placeholder:"NUMBER" help:"Open at most this number of connections; users beyond it share, and a roll that waits for one waits with its clock running. If not given: one a user; at a --rate ${connections}, or what the limit on open files leaves."`

	Die      string        `group:"Rolls" enum:"${dice}" default:"mix" help:"Die to roll: fair, risky, or mix for either with equal odds."`
	Seed     cli.Seed      `group:"Rolls" placeholder:"NUMBER" help:"Number from which chance starts: the same seed, the same users, dice and pauses. Random if not given."`
	Duration time.Duration `group:"Rolls" when:"without forever" default:"30s" min:"1ms" max:"8760h" help:"Time to send at --rate; for users, if given, replace those that leave until it has passed."`
	AbortOn  cli.Share     `group:"Rolls" name:"abort-on-error-rate" default:"1" help:"End the run when more than this share of the rolls has failed, 0 to 1; 1 for never."`

	Users    cli.Count     `group:"without rate" default:"10" from:"NUM_USERS" help:"Simulate this number of users."`
	MaxRolls cli.Count     `group:"without rate" name:"max-rolls-per-user" default:"20" from:"MAX_REQUESTS_PER_USER" help:"Each user makes 1 to this number of rolls."`
	Think    traffic.Range `group:"without rate" default:"500ms..2s" help:"Time that a user thinks before a roll."`
	Forever  bool          `group:"without rate" help:"Replace each user that leaves, until stopped."`

	Rate traffic.Rate `placeholder:"RATE" help:"Send rolls at this rate, such as 200/s, or 0..2000/s for one that rises, instead of simulating users."`

	Report    string      `group:"Output" enum:"text,json,none" default:"text" help:"Form of the report on standard output: text, json or none."`
	Log       string      `group:"Output" enum:"stderr,stdout,none" default:"stderr" help:"Where log lines go: stderr, stdout or none."`
	LogDir    string      `group:"Output" placeholder:"DIR" none:"" help:"Directory in which log lines are also kept, for an agent that follows files: DIR/SERVICE/000001.log and so on."`
	TraceURL  cli.URL     `group:"Output" default:"${trace_link}" none:"" help:"Link to a trace; {trace_id} stands for its ID."`
	Addr      cli.Address `group:"Output" placeholder:"HOST:PORT" none:"" help:"Address to serve /readyz and /metrics on."`
	AllowHost []cli.Host  `group:"Output" sep:"none" placeholder:"NAME" help:"Name besides localhost and IP addresses under which the server may be addressed."`
}

// Help describes the environment of the command.
func (trafficCommand) Help() string { return helpTelemetry }

// check completes the flags, and refuses a run that would send nothing or needs more
// connections than the system allows, before anything is sent.
func (c *trafficCommand) Check(given cli.Given) error {
	if !given["rate"] && (c.Forever || !given["duration"]) {
		c.Duration = 0
	}
	check := c.users().Check
	if given["rate"] {
		check = c.load().Check
	}
	requested, flag := c.Connections, "connections"
	if requested == 0 && !given["rate"] {
		requested, flag = c.Users, "users"
	}
	n, err := traffic.Connections(int(requested))
	if e, ok := errors.AsType[*traffic.ConnectionsError](err); ok {
		err = lab.Hint(fmt.Errorf("--%s %d: %w", flag, requested, err),
			fmt.Sprintf("raise the limit on open files first, as with: ulimit -n %d", 2*e.Requested))
	}
	c.Connections = cli.Count(n)
	return errors.Join(check(), err)
}

func (c *trafficCommand) users() traffic.Users {
	return traffic.Users{
		Count: int(c.Users), MaxRolls: int(c.MaxRolls), Think: c.Think, Duration: c.Duration, Forever: c.Forever,
	}
}

func (c *trafficCommand) load() traffic.Load { return traffic.Load{Rate: c.Rate, Duration: c.Duration} }

// generator makes the generator.
func (c *trafficCommand) generator(tel *telemetry.Telemetry) (*traffic.Generator, error) {
	url := c.FrontendURL
	if c.Target == traffic.Roller {
		url = c.RollerURL
	}
	target, err := traffic.NewTarget(c.Target, string(url))
	if err != nil {
		return nil, &lab.UsageError{Err: err}
	}
	g, err := traffic.New(traffic.Options{
		Telemetry: tel, Target: target, Version: version(), Die: c.Die, Timeout: c.Timeout,
		Seed:        c.Seed.Or(rand.Uint64N(1_000_000)), // short, for a person to type: the report prints it
		Connections: int(c.Connections), AbortAt: float64(c.AbortOn), TraceURL: string(c.TraceURL),
		LogRolls: c.Log != "none" || c.LogDir != "",
	})
	if err != nil {
		return nil, &lab.UsageError{Err: err}
	}
	return g, nil
}
