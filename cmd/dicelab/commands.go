package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"dicelab/internal/checklist"
	"dicelab/internal/cli"
	"dicelab/internal/cli/completion"
	"dicelab/internal/contract"
	"dicelab/internal/embedded/store"
	"dicelab/internal/fault"
	"dicelab/internal/lab"
	"dicelab/internal/lab/native"
	"dicelab/internal/traffic"
	"dicelab/internal/verify"
	"dicelab/internal/verify/report"
	"dicelab/stack"
)

// commands is the command line. Each subcommand is a struct, in the file of its
// name, with its flags as fields and with a method Run; package cli has the types and
// tags of flags.
type commands struct {
	Help cli.Help `short:"h" help:"Print this help."`

	Up         upCommand          `cmd:"" help:"Run everything on this machine."`
	Roller     rollerCommand      `cmd:"" help:"Run the dice roller alone."`
	Frontend   frontendCommand    `cmd:"" help:"Run the web front end alone."`
	Explore    exploreCommand     `cmd:"" help:"Run the explorer alone, over any Prometheus, Loki and Tempo."`
	Traffic    trafficCommand     `cmd:"" help:"Generate traffic: simulated users, or load at a rate."`
	Verify     verifyCommand      `cmd:"" help:"Check a running lab, with evidence."`
	Quest      questCommand       `cmd:"" help:"Learn: exercises, and incidents with a seed, graded on evidence."`
	Export     exportCommand      `cmd:"" help:"Write a trace as OTLP JSON, or all traces and log lines as an SQLite file."`
	Import     importCommand      `cmd:"" help:"Send traces from files to a trace store."`
	Servers    serversCommand     `cmd:"" help:"List the programs of the real servers that are found here."`
	Health     healthCommand      `cmd:"" help:"Exit 0 if a URL answers 200."`
	Completion completion.Command `cmd:"" help:"Print a script with which a shell completes commands and flags."`
	Version    versionCommand     `cmd:"" help:"Print version, commit and Go version."`

	Complete completion.Complete `cmd:"all" hidden:"" passthrough:"" help:"Print completions, for the scripts of completion."`
	Guard    guardCommand        `cmd:"" hidden:"" passthrough:"" help:"Run a program that ends with the lab, for up."`
}

const description = "dicelab follows a roll of a die through two services: as a trace, as log lines, as metrics.\n\n" +
	"dicelab COMMAND -h lists the flags of a command. Start with: dicelab up"

// What the help of commands says of their environment.
const (
	helpTelemetry = "Telemetry settings are the standard variables of OpenTelemetry: OTEL_EXPORTER_OTLP_ENDPOINT " +
		"(http://localhost:4318 if not set; in a lab, its own), OTEL_TRACES_SAMPLER and the other OTEL_*. " +
		"GOMEMLIMIT and GOGC set the bounds of Go's memory."
	helpImport = "Spans go to OTEL_EXPORTER_OTLP_ENDPOINT (http://localhost:4318 if not set). " +
		"The other OTEL_EXPORTER_OTLP_* count as well."
)

// newParser returns a parser of the command that the arguments name, or of all.
func newParser(env environment) (*kong.Kong, error) {
	return cli.New(&commands{}, env.args, env.getenv, variables(),
		kong.Name("dicelab"), kong.Description(description), kong.Writers(env.stdout, env.stderr),
		cli.Text[faultSpec](fault.Check), cli.Value(lab.ParseTarget), cli.Text[serviceFault](fault.CheckOf(contract.Services())),
		cli.Value(traffic.ParseRange), cli.Value(traffic.ParseRate))
}

// variables returns the values that the tags of flags name with ${NAME}.
func variables() kong.Vars {
	modes := []string{modeGuessed}
	for _, m := range checklist.Modes() {
		modes = append(modes, string(m))
	}
	vars := kong.Vars{
		"frontend": contract.PortFrontend, "roller": contract.PortRoller, "explorer": contract.PortExplorer,
		"prometheus": contract.PortPrometheus, "loki": contract.PortLoki, "tempo": contract.PortTempo,
		"alloy": stack.PortAlloy, "grafana": verify.DefaultGrafana,
		"trace_link": "http://localhost:" + contract.PortExplorer + "/traces/{trace_id}",
		"logs_link":  "http://localhost:" + contract.PortExplorer + "/logs?trace_id={trace_id}",
		"modes":      strings.Join(modes, ","), "report_formats": strings.Join(report.Formats(), ","),
		"targets": strings.Join(traffic.Targets(), ","), "dice": strings.Join(traffic.Dice(), ","),
		"trace_age": hours(store.DefaultTraceAge), "log_age": hours(store.DefaultLogAge),
		"max_bytes": cli.Size(store.DefaultMaxBytes).String(),
		"faults":    strings.Join(fault.Examples(), ","), "service_faults": strings.Join(fault.Examples(contract.Services()...), ","),
		"checks_timeout": verify.DefaultTimeout.String(), "connections": fmt.Sprint(traffic.LoadConnections),
	}
	for _, p := range native.Places() { // their addresses are flags of up
		name := strings.ReplaceAll(p.Name, "-", "_")
		vars["at_"+name], vars["of_"+name] = "127.0.0.1:"+p.Port, "Address of "+p.Owner+"."
	}
	return vars
}

func hours(d time.Duration) string { return fmt.Sprintf("%.0fh", d.Hours()) }
