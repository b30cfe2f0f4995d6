// Package otlpclient sends spans over OTLP, with the clients of the OpenTelemetry
// SDK and the OTEL_EXPORTER_OTLP_* variables that they read: the services' own
// spans, and those that "dicelab import" reads from files.
package otlpclient

import (
	"encoding/json"
	"errors"
	"os"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"

	"dicelab/internal/contract"
	"dicelab/internal/otelenv"
)

// New returns a client for OTEL_EXPORTER_OTLP_PROTOCOL. Without an endpoint the
// SDK's clients use https, where the specification says http.
func New() otlptrace.Client {
	plain := otelenv.OTLP("ENDPOINT") == "" && otelenv.OTLP("INSECURE") == ""
	switch grpc := otelenv.OTLP("PROTOCOL") == otelenv.GRPC; {
	case grpc && plain:
		return otlptracegrpc.NewClient(otlptracegrpc.WithInsecure())
	case grpc:
		return otlptracegrpc.NewClient()
	case plain:
		return otlptracehttp.NewClient(otlptracehttp.WithInsecure())
	default:
		return otlptracehttp.NewClient()
	}
}

// URL returns the address that the client of New sends to (specification,
// "Endpoint URLs for OTLP/HTTP").
func URL() string {
	endpoint := otelenv.OTLP("ENDPOINT")
	switch {
	case otelenv.OTLP("PROTOCOL") == otelenv.GRPC && endpoint == "":
		return "http://localhost:" + contract.PortOTLPGRPC
	case otelenv.OTLP("PROTOCOL") == otelenv.GRPC, os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "":
		return endpoint
	case endpoint == "":
		endpoint = "http://localhost:" + contract.PortOTLPHTTP
	}
	return strings.TrimSuffix(endpoint, "/") + "/v1/traces"
}

// PartialSuccess is a receiver's answer that it has rejected some spans, or a
// warning if it has rejected none (OTLP specification, "Partial Success").
type PartialSuccess struct {
	Rejected int
	Message  string
}

// AsPartialSuccess finds a partial success in the error of a client. The clients'
// type for it is internal to them. So it is found by its methods, and its fields,
// which are exported, are read as JSON.
func AsPartialSuccess(err error) (p PartialSuccess, ok bool) {
	var found interface {
		error
		As(any) bool
	}
	if !errors.As(err, &found) {
		return p, false
	}
	var fields struct {
		ErrorMessage  *string
		RejectedItems *int
	}
	text, err := json.Marshal(found)
	if err != nil || json.Unmarshal(text, &fields) != nil || fields.ErrorMessage == nil || fields.RejectedItems == nil {
		return p, false
	}
	return PartialSuccess{Rejected: *fields.RejectedItems, Message: *fields.ErrorMessage}, true
}
