package embedded

import (
	"context"
	"errors"
	"net/http"

	"dicelab/internal/lab"
	"dicelab/internal/web"
	"dicelab/stack"
)

// OpenError reports that the data directory cannot be opened. It is a usage error:
// another directory can be chosen, and damaged files can be moved aside.
type OpenError struct{ Err error }

// Error returns the text of the cause.
func (e *OpenError) Error() string { return e.Err.Error() }

// Unwrap returns the cause as a usage error.
func (e *OpenError) Unwrap() error { return &lab.UsageError{Err: e.Err} }

// Parts lists the parts of the stack in the order in which they start. Each API is a
// part of its own, so that a lab's report names it with its address. Parts that
// cannot open their files fail with [*OpenError].
func (s *Stack) Parts() ([]lab.Part, error) {
	prometheus := s.part("prometheus", stack.Prometheus, s.Prometheus)
	serve, stop := prometheus.Start, prometheus.Stop
	prometheus.Start = func(ctx context.Context) error {
		if err := s.OpenMetrics(ctx); err != nil {
			return &OpenError{err}
		}
		return serve(ctx)
	}
	prometheus.Collect = s.LastScrape
	prometheus.Stop = func(ctx context.Context) error { return errors.Join(stop(ctx), s.CloseMetrics(ctx)) }
	openStore := func(ctx context.Context) error {
		if err := s.OpenStore(ctx); err != nil {
			return &OpenError{err}
		}
		return nil
	}
	return []lab.Part{
		{Name: "store", Start: openStore, Stop: s.CloseStore},
		lab.ServerPart("otlp http", s.o.Listeners[stack.OTLPHTTP], func() http.Handler {
			return web.GuardCORS(s.Receiver(), s.o.Origins, "dicelab up --cors-origin", s.o.Hosts...)
		}),
		lab.GRPCPart("otlp grpc", s.o.Listeners[stack.OTLPGRPC], s.GRPC),
		lab.GRPCPart("tempo", s.o.Listeners[stack.Tempo], func() http.Handler { return web.Guard(s.Tempo(), s.o.Hosts...) }), // HTTP/1.1, too
		s.part("loki", stack.Loki, s.Loki),
		prometheus,
	}, nil
}

func (s *Stack) part(name, listener string, handler func() http.Handler) lab.Part {
	return lab.ServerPart(name, s.o.Listeners[listener], func() http.Handler { return web.Guard(handler(), s.o.Hosts...) })
}
