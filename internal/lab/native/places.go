package native

import (
	"net"
	"strings"

	"dicelab/internal/contract"
)

// The components, by the name of their folder in stack.
const (
	Prometheus = "prometheus"
	Tempo      = "tempo"
	Collector  = "otel-collector"
	Loki       = "loki"
	Alloy      = "alloy"
)

// Where the servers listen. Prometheus, Tempo, Loki and Alloy have a place of
// their component's name for their HTTP API.
const (
	OTLPGRPC         = "otlp-grpc"
	OTLPHTTP         = "otlp-http"
	TempoOTLP        = "tempo-otlp"
	TempoGRPC        = "tempo-grpc"
	LokiGRPC         = "loki-grpc"
	CollectorHealth  = "collector-health"
	CollectorMetrics = "collector-metrics"
)

// Place is an address that a server listens on.
type Place struct {
	Name  string
	Port  string // by default
	Owner string // in a sentence
}

// Places lists every address that the stack listens on; there is no other.
func Places() []Place {
	return []Place{
		{Prometheus, contract.PortPrometheus, "Prometheus"},
		{Loki, contract.PortLoki, "Loki"},
		{Tempo, contract.PortTempo, "Tempo"},
		{OTLPGRPC, contract.PortOTLPGRPC, "OTLP over gRPC"},
		{OTLPHTTP, contract.PortOTLPHTTP, "OTLP over HTTP"},
		{Alloy, "12345", "Alloy"},
		{TempoOTLP, "14317", "Tempo's OTLP receiver"},
		{TempoGRPC, "9096", "Tempo's gRPC"},
		{LokiGRPC, "9097", "Loki's gRPC"},
		{CollectorHealth, "13133", "the Collector's health check"},
		{CollectorMetrics, "8888", "the Collector's own metrics"},
	}
}

// Env is what the configurations read from the environment. Of a place such as
// loki-grpc:
//
//	DICELAB_LOKI_GRPC_HOST, DICELAB_LOKI_GRPC_PORT   where the server listens
//	DICELAB_LOKI_GRPC_ADDR                           where the others find it
//
// and DICELAB_LOGS, the directory of the services' output. addrs holds host:port
// by the place's name. DICELAB_DIR, a server's own directory, is set for each.
func Env(addrs map[string]string, logs string) []string {
	env := []string{"DICELAB_LOGS=" + logs}
	for _, p := range Places() {
		host, port, err := net.SplitHostPort(addrs[p.Name])
		if err != nil {
			continue // no such place: the configuration's default holds
		}
		name := "DICELAB_" + strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_"))
		env = append(env, name+"_HOST="+bracketed(host), name+"_PORT="+port, name+"_ADDR="+reach(addrs[p.Name]))
	}
	return env
}

// bracketed is a host as it stands before ":port".
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// reach is the address under which this machine reaches a listener: one on every
// interface is reached over loopback.
func reach(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
