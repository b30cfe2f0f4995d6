package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/signal"
	"syscall"

	"github.com/mattn/go-isatty"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/internal/lab/child"
	"dicelab/internal/telemetry"
	"dicelab/internal/traffic"
	"dicelab/internal/web"
)

// trafficCommand generates traffic. The first signal lets what is under way
// finish and brings the report, the second kills.
func trafficCommand(ctx context.Context, env environment, f *flags) (err error) {
	t := defineTraffic(f)
	if err := f.parse(); err != nil {
		return err
	}
	if err := t.settle(f); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // from then on a second signal kills
	ctx, gate := child.Watch(ctx, env.getenv, env.stdin)

	screen, out := t.outputs(env)
	lines, closeLog, err := openLog(out, *t.logDir, contract.ServiceTraffic)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	tel, err := telemetry.New(ctx, telemetry.Config{Service: contract.ServiceTraffic, Version: version(), Output: lines})
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	run := trafficRun{trafficFlags: t, tel: tel, gate: gate, screen: screen}
	err = run.generate(ctx, env)
	err = errors.Join(err, tel.Shutdown(context.WithoutCancel(ctx))) // before the report: it tells what was dropped
	if run.began {
		err = errors.Join(err, run.tell(env.stdout))
	}
	return err
}

// outputs are the terminal that shows progress, if stderr is one, and where log
// lines go.
func (t *trafficFlags) outputs(env environment) (screen *traffic.Terminal, lines io.Writer) {
	if isatty.IsTerminal(env.stderr.File().Fd()) && env.getenv("TERM") != "dumb" {
		screen = traffic.NewTerminal(env.stderr.Raw())
	}
	switch {
	case *t.log == toNone:
		return screen, io.Discard
	case *t.log == toStdout:
		return screen, env.stdout
	case screen != nil:
		return screen, screen
	default:
		return nil, env.stderr
	}
}

// trafficRun is one run.
type trafficRun struct {
	*trafficFlags
	tel    *telemetry.Telemetry
	gate   *child.Gate
	screen *traffic.Terminal // nil: no progress is shown

	generator *traffic.Generator
	began     bool // there is something to report
}

// generate makes the rolls.
func (r *trafficRun) generate(ctx context.Context, env environment) (err error) {
	o, err := r.options(r.tel)
	if err != nil {
		return err
	}
	if r.generator, err = traffic.New(o); err != nil {
		return &lab.UsageError{Err: err}
	}
	defer r.generator.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if *r.addr != "" {
		stop, failed := r.serveProbes(ctx, env, cancel)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	if err := r.generator.Await(ctx, *r.wait); err != nil {
		return hint(&lab.UsageError{Err: err}, fmt.Sprintf("start the lab with: dicelab up; or say where the target is with --%s", *r.target+urlFlag))
	}
	r.began = true
	if r.screen == nil {
		return r.make(ctx)
	}
	shown := make(chan error, 1)
	showing, hide := context.WithCancel(context.WithoutCancel(ctx))
	go func() { shown <- r.screen.Show(showing, r.generator.Progress) }()
	err = r.make(ctx)
	hide()
	return errors.Join(err, <-shown)
}

func (r *trafficRun) make(ctx context.Context) error {
	if *r.rate != (traffic.Rate{}) {
		return r.generator.Load(ctx, r.asLoad())
	}
	return r.generator.Users(ctx, r.asUsers())
}

// serveProbes serves what tells that the generator runs, and its metrics, until
// stop. It ends the run when it cannot.
func (r *trafficRun) serveProbes(ctx context.Context, env environment, cancel context.CancelCauseFunc) (stop func() error, err error) {
	listener, err := child.Listen(ctx, env.getenv, *r.addr)
	if err != nil {
		return nil, hint(&lab.UsageError{Err: err}, "another address can be given with --addr")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", web.Alive)
	mux.HandleFunc("GET /readyz", web.Ready)
	mux.Handle("GET /metrics", r.tel.MetricsHandler())
	server := web.NewServer(listener, r.gate.Wrap(web.Guard(web.Unmatched(mux), *r.hosts...)))
	ended := make(chan error, 1)
	go func() {
		err := server.Serve()
		cancel(err)
		ended <- err
	}()
	return func() error { return errors.Join(server.Shutdown(context.WithoutCancel(ctx)), <-ended) }, nil
}

// tell writes the report.
func (r *trafficRun) tell(out io.Writer) error {
	report, err := r.generator.Report()
	if err != nil || *r.report == toNone {
		return err
	}
	if *r.report == reportJSON {
		err = json.NewEncoder(out).Encode(report)
	} else {
		err = report.Text(out)
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}
