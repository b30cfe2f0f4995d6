// Package stack is the real telemetry stack: the configurations of its servers,
// and the one table of their versions, programs, images, ports and readiness
// endpoints.
//
// A version, an image tag or a port of a server is written in this table and
// nowhere else in Go code. A test compares the configurations, the Compose files
// and the documents with it. The package starts nothing: internal/lab/servers
// finds the programs on this machine, internal/lab/native runs them.
//
// The servers run as programs of their own; nothing of theirs is imported into
// dicelab. Loki and Tempo are licensed under the AGPL-3.0.
package stack

import (
	"embed"
	"fmt"
	"strings"

	"dicelab/internal/contract"
)

// Configs holds the configurations, in a folder a component. They are in the
// binary so that an installed dicelab has them without a checkout.
//
//go:embed prometheus otel-collector tempo loki alloy grafana
var Configs embed.FS

// The components, spelled as their folders, their Compose services and their
// log labels are.
const (
	Prometheus = "prometheus"
	Collector  = "otel-collector"
	Tempo      = "tempo"
	Loki       = "loki"
	Alloy      = "alloy"
	Grafana    = "grafana"
)

// The names of the addresses that take OTLP, on the embedded stack and on the real
// one. The other addresses that both have are named by their component.
const (
	OTLPGRPC = "otlp-grpc"
	OTLPHTTP = "otlp-http"
)

// Ports that only the real stack has; those of the query APIs and of OTLP are
// in contract, since the embedded stack has them, too.
const (
	PortAlloy            = "12345"
	PortTempoOTLP        = "14317" // 4317 is the Collector's
	PortTempoGRPC        = "9096"  // by default 9095, as Loki's
	PortLokiGRPC         = "9097"
	PortCollectorHealth  = "13133"
	PortCollectorMetrics = "8888"
	PortGrafana          = "3000"
)

// Component is one server: a row of the table.
type Component struct {
	Name string
	// Version is the version that dicelab is tested with, such as "3.16.0".
	Version string
	// Oldest is the oldest version that knows the settings and flags of dicelab.
	Oldest string
	// Programs are the names of the program in releases and packages, the usual
	// one first. Archives may append the platform, as in "loki-linux-amd64".
	Programs []string
	// Download is the page of the project's releases.
	Download string
	// Brew is the name of the Homebrew formula; empty if there is none.
	Brew string

	// Image and Tag are the container image of Version. Digest is that of the
	// image's index, for all platforms; empty if it is not known.
	Image, Tag, Digest string

	// Ports are the ports that it listens on natively; the first answers ReadyPath.
	Ports []Port
	// ReadyPath is the path that answers 200 when the server is ready.
	ReadyPath string
}

// Port is a TCP port.
type Port struct {
	Number string // decimal
	What   string // what it is for, as an error message names it
}

// ReadyURL returns the URL that answers 200 when the server is ready, on this
// machine and on the port of the table.
func (c Component) ReadyURL() string {
	return "http://127.0.0.1:" + c.Ports[0].Number + c.ReadyPath
}

// Components lists the servers that run natively.
func Components() []Component {
	return []Component{
		{
			Name: Prometheus, Version: "3.16.0",
			Oldest:   "3.8.0", // storage.tsdb.retention in its configuration
			Programs: []string{"prometheus"},
			Download: "https://prometheus.io/download/", Brew: "prometheus",
			Image: "prom/prometheus", Tag: "v3.16.0", // its digest is not known here
			Ports:     []Port{{contract.PortPrometheus, "Prometheus"}},
			ReadyPath: "/-/ready",
		},
		{
			Name: Collector, Version: "0.159.0",
			Oldest: "0.144.0", // the exporter otlp_grpc by that name
			// The distribution "contrib" has file_storage; a Collector of one's own may.
			Programs: []string{"otelcol-contrib", "otelcol", "otel-collector"},
			Download: "https://github.com/open-telemetry/opentelemetry-collector-releases/releases",
			Image:    "otel/opentelemetry-collector-contrib", Tag: "0.159.0",
			Digest: "sha256:1f2c54a30e713fac6b3ae77a1ec84010c2007e29ced8ec666214fc2f6739c1cc",
			Ports: []Port{
				{PortCollectorHealth, "the Collector's health check"},
				{contract.PortOTLPGRPC, "OTLP over gRPC"},
				{contract.PortOTLPHTTP, "OTLP over HTTP"},
				{PortCollectorMetrics, "the Collector's own metrics"},
			},
			ReadyPath: "/",
		},
		{
			Name: Tempo, Version: "3.0.3",
			Oldest:   "3.0.0", // live_store and backend_scheduler in its configuration
			Programs: []string{"tempo"},
			Download: "https://github.com/grafana/tempo/releases",
			Image:    "grafana/tempo", Tag: "3.0.3",
			Digest: "sha256:0296560ac66f8a3600d7fb3014a52c189d4d9c3549ad6ff441bf2409855d68d5",
			Ports: []Port{
				{contract.PortTempo, "Tempo"},
				{PortTempoOTLP, "Tempo's OTLP receiver"},
				{PortTempoGRPC, "Tempo's gRPC"},
			},
			ReadyPath: "/ready",
		},
		{
			Name: Loki, Version: "3.7.6",
			Oldest:   "3.0.0", // schema v13 with structured metadata
			Programs: []string{"loki"},
			Download: "https://github.com/grafana/loki/releases", Brew: "loki",
			Image: "grafana/loki", Tag: "3.7.6",
			Digest: "sha256:efd47c67f9bac88ca29bcf8cb997d9ab29d1848bd0aff579282295542a745952",
			Ports: []Port{
				{contract.PortLoki, "Loki"},
				{PortLokiGRPC, "Loki's gRPC"},
			},
			ReadyPath: "/ready",
		},
		{
			Name: Alloy, Version: "1.18.1",
			Oldest:   "1.5.0", // flag --server.http.disable-support-bundle
			Programs: []string{"alloy"},
			Download: "https://github.com/grafana/alloy/releases", Brew: "grafana/grafana/alloy",
			Image: "grafana/alloy", Tag: "v1.18.1",
			Digest:    "sha256:0f4434c92b3e6cdac38bb129b344e1790c246f7b6e2eaffcc16a5fa363240e33",
			Ports:     []Port{{PortAlloy, "Alloy"}},
			ReadyPath: "/-/ready",
		},
	}
}

// Images lists the container images of the stack: the components, and Grafana,
// which runs in containers only.
func Images() []Component {
	return append(Components(), Component{
		Name: Grafana, Version: "13.2.3",
		Image: "grafana/grafana", Tag: "13.2.3",
		Digest:    "sha256:b28bae15e219c998fb0e0424ed724930cc61b1f61fb404d47c862f9a23f9e572",
		Ports:     []Port{{PortGrafana, "Grafana"}},
		ReadyPath: "/api/health",
	})
}

// Find returns the component of that name.
func Find(name string) (Component, error) {
	var names []string
	for _, c := range Components() {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return Component{}, fmt.Errorf("the stack has no server %q: it has %s", name, strings.Join(names, ", "))
}

// String returns the component's name and tested version.
func (c Component) String() string { return c.Name + " " + c.Version }
