// Command bench measures the speed and the size of dicelab, and writes the results to a
// file:
//
//	go run ./bench -dicelab bin/dicelab -out bench/RESULTS.md
//
// Rules:
//
//   - Figures that are compared come from one run, in alternating rounds, so that a
//     drift of the machine's speed does not matter.
//   - CPU time and ratios are more reliable than times: other work on the machine
//     changes them less.
//   - Everything runs on loopback, in a folder of its own that is removed at the end.
//
// With -role it is one of the servers that a measurement needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"dicelab/internal/lab/servers"
	"dicelab/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, args []string) (err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	role := f.String("role", "", "`server` to be, instead of measuring: bare or docs")
	addr := f.String("addr", "127.0.0.1:0", "`address` of that server")
	admin := f.String("admin", "127.0.0.1:0", "`address` of its metrics")
	dicelab := f.String("dicelab", "bin/dicelab", "`program` to measure")
	out := f.String("out", "bench/RESULTS.md", "`file` for the results")
	long := f.Bool("long", false, "store up to 5 million spans and hold the load for a minute")
	parts := f.String("parts", "services,store", "what to measure, a `list` of services and store")
	dir := f.String("servers", "", "`directory` of the programs of the real Tempo and Loki, for comparison, before PATH")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *role != "" {
		return serveRole(ctx, *role, *addr, *admin)
	}
	program, err := filepath.Abs(*dicelab)
	if err != nil {
		return err
	}
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("%w: build it with make build, or name it with -dicelab", err)
	}
	found, err := servers.Find(ctx, servers.Places{Dir: *dir, Path: os.Getenv("PATH")})
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "dicelab-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	return measure(ctx, plan{
		dicelab: program, tempo: servers.Paths(found)[stack.Tempo], loki: servers.Paths(found)[stack.Loki], dir: work, out: *out, parts: *parts, scale: scaleOf(*long),
	})
}
