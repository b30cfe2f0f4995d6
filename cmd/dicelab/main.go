// Command dicelab is a distributed-tracing lab: a web front end that rolls a die
// through a second service, and everything that is needed to follow the roll as
// a trace, as log lines and as metrics.
//
// Each subcommand has one file here that reads its flags and joins packages;
// what it does stands in internal.
package main

import (
	"context"
	"log"
	"os"

	"dicelab/internal/terminal"
)

func main() {
	stdout, stderr := terminal.NewOutput(os.Stdout), terminal.NewOutput(os.Stderr)
	log.SetOutput(stderr) // for libraries, which write there what clients and servers send
	os.Exit(run(context.Background(), environment{
		args: os.Args[1:], getenv: os.Getenv, stdin: os.Stdin, stdout: stdout, stderr: stderr,
	}))
}
