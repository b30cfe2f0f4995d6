//go:build compose

package composetest_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dicelab/internal/contract"
	"dicelab/internal/doctest"
)

// troubleshooting runs every command of docs/troubleshooting.md that is for
// containers, with the fault in place that its section is about. The lab is whole
// before and after.
func troubleshooting(t *testing.T, p *project) {
	if err := doctest.Tools(); err != nil {
		t.Fatal(err)
	}
	blocks, err := doctest.Read(filepath.Join(root, "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	lab := p.documented(t)
	for _, scene := range doctest.Scenes(blocks, doctest.Compose) {
		t.Run(scene.State, func(t *testing.T) {
			defer p.ail(t, scene.State)()
			for _, b := range scene.Blocks {
				if err := lab.Run(t.Context(), b); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// documented returns where documented commands run: in the repository, on the ports of the test,
// with the program of the image.
func (p *project) documented(t *testing.T) doctest.Lab {
	t.Helper()
	bin := t.TempDir()
	const program = "#!/bin/sh\nexec docker run --rm --network host --env OTEL_EXPORTER_OTLP_ENDPOINT dicelab \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "dicelab"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	lab := doctest.Lab{
		Ports: map[string]string{}, Dir: root, Path: bin, Env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + p.at["OTLP_HTTP"]}, Patience: patience,
		Flags: map[string][]string{"verify": {"--timeout", "30s", "--frontend-url", p.at["FRONTEND"], "--roller-url", p.at["ROLLER"],
			"--prometheus-url", p.at["PROMETHEUS"], "--loki-url", p.at["LOKI"], "--tempo-url", p.at["TEMPO"], "--alloy-url", p.at["ALLOY"]}},
	}
	for port, place := range map[string]string{
		contract.PortFrontend: "FRONTEND", contract.PortRoller: "ROLLER", contract.PortExplorer: "EXPLORER",
		contract.PortPrometheus: "PROMETHEUS", contract.PortLoki: "LOKI", contract.PortTempo: "TEMPO",
	} {
		var err error
		if _, lab.Ports[port], err = net.SplitHostPort(strings.TrimPrefix(p.at[place], "http://")); err != nil {
			t.Fatal(err)
		}
	}
	return lab
}

// ail brings the lab into a state; heal brings it out of it.
func (p *project) ail(t *testing.T, state string) (heal func()) {
	t.Helper()
	if state == doctest.Healthy {
		return func() {}
	}
	service, what, _ := strings.Cut(state, " ")
	fault, faulty := strings.CutPrefix(state, "fault "+contract.ServiceRoller+":")
	healthy := slices.Clone(p.env)
	switch {
	case faulty:
		service = contract.ServiceRoller
		p.env = append(p.env, "DICELAB_ROLLER_FLAGS=--fault "+fault)
		p.up(t, whole())
	case what == "stopped":
		docker(t, "stop", contract.ContainerName(service))
	case what == "off the network":
		docker(t, "network", "disconnect", "monitoring", contract.ContainerName(service))
	default:
		t.Fatalf("nothing is known of a lab in containers that is %q", state)
	}
	return func() {
		p.env = healthy
		p.run(t, whole(), "up", "--detach", "--wait", "--force-recreate", "--no-deps", service)
	}
}
