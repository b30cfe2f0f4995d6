package lab

import (
	"slices"
	"strings"

	"dicelab/internal/contract"
)

// Environment variables of OpenTelemetry that the lab itself cares about
// (specification: "Environment Variable Specification" and "OTLP Exporter").
const (
	envServiceName    = "OTEL_SERVICE_NAME"
	envEndpoint       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	envTracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	envProtocol       = "OTEL_EXPORTER_OTLP_PROTOCOL"
	envTracesProtocol = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	envHeaders        = "OTEL_EXPORTER_OTLP_HEADERS"
	envTracesHeaders  = "OTEL_EXPORTER_OTLP_TRACES_HEADERS"

	protocolGRPC = "grpc"
)

// OTLP holds the URLs at which the lab receives OTLP. The zero value means that it receives none
// (--stack=none).
type OTLP struct {
	HTTP, GRPC string
	// OwnKey is the value of [contract.HeaderOwnKey] in the services' requests; "" for none.
	OwnKey string
}

// Environ returns the environment of a service, made from that of the lab:
//   - OTEL_SERVICE_NAME is the service's. The user's would give both services
//     one name.
//   - OTEL_EXPORTER_OTLP_ENDPOINT is the lab's, at the port that speaks the
//     protocol the user asked for, unless the user set it or
//     OTEL_EXPORTER_OTLP_TRACES_ENDPOINT.
//   - OTEL_EXPORTER_OTLP_HEADERS, or OTEL_EXPORTER_OTLP_TRACES_HEADERS where the
//     user set it, has the lab's key besides, if the endpoint is the lab's.
//   - Everything else is passed on.
//
// A variable that is empty counts as unset, as the specification says. Of a
// variable that occurs twice the last counts, as in os/exec.
func Environ(base []string, service string, lab OTLP) []string {
	value := func(name string) string {
		for _, kv := range slices.Backward(base) {
			if v, ok := strings.CutPrefix(kv, name+"="); ok {
				return v
			}
		}
		return ""
	}
	env := drop(base, envServiceName)
	env = append(env, envServiceName+"="+service)
	if lab == (OTLP{}) || value(envEndpoint) != "" || value(envTracesEndpoint) != "" {
		return env
	}
	protocol := value(envTracesProtocol)
	if protocol == "" {
		protocol = value(envProtocol)
	}
	endpoint := lab.HTTP
	if protocol == protocolGRPC {
		endpoint = lab.GRPC
	}
	env = append(drop(env, envEndpoint), envEndpoint+"="+endpoint)
	if lab.OwnKey == "" {
		return env
	}
	headers := envHeaders
	if value(envTracesHeaders) != "" {
		headers = envTracesHeaders
	}
	pairs := contract.HeaderOwnKey + "=" + lab.OwnKey
	if others := value(headers); others != "" {
		pairs = others + "," + pairs
	}
	return append(drop(env, headers), headers+"="+pairs)
}

// drop returns a copy of env without the variable.
func drop(env []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
}
