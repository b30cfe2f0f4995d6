// Package service runs a service of the lab as a process: its telemetry, its faults
// and its listener, until a signal ends it. A service that runs alone and one that
// "dicelab up" has started run the same way.
//
// Stopping loses nothing: the service refuses new requests, lets open ones finish,
// and sends the telemetry that is left.
package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"dicelab/internal/fault"
	"dicelab/internal/lab"
	"dicelab/internal/lab/child"
	"dicelab/internal/lab/logfile"
	"dicelab/internal/telemetry"
	"dicelab/internal/web"
)

// Options configure a service.
type Options struct {
	Name    string   // of the service, in its telemetry
	Version string   // in its telemetry
	Started string   // the message of its first log line
	Addr    string   // host:port to listen on, unless a lab hands the process its listener
	Faults  []string // to switch on
	LogDir  string   // where log lines are also kept in files; empty for none

	// NewHandler makes the service.
	NewHandler func(*telemetry.Telemetry, *fault.Set) (http.Handler, error)

	Getenv func(string) string
	Stdin  io.Reader // ends with the lab that started this process
	Stdout io.Writer // takes log lines
}

// drainTimeout is the time in which open requests may finish. The front end gives a
// roll up after five seconds.
const drainTimeout = 10 * time.Second

// Run serves until a signal, or the lab that started this process, ends it.
func Run(ctx context.Context, o Options) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, gate := child.Watch(ctx, o.Getenv, o.Stdin)

	if err := boundHeap(o.Getenv); err != nil {
		return err
	}
	faults, err := fault.NewSetOf(o.Name, o.Faults...)
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	lines, closeLog, err := OpenLog(o.Stdout, o.LogDir, o.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	tel, err := telemetry.New(ctx, telemetry.Config{Service: o.Name, Version: o.Version, Output: lines, Faults: faults})
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	defer func() {
		err = errors.Join(err, tel.Shutdown(context.WithoutCancel(ctx)))
	}()
	handler, err := o.NewHandler(tel, faults)
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	listener, err := Listen(ctx, o.Getenv, o.Addr)
	if err != nil {
		return err
	}
	server := web.NewServer(listener, gate.Wrap(handler))
	tel.Logger.Info(o.Started, "url", server.URL(), "version", o.Version)

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

// CheckTelemetry refuses OTEL_* settings that a service would refuse.
func CheckTelemetry(ctx context.Context) error {
	tel, err := telemetry.New(ctx, telemetry.Config{Output: io.Discard})
	if err != nil {
		return &lab.UsageError{Err: err}
	}
	return tel.Shutdown(ctx)
}

// OpenLog returns a writer of a service's log lines: to out, and to files in
// DIR/NAME if dir is not empty. Call closeLog after the last line.
func OpenLog(out io.Writer, dir, name string) (w io.Writer, closeLog func() error, err error) {
	if dir == "" {
		return out, func() error { return nil }, nil
	}
	files, err := logfile.Open(filepath.Join(dir, name), logfile.Service())
	if err != nil {
		return nil, nil, lab.Refuse(fmt.Errorf("opening the log files: %w", err),
			"another directory can be given with --log-dir")
	}
	return io.MultiWriter(out, files), files.Close, nil
}
