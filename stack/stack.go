// Package stack is the real telemetry stack: the configurations of its servers,
// and the one table of their versions, images, ports and readiness endpoints.
//
// Rules. A version, an image tag or a port of a server is written in this table
// and nowhere else in Go code; what must repeat it (go.mod, the Collector's
// manifest, configurations, documents) is held to it by a test. The package
// starts nothing and builds nothing: stack/build builds the servers into the
// user's cache, [Binary] finds them there, internal/lab/native runs them.
//
// The servers run as programs of their own; nothing of theirs is imported into
// dicelab. Loki and Tempo are licensed under the AGPL-3.0, which that respects.
package stack

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
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
	// Release is the version of the server, as it tells it itself.
	Release string

	// Module and Version are what is built. The module's own version may be
	// numbered differently from the release: Prometheus 3.16 is v0.316.
	Module, Version string
	// Package is the main package that is built; empty where Generator writes it.
	Package string
	// Generator is the main package of a program of Module that writes the
	// server's main package from manifest.yaml. It takes the flags of the
	// OpenTelemetry Collector Builder.
	Generator string
	// Tags are the build tags.
	Tags []string
	// CGO tells that the server needs a C compiler to be built.
	CGO bool
	// VersionVar is the string variable that the linker sets to Release, by
	// import path and name; empty where the server knows its release.
	VersionVar string
	// Sum is the checksum of stack/build/NAME, as builder.Sum tells it. It makes a
	// change of a pinned module or of the manifest a change of the table, so that
	// the server is built anew.
	Sum string

	// Image and Tag are the container image of the same minor version.
	Image, Tag string

	// Ports is where it listens natively. The first one tells its readiness.
	Ports []Port
	// ReadyPath is the path that answers 200 when the server is ready.
	ReadyPath string
}

// Port is a TCP port.
type Port struct {
	Number string // decimal
	What   string // what it is for, as an error message names it
}

// ReadyURL is where the server answers 200 when it is ready, on this machine and
// on the port of the table.
func (c Component) ReadyURL() string {
	return "http://127.0.0.1:" + c.Ports[0].Number + c.ReadyPath
}

// Components lists the servers in the order in which they are built, the
// quickest first.
func Components() []Component {
	return []Component{
		{
			Name: Prometheus, Release: "3.16.0",
			Module: "github.com/prometheus/prometheus", Version: "v0.316.0",
			Package: "github.com/prometheus/prometheus/cmd/prometheus",
			// The SDKs of clouds, of which the lab discovers nothing.
			Tags:       []string{"remove_all_sd"},
			VersionVar: "github.com/prometheus/common/version.Version",
			Sum:        "7e8b5245bb29",
			Image:      "prom/prometheus", Tag: "v3.16.0",
			Ports:     []Port{{contract.PortPrometheus, "Prometheus"}},
			ReadyPath: "/-/ready",
		},
		{
			// At v0.164.0 some of its modules cannot be had everywhere; this one is
			// complete, and what Alloy 1.11 is made of.
			Name: Collector, Release: "0.134.0",
			Module: "go.opentelemetry.io/collector/cmd/builder", Version: "v0.134.0",
			Generator: "go.opentelemetry.io/collector/cmd/builder",
			Sum:       "5e787015ba1c",
			// The image "opentelemetry-collector" lacks file_storage.
			Image: "otel/opentelemetry-collector-contrib", Tag: "0.134.0",
			Ports: []Port{
				{PortCollectorHealth, "the Collector's health check"},
				{contract.PortOTLPGRPC, "OTLP over gRPC"},
				{contract.PortOTLPHTTP, "OTLP over HTTP"},
				{PortCollectorMetrics, "the Collector's own metrics"},
			},
			ReadyPath: "/",
		},
		{
			// The commit of the tag v2.9.0: Tempo's module path has no /v2, so that
			// its releases are numbered as pseudo-versions.
			Name: Tempo, Release: "2.9.0",
			Module: "github.com/grafana/tempo", Version: "v1.5.1-0.20251008140505-607c7fb69662",
			Package:    "github.com/grafana/tempo/cmd/tempo",
			VersionVar: "main.Version",
			Sum:        "190e5b5b93c2",
			Image:      "grafana/tempo", Tag: "2.9.0",
			Ports: []Port{
				{contract.PortTempo, "Tempo"},
				{PortTempoOTLP, "Tempo's OTLP receiver"},
				{PortTempoGRPC, "Tempo's gRPC"},
			},
			ReadyPath: "/ready",
		},
		{
			Name: Loki, Release: "3.7.8",
			Module: "github.com/grafana/loki/v3", Version: "v3.7.8",
			Package:    "github.com/grafana/loki/v3/cmd/loki",
			VersionVar: "github.com/grafana/loki/v3/pkg/util/build.Version",
			Sum:        "67539fff2d87",
			Image:      "grafana/loki", Tag: "3.7.8",
			Ports: []Port{
				{contract.PortLoki, "Loki"},
				{PortLokiGRPC, "Loki's gRPC"},
			},
			ReadyPath: "/ready",
		},
		{
			Name: Alloy, Release: "1.11.0",
			Module: "github.com/grafana/alloy", Version: "v1.11.0",
			Package:    "github.com/grafana/alloy",
			Tags:       []string{"netgo"},
			CGO:        true, // a database driver inside
			VersionVar: "github.com/grafana/alloy/internal/build.Version",
			Sum:        "51a8241cb7b5",
			Image:      "grafana/alloy", Tag: "v1.11.0",
			Ports:     []Port{{PortAlloy, "Alloy"}},
			ReadyPath: "/-/ready",
		},
	}
}

// Images lists what containers are made of: the components, and Grafana, which is
// an image only. It is no Go module that could be built, so it does not run
// natively, and no field that tells how to build it is set.
func Images() []Component {
	return append(Components(), Component{
		// The last minor of 12: it takes dashboards in the format of the file.
		Name: Grafana, Release: "12.4.2",
		Image: "grafana/grafana", Tag: "12.4.2",
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

// CacheDir is the folder that holds the built servers, in the user's cache.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the folder for built servers: %w; set HOME", err)
	}
	return filepath.Join(dir, "dicelab", "stack"), nil
}

// Path is where the server is in a cache directory once it is built for this
// platform. Another row of the table, another path.
func (c Component) Path(cache string) string {
	return filepath.Join(cache, fmt.Sprintf("%s-%s-%s-%s-%s", c.Name, c.Release, runtime.GOOS, runtime.GOARCH, c.key()), c.Name)
}

// key tells two ways of building a server apart.
func (c Component) key() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", []string{
		c.Release, c.Module, c.Version, c.Package, c.Generator, fmt.Sprint(c.Tags, c.CGO), c.VersionVar, c.Sum,
	}))
	return hex.EncodeToString(sum[:4])
}

// ErrNotBuilt is what [Binary] fails with where the server is not built yet.
var ErrNotBuilt = errors.New("not built yet on this machine: run make stack-build in dicelab's checkout")

// Binary is the path of a built server. It fails with ErrNotBuilt where the user's
// cache does not have it in the version of the table.
func Binary(component string) (path string, err error) {
	c, err := Find(component)
	if err != nil {
		return "", err
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	path = c.Path(cache)
	if built, err := Built(path); err != nil {
		return "", fmt.Errorf("finding %s: %w", c, err)
	} else if !built {
		return "", fmt.Errorf("%s: %w", c, ErrNotBuilt)
	}
	return path, nil
}

// Built tells whether a file is there that can be run.
func Built(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return info.Mode().IsRegular() && info.Mode().Perm()&0o100 != 0, nil
}

// String is the component's name and release.
func (c Component) String() string { return c.Name + " " + c.Release }
