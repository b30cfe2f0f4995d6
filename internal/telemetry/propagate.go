package telemetry

import (
	"cmp"
	"context"
	"os"
	"strings"

	"go.opentelemetry.io/otel/propagation"

	"dicelab/internal/contract"
	"dicelab/internal/fault"
)

// newPropagator carries context over HTTP in the formats of OTEL_PROPAGATORS: W3C
// Trace Context and W3C Baggage by default. The fault no-propagation silences it.
func newPropagator(faults *fault.Set) propagation.TextMapPropagator {
	var list []propagation.TextMapPropagator
	for name := range strings.SplitSeq(cmp.Or(os.Getenv("OTEL_PROPAGATORS"), "tracecontext,baggage"), ",") {
		switch strings.TrimSpace(name) {
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
	if header, ok := carrier.(propagation.HeaderCarrier); ok {
		carrier = incoming{header}
	}
	return p.TextMapPropagator.Extract(ctx, carrier)
}

// incoming is the header of a request as W3C Trace Context has it read (sections
// 3.2.1 and 3.3.1): several tracestates are one list, two traceparents are none,
// and so is one of version 00 that is longer than it may be.
type incoming struct{ propagation.HeaderCarrier }

// traceparentLen is the length of a traceparent of version 00, in bytes.
const traceparentLen = 55

// Get implements propagation.TextMapCarrier.
func (h incoming) Get(name string) string {
	values := h.Values(name)
	value := strings.Join(values, ",")
	if name == contract.HeaderTraceparent &&
		(len(values) > 1 || strings.HasPrefix(value, "00-") && len(value) != traceparentLen) {
		return ""
	}
	return value
}
