package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/propagation"

	"dicelab/internal/fault"
)

// newPropagator carries context over HTTP as the names say (OTEL_PROPAGATORS):
// W3C Trace Context and W3C Baggage by default. The fault no-propagation
// silences it.
func newPropagator(names []string, faults *fault.Set) propagation.TextMapPropagator {
	var list []propagation.TextMapPropagator
	for _, name := range names {
		switch name {
		case "tracecontext":
			list = append(list, propagation.TraceContext{})
		case "baggage":
			list = append(list, propagation.Baggage{})
		}
	}
	return faultyPropagator{propagation.NewCompositeTextMapPropagator(list...), faults}
}

type faultyPropagator struct {
	propagation.TextMapPropagator
	faults *fault.Set
}

func (p faultyPropagator) Inject(ctx context.Context, carrier propagation.TextMapCarrier) {
	if !p.faults.State().NoPropagation {
		p.TextMapPropagator.Inject(ctx, carrier)
	}
}

func (p faultyPropagator) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	if p.faults.State().NoPropagation {
		return ctx
	}
	return p.TextMapPropagator.Extract(ctx, carrier)
}
