package embedded

import (
	"context"
	"errors"

	"go.opentelemetry.io/collector/pdata/pmetric"

	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/logline"
	"dicelab/internal/embedded/otlp"
	"dicelab/internal/embedded/store"
)

// points are the metrics of a stack, which are opened after the receiver of OTLP.
type points struct{ stack *Stack }

// AppendMetrics implements [otlp.Points].
func (p points) AppendMetrics(ctx context.Context, md pmetric.Metrics) (rejected []intake.Rejection, note string, err error) {
	open := p.stack.opened.Load()
	if open == nil {
		return nil, "", errors.New("the metrics are not open yet")
	}
	return open.AppendMetrics(ctx, md)
}

func (s *Stack) lineLimits() logline.Limits {
	return logline.Limits{Age: s.store.LogAge(), Early: store.MaxEarly}
}

// startForwarding starts to send copies, if they are to be sent.
func (s *Stack) startForwarding(ctx context.Context) otlp.Forwarder {
	if s.forwarder == nil {
		return nil
	}
	sending, end := context.WithCancel(context.WithoutCancel(ctx)) // stopForwarding ends it
	s.endForward, s.forwarded = end, make(chan struct{})
	go func() {
		defer close(s.forwarded)
		s.forwarder.Run(sending, context.WithoutCancel(ctx))
	}()
	return s.forwarder
}

// stopForwarding sends what waits, each copy once, and at most until ctx ends.
func (s *Stack) stopForwarding(ctx context.Context) {
	if s.forwarder == nil {
		return
	}
	s.endForward()
	select {
	case <-s.forwarded:
	case <-ctx.Done():
	}
}
