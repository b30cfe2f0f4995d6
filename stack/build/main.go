// Command build builds the servers of the real stack into the user's cache, where
// "dicelab up --stack=native" finds them.
//
// It reads its flags and starts the builder; what it does stands there. Run it in
// the root of the checkout, as make stack-build does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"dicelab/stack"
	"dicelab/stack/build/builder"
)

// tick is how often the build of a server tells how it goes.
const tick = 15 * time.Second

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run does what the arguments ask and returns the exit status: 0 when it went
// well, 1 when a build failed, 2 when it could not run as it was called.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal kills

	err := command(ctx, args, stdout)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	failed, ok := errors.AsType[*builder.Error](err)
	if !ok {
		fmt.Fprintf(stderr, "dicelab: error: %v\n", err)
		return 2
	}
	for _, line := range failed.Tail {
		fmt.Fprintf(stderr, "    %s\n", line)
	}
	fmt.Fprintf(stderr, "dicelab: error: %v\ndicelab: hint: %s\n", err, failed.Hint())
	return 1
}

func command(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	flags.SetOutput(stdout)
	flags.Usage = func() {
		fmt.Fprint(stdout, "build builds the servers of the real stack that are not built yet.\n\nUsage: go run ./stack/build [flags]\n\n")
		flags.PrintDefaults()
	}
	only := flags.String("only", "", "build these `SERVERS` alone, separated by commas")
	clean := flags.Bool("clean", false, "remove every server that was built")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: servers are given with -only", flags.Arg(0))
	}
	if *clean && *only != "" {
		return errors.New("-clean removes every server: it takes no -only")
	}
	servers, err := choose(*only)
	if err != nil {
		return err
	}
	cache, err := stack.CacheDir()
	if err != nil {
		return err
	}
	if *clean {
		if err := os.RemoveAll(cache); err != nil {
			return fmt.Errorf("removing the built servers: %w", err)
		}
		_, err := fmt.Fprintf(stdout, "removed %s\n", cache)
		return err
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	b := builder.Builder{Source: filepath.Join("stack", "build"), Cache: cache, Out: stdout, Ticks: ticker.C}
	return b.Build(ctx, servers)
}

// choose returns the servers of a list of names, in the order of the table; all
// of them when it is empty.
func choose(names string) ([]stack.Component, error) {
	if names == "" {
		return stack.Components(), nil
	}
	chosen := map[string]bool{}
	for name := range strings.SplitSeq(names, ",") {
		if _, err := stack.Find(name); err != nil {
			return nil, fmt.Errorf("reading -only: %w", err)
		}
		chosen[name] = true
	}
	var servers []stack.Component
	for _, c := range stack.Components() {
		if chosen[c.Name] {
			servers = append(servers, c)
		}
	}
	return servers, nil
}
