package main

import (
	"context"
	"errors"
	"net/http"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"dicelab/internal/fault"
	"dicelab/internal/lab"
	"dicelab/internal/lab/child"
	"dicelab/internal/telemetry"
	"dicelab/internal/web"
)

// drainTimeout is how long a service lets open requests finish; the front end
// gives a roll up after five seconds.
const drainTimeout = 10 * time.Second

// service is what roller and frontend have in common: an address, telemetry and
// faults.
type service struct {
	name     string
	addr     *string
	hosts    *[]string
	faults   *[]string
	switches *bool
	logDir   *string
}

func serviceFlags(f *flags, name, port string) *service {
	s := &service{name: name}
	s.addr = f.address("addr", "127.0.0.1:"+port, "`address` to listen on; port 0 takes a free one")
	s.hosts = hostsFlag(f)
	s.faults = f.list("fault", "`fault` to switch on, such as no-export or slow=2s; see docs/faults.md (repeatable)", checkFault)
	s.switches = f.flip("fault-switches", "let faults be switched while it runs: a panel on the page, /faults on both services")
	s.logDir = defineLogDir(f)
	return s
}

// hostsFlag defines the flag for the names that a server answers to.
func hostsFlag(f *flags) *[]string {
	return f.list("allow-host", "`name` besides localhost and IP addresses under which the server may be addressed (repeatable)", web.CheckHost)
}

// checkFault tells whether a fault can be switched on.
func checkFault(spec string) error {
	_, err := fault.NewSet(spec)
	return err
}

// Bounds of a service's heap. Little is in use, a few megabytes, so that under
// load the runtime's own bound, twice that, means a hundred collections a second
// and a fifth of the CPU time. With gcPercent it is collected at 40 MB (4 MB is
// the runtime's least, times this), and with thousands of connections, which hold
// more, as often as memoryLimit (bytes) asks for. GOGC and GOMEMLIMIT win.
const (
	gcPercent   = 1000
	memoryLimit = 512 << 20
)

func boundHeap(getenv func(string) string) error {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	_, err := limitMemory(getenv, shareOfProcess, memoryLimit)
	return err
}

// serve runs a service until it is told to stop, and then loses nothing: it
// refuses new requests, lets open ones finish, and sends what telemetry is left.
func (s *service) serve(ctx context.Context, env environment, started string,
	newHandler func(*telemetry.Telemetry, *fault.Set) (http.Handler, error)) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, gate := child.Watch(ctx, env.getenv, env.stdin)

	if err := boundHeap(env.getenv); err != nil {
		return err
	}
	faults, err := fault.NewSet(*s.faults...)
	if err != nil {
		return err // each was checked as a flag
	}
	lines, closeLog, err := openLog(env.stdout, *s.logDir, s.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	tel, err := telemetry.New(ctx, telemetry.Config{Service: s.name, Version: version(), Output: lines, Faults: faults})
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	defer func() {
		err = errors.Join(err, tel.Shutdown(context.WithoutCancel(ctx)))
	}()
	handler, err := newHandler(tel, faults)
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	listener, err := child.Listen(ctx, env.getenv, *s.addr)
	if err != nil {
		return hint(&lab.UsageError{Err: err}, "another address can be given with --addr")
	}
	server := web.NewServer(listener, gate.Wrap(handler))
	tel.Logger.Info(started, "url", server.URL(), "version", version())

	ended := make(chan error, 1)
	go func() { ended <- server.Serve() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop() // from here on a second signal kills
	gate.Close()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	return errors.Join(server.Shutdown(drain), <-ended)
}
