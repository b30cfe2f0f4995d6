package main

import (
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"dicelab/internal/cli"
	"dicelab/internal/contract"
	"dicelab/internal/embedded/store"
	"dicelab/internal/lab"
)

// The stacks that up can run.
const (
	stackEmbedded = "embedded"
	stackNative   = "native"
	stackNone     = "none"
)

type upCommand struct {
	Data      string     `default:".dicelab" help:"Directory for what is recorded."`
	Stack     string     `enum:"embedded,native,none" default:"embedded" help:"Telemetry stack: embedded, native for the real servers, or none for your own."`
	Traffic   bool       `help:"Let simulated users roll, gently, while the lab runs."`
	AllowHost []cli.Host `sep:"none" placeholder:"NAME" help:"Name besides localhost and IP addresses under which the servers may be addressed."`
	BasePath  cli.Path   `placeholder:"PATH" help:"Path below which a reverse proxy serves the explorer, such as /lab."`

	Dice          diceFlags      `embed:"" group:"Dice"`
	RollTimeout   time.Duration  `group:"Dice" default:"5s" min:"1ms" max:"1m" help:"Time that a roll may take before it is given up."`
	Fault         []serviceFault `group:"Faults" sep:"none" placeholder:"SERVICE:FAULT" complete:"service_faults" help:"Fault to switch on, such as dice-roller:slow=2s; see docs/faults.md."`
	FaultSwitches bool           `group:"Faults" help:"Let faults be switched on the page while the lab runs."`

	Keep      keepFlags    `embed:"" group:"with stack=embedded"`
	Intake    intakeFlags  `embed:"" group:"with stack=embedded"`
	Addresses upAddresses  `embed:""`
	Native    nativeFlags  `embed:"" group:"with stack=native"`
	Backends  backendFlags `embed:"" group:"with stack=none"`
}

// Help describes the environment of the command.
func (upCommand) Help() string { return helpTelemetry }

// upAddresses are the addresses that up listens on. The flag of the address NAME is
// --NAME-addr.
type upAddresses struct {
	FrontendAddr cli.Address `group:"Addresses; port 0 takes a free one" default:"127.0.0.1:${frontend}" help:"Address of the front end."`
	RollerAddr   cli.Address `group:"Addresses; port 0 takes a free one" default:"127.0.0.1:${roller}" help:"Address of the dice roller."`
	ExplorerAddr cli.Address `group:"Addresses; port 0 takes a free one" default:"127.0.0.1:${explorer}" help:"Address of the explorer."`

	PrometheusAddr cli.Address `group:"with stack=embedded|native" default:"${at_prometheus}" help:"${of_prometheus}"`
	LokiAddr       cli.Address `group:"with stack=embedded|native" default:"${at_loki}" help:"${of_loki}"`
	TempoAddr      cli.Address `group:"with stack=embedded|native" default:"${at_tempo}" help:"${of_tempo}"`
	OTLPGRPCAddr   cli.Address `group:"with stack=embedded|native" name:"otlp-grpc-addr" default:"${at_otlp_grpc}" help:"${of_otlp_grpc}"`
	OTLPHTTPAddr   cli.Address `group:"with stack=embedded|native" name:"otlp-http-addr" default:"${at_otlp_http}" help:"${of_otlp_http}"`

	AlloyAddr            cli.Address `group:"with stack=native" default:"${at_alloy}" help:"${of_alloy}"`
	LokiGRPCAddr         cli.Address `group:"with stack=native" name:"loki-grpc-addr" default:"${at_loki_grpc}" help:"${of_loki_grpc}"`
	TempoGRPCAddr        cli.Address `group:"with stack=native" name:"tempo-grpc-addr" default:"${at_tempo_grpc}" help:"${of_tempo_grpc}"`
	TempoOTLPAddr        cli.Address `group:"with stack=native" name:"tempo-otlp-addr" default:"${at_tempo_otlp}" help:"${of_tempo_otlp}"`
	CollectorHealthAddr  cli.Address `group:"with stack=native" default:"${at_collector_health}" help:"${of_collector_health}"`
	CollectorMetricsAddr cli.Address `group:"with stack=native" default:"${at_collector_metrics}" help:"${of_collector_metrics}"`
}

// The names of addresses that do not depend on the stack.
const (
	frontendAt = "frontend"
	rollerAt   = "roller"
	explorerAt = "explorer"
	trafficAt  = "traffic"
)

// addresses lists the addresses that the chosen stack listens on.
func (c *upCommand) addresses(kctx *kong.Context) (list []lab.Address) {
	for _, f := range cli.Active(kctx) {
		if name, ok := strings.CutSuffix(f.Name, "-addr"); ok {
			owner := strings.TrimSuffix(strings.TrimPrefix(f.Help, "Address of "), ".")
			list = append(list, lab.Address{Name: name, Addr: f.Target.String(), Owner: owner, Flag: "--" + f.Name})
		}
	}
	if c.Traffic { // only the lab looks there, to see that it is ready: any free port will do
		list = append(list, lab.Address{Name: trafficAt, Addr: "127.0.0.1:0", Owner: "the traffic generator"})
	}
	return list
}

// keepFlags are the bounds of what the embedded stack keeps.
type keepFlags struct {
	KeepTraces time.Duration `default:"${trace_age}" min:"1m" max:"87600h" help:"Time that traces are kept."`
	KeepLogs   time.Duration `default:"${log_age}" min:"1m" max:"87600h" help:"Time that log lines are kept."`
	KeepSize   cli.Size      `default:"${max_bytes}" min:"16MiB" max:"1TiB" help:"Size of the traces and log lines that are kept; of more, the oldest go."`
	Recover    bool          `help:"If recorded data is damaged, move it aside within the data directory and start anew."`
}

// intakeFlags are what the embedded stack takes in besides the lab's own telemetry, and
// sends on.
type intakeFlags struct {
	Scrape     []lab.Target `sep:"none" placeholder:"NAME=HOST:PORT[/PATH]" help:"Program whose metrics are scraped, too, at /metrics or PATH; NAME is its job."`
	CORSOrigin []cli.Origin `name:"cors-origin" sep:"none" placeholder:"ORIGIN" help:"Origin besides localhost whose pages may send OTLP over HTTP; * for all."`
	Forward    cli.URL      `placeholder:"URL" help:"OTLP/HTTP backend to which a copy of all OTLP is sent, such as https://USER:TOKEN@otlp.example."`
}

func (k *keepFlags) options() store.Options {
	return store.Options{TraceAge: k.KeepTraces, LogAge: k.KeepLogs, MaxBytes: int64(k.KeepSize)}
}

// nativeFlags are the settings of the real servers.
type nativeFlags struct {
	Servers     string `placeholder:"DIR" help:"Directory in which the programs of the real servers are looked for, before PATH."`
	StackConfig string `placeholder:"DIR" help:"Directory of the real servers' configurations, laid out as the folder stack. The program's own if not given."`
}

// faultArgs returns the flags that switch on the faults of one service.
func (c *upCommand) faultArgs(service string) (args []string) {
	for _, f := range c.Fault {
		if spec, ok := strings.CutPrefix(string(f), service+":"); ok {
			args = append(args, "--fault", spec)
		}
	}
	if c.FaultSwitches && slices.Contains(contract.Services(), service) {
		args = append(args, "--fault-switches")
	}
	return args
}

// hostArgs returns the flags that allow a service the names of --allow-host.
func (c *upCommand) hostArgs() (args []string) {
	for _, name := range c.AllowHost {
		args = append(args, "--allow-host", string(name))
	}
	return args
}
