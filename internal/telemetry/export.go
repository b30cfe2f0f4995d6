package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"dicelab/internal/contract"
	"dicelab/internal/terminal"
)

// newExporter makes the exporter that the environment asks for, or none. The
// SDK leaves this choice to the program (contrib's autoexport offers it too, for
// 70 more packages: it links the exporters of metrics and logs as well).
func newExporter(ctx context.Context, set settings) (sdktrace.SpanExporter, error) {
	switch {
	case set.exporter == "none":
		return nil, nil
	case set.exporter == "console": // stdout belongs to the log lines
		return stdouttrace.New(stdouttrace.WithWriter(terminal.NewOutput(os.Stderr)))
	default:
		return newOTLPExporter(ctx, newClient(set))
	}
}

// newClient makes what sends over OTLP. It is not started yet.
func newClient(set settings) otlptrace.Client {
	// Without an endpoint the specification means http://localhost; the SDK https.
	switch {
	case set.protocol == protocolGRPC && set.endpoint:
		return otlptracegrpc.NewClient()
	case set.protocol == protocolGRPC:
		return otlptracegrpc.NewClient(otlptracegrpc.WithInsecure())
	case set.endpoint:
		return otlptracehttp.NewClient()
	default:
		return otlptracehttp.NewClient(otlptracehttp.WithInsecure())
	}
}

// destination is the URL that newClient's client sends to (specification,
// "Endpoint URLs for OTLP/HTTP").
func destination(set settings) string {
	if url := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); url != "" {
		return url
	}
	base := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	switch {
	case set.protocol == protocolGRPC:
		return cmp.Or(base, "http://localhost:"+contract.PortOTLPGRPC)
	default:
		return strings.TrimSuffix(cmp.Or(base, "http://localhost:"+contract.PortOTLPHTTP), "/") + "/v1/traces"
	}
}

// dropCounter counts the spans that were finished but will never be stored.
type dropCounter struct{ queueFull, exportFailed prometheus.Counter }

func newDropCounter(reg prometheus.Registerer) *dropCounter {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: contract.MetricSpansDropped,
		Help: "Spans that were finished but not delivered, by reason.",
	}, []string{contract.LabelReason})
	reg.MustRegister(vec)
	return &dropCounter{
		queueFull:    vec.WithLabelValues(contract.ReasonQueueFull),
		exportFailed: vec.WithLabelValues(contract.ReasonExportFailed),
	}
}

// partialSuccess is how the exporters' errors begin that tell of one.
const partialSuccess = "OTLP partial success: "

// lost is how many of the spans sent did not arrive. A backend may take a part
// of them (OTLP specification, "Partial Success"); the exporter's error then has
// the number in its text only, since its type is internal.
func lost(err error, sent int) int {
	_, partial, ok := cutPartial(err)
	if !ok {
		return sent
	}
	var rejected int
	if _, err := fmt.Sscanf(partial[strings.LastIndex(partial, "(")+1:], "%d spans rejected", &rejected); err != nil {
		return sent
	}
	return min(rejected, sent)
}
