package native

import (
	"net"
	"strings"

	"dicelab/internal/contract"
	"dicelab/stack"
)

// Where the servers listen. Prometheus, Tempo, Loki and Alloy have a place of
// their component's name for their HTTP API.
const (
	Prometheus       = stack.Prometheus
	Tempo            = stack.Tempo
	Loki             = stack.Loki
	Alloy            = stack.Alloy
	OTLPGRPC         = stack.OTLPGRPC
	OTLPHTTP         = stack.OTLPHTTP
	TempoOTLP        = "tempo-otlp"
	TempoGRPC        = "tempo-grpc"
	LokiGRPC         = "loki-grpc"
	CollectorHealth  = "collector-health"
	CollectorMetrics = "collector-metrics"
)

// placeOf names the ports of the stack's table.
func placeOf() map[string]string {
	return map[string]string{
		contract.PortPrometheus: Prometheus, contract.PortTempo: Tempo, contract.PortLoki: Loki, stack.PortAlloy: Alloy,
		contract.PortOTLPGRPC: OTLPGRPC, contract.PortOTLPHTTP: OTLPHTTP,
		stack.PortTempoOTLP: TempoOTLP, stack.PortTempoGRPC: TempoGRPC, stack.PortLokiGRPC: LokiGRPC,
		stack.PortCollectorHealth: CollectorHealth, stack.PortCollectorMetrics: CollectorMetrics,
	}
}

// Place is an address that a server listens on.
type Place struct {
	Name      string
	Component string
	Port      string // by default
	Owner     string // in a sentence
}

// Places lists every address that the stack listens on; there is no other. Each
// port of the stack's table has a place.
func Places() (places []Place) {
	names := placeOf()
	for _, c := range stack.Components() {
		for _, p := range c.Ports {
			places = append(places, Place{Name: names[p.Number], Component: c.Name, Port: p.Number, Owner: p.What})
		}
	}
	return places
}

// Env returns the variables that the configurations read from the environment. For a place such as
// loki-grpc they are:
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
		env = append(env, name+"_HOST="+bracketed(host), name+"_PORT="+port, name+"_ADDR="+clientAddr(addrs[p.Name]))
	}
	return env
}

// bracketed returns a host as it stands before ":port".
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// clientAddr returns the address at which this machine reaches a listener: one on every
// interface is reached over loopback.
func clientAddr(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
