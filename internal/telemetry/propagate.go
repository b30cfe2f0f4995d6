package telemetry

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/propagation"

	"dicelab/internal/contract"
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

// incoming is the header of a request as a propagator reads it (W3C Trace Context,
// sections 3.2.1 and 3.3.1). It is stricter than propagation.HeaderCarrier: a
// traceparent that comes twice is none, and so is one of version 00 that goes on
// after its flags. Several tracestate headers are one list.
type incoming http.Header

// traceparentLen is the length of a traceparent of version 00, in bytes.
const traceparentLen = 55

// Get implements propagation.TextMapCarrier.
func (h incoming) Get(name string) string {
	values := h.Values(name)
	if len(values) == 0 {
		return ""
	}
	switch name {
	case contract.HeaderTraceparent:
		if len(values) > 1 || strings.HasPrefix(values[0], "00-") && len(values[0]) != traceparentLen {
			return ""
		}
	case contract.HeaderTracestate:
		return strings.Join(values, ",")
	}
	return values[0]
}

// Values implements propagation.ValuesGetter, which is how baggage is read.
func (h incoming) Values(name string) []string { return http.Header(h).Values(name) }

// Set implements propagation.TextMapCarrier.
func (h incoming) Set(name, value string) { http.Header(h).Set(name, value) }

// Keys implements propagation.TextMapCarrier.
func (h incoming) Keys() []string { return propagation.HeaderCarrier(h).Keys() }
