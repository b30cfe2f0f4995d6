package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"

	"dicelab/internal/cli"
	"dicelab/internal/contract"
	"dicelab/internal/embedded"
	"dicelab/internal/embedded/store"
	"dicelab/internal/lab"
	"dicelab/internal/lab/native"
	"dicelab/stack"
)

// telemetryStack takes, keeps and serves the services' telemetry.
type telemetryStack interface {
	Parts() ([]lab.Part, error)
	ReadLog(service string, r io.Reader) error // stores the lines that a service writes
}

// noStack is the stack of a lab that sends its telemetry elsewhere.
type noStack struct{}

func (noStack) Parts() ([]lab.Part, error)      { return nil, nil }
func (noStack) ReadLog(string, io.Reader) error { return nil }

// stack makes the selected stack, and returns the addresses at which it receives spans.
func (u upLab) stack() (telemetryStack, lab.OTLP, error) {
	if u.Stack == stackNone {
		return noStack{}, lab.OTLP{}, nil
	}
	otlp := lab.OTLP{HTTP: u.at.URL(stack.OTLPHTTP), GRPC: u.at.URL(stack.OTLPGRPC)}
	if u.Stack == stackNative {
		s, err := u.native()
		return s, otlp, err
	}
	rules, err := stack.Configs.ReadFile("prometheus/rules.yml")
	if err != nil {
		return nil, lab.OTLP{}, err
	}
	forward, err := u.forward()
	if err != nil {
		return nil, lab.OTLP{}, err
	}
	otlp.OwnKey = rand.Text()
	keep := u.Keep.options()
	keep.Fail = u.storeFailed
	return embedded.New(embedded.Options{
		OwnKey: otlp.OwnKey, Print: u.report.Note, Recover: u.Keep.Recover,
		Memory: u.container.OfLab(u.env.getenv), Listeners: u.at, Hosts: cli.Texts(u.AllowHost),
		Dir: u.dir.Path(), Store: keep, Rules: rules, Explorer: u.at.URL(explorerAt), Version: version(),
		Logger: slog.New(slog.NewTextHandler(u.env.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), Targets: append(u.targets(), u.Intake.Scrape...),
		Discover: true, Origins: cli.Texts(u.Intake.CORSOrigin), Forward: forward,
	}), otlp, nil
}

// forward returns the URL of --forward, or nil. It refuses an address of this lab, which
// would send itself each export for ever.
func (u upLab) forward() (*url.URL, error) {
	if u.Intake.Forward == "" {
		return nil, nil
	}
	to, err := url.Parse(string(u.Intake.Forward))
	if err != nil {
		return nil, err
	}
	for name, l := range u.at {
		if to.Port() == strconv.Itoa(l.Addr().(*net.TCPAddr).Port) && isLoopback(to.Hostname()) {
			return nil, &lab.UsageError{Err: fmt.Errorf("--forward %s is the address of %s in this lab: want that of another backend", to.Redacted(), name)}
		}
	}
	return to, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// native makes the real servers.
func (u upLab) native() (*native.Stack, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	return native.New(native.Options{
		Dir: u.dir.Join("native"), Configs: u.configs(), Listeners: u.at, Programs: u.programs, Targets: u.targets(),
		Guard: []string{self, "guard"}, Env: os.Environ(), Notify: u.report.Children(),
	})
}

// targets returns the services whose metrics are scraped.
func (u upLab) targets() []lab.Target {
	return []lab.Target{
		u.at.Target(frontendAt, contract.ServiceFrontend), u.at.Target(rollerAt, contract.ServiceRoller),
	}
}

// configs returns the configurations of the real servers.
func (u upLab) configs() fs.FS {
	if u.Native.StackConfig != "" {
		return os.DirFS(u.Native.StackConfig)
	}
	return stack.Configs
}

// storeFailed ends the program if the store cannot go on. Its services end when they
// find that it has.
func (u upLab) storeFailed(err error) {
	status := cli.Fail(withHint(err), u.env.stderr)
	_ = u.env.stderr.Flush() // there is nowhere to say that it failed
	os.Exit(status)
}

// withHint adds to a failure of the embedded stack what to type.
func withHint(err error) error {
	if failed, ok := errors.AsType[*store.FailedError](err); ok {
		return lab.Hint(err, failed.Hint)
	}
	if damaged, ok := errors.AsType[*embedded.DamagedError](err); ok {
		return lab.Hint(err, fmt.Sprintf("start without the old %s, and keep them in a folder of the data directory, "+
			"with: dicelab up --recover --data %s; by hand: %s",
			damaged.Lost, embedded.Quoted(damaged.Dir), damaged.ByHand()))
	}
	if _, ok := errors.AsType[*embedded.OpenError](err); ok {
		return lab.Hint(err, "another data directory can be given with --data")
	}
	return err
}
