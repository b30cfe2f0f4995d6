package service

import (
	"context"
	"errors"
	"net"
	"net/http"

	"dicelab/internal/lab"
	"dicelab/internal/lab/child"
	"dicelab/internal/telemetry"
	"dicelab/internal/web"
)

// Listen returns the listener of this process: the one that a lab has handed it, or
// a new one at addr.
func Listen(ctx context.Context, getenv func(string) string, addr string) (net.Listener, error) {
	listener, err := child.Listen(ctx, getenv, addr)
	if err != nil {
		return nil, lab.Refuse(err, "another address can be given with --addr")
	}
	return listener, nil
}

// Probes serves /healthz, /readyz and /metrics of a process that serves nothing
// else, until stop is called. It calls failed if it cannot serve them any longer.
func Probes(l net.Listener, gate *child.Gate, tel *telemetry.Telemetry, hosts []string,
	failed func(error)) (stop func(context.Context) error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", web.Alive)
	mux.HandleFunc("GET /readyz", web.Ready)
	mux.Handle("GET /metrics", tel.MetricsHandler())
	server := web.NewServer(l, gate.Wrap(web.Guard(web.Unmatched(mux), hosts...)))
	ended := make(chan error, 1)
	go func() {
		err := server.Serve()
		failed(err)
		ended <- err
	}()
	return func(ctx context.Context) error {
		return errors.Join(server.Shutdown(context.WithoutCancel(ctx)), <-ended)
	}
}
