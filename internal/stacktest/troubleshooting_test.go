//go:build stack

package stacktest_test

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dicelab/internal/contract"
	"dicelab/internal/doctest"
	"dicelab/internal/lab/native"
)

// Every command of docs/troubleshooting.md that is for the real servers prints
// what the document shows, with the fault in place that its section is about.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	if err := doctest.Tools(); err != nil {
		t.Fatal(err)
	}
	blocks, err := doctest.Read("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, scene := range doctest.Scenes(blocks, doctest.Native) {
		t.Run(scene.State, func(t *testing.T) {
			t.Parallel()
			lab, end := documented(t, scene.State)
			defer end()
			for _, b := range scene.Blocks {
				if err := lab.Run(t.Context(), b); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// documented starts a lab with which something is the matter; end stops it.
func documented(t *testing.T, state string) (lab doctest.Lab, end func()) {
	t.Helper()
	args := quick(t)
	mistakes := []mistake{withoutLabel, withoutMetadata, wrongPath}
	made := slices.IndexFunc(mistakes, func(m mistake) bool { return m.name == state })
	fault, faulty := strings.CutPrefix(state, "fault ")
	hangs := state == "dice-roller hangs"
	switch {
	case faulty:
		args = append(args, "--fault", fault)
	case made >= 0:
		args = append(args, "--stack-config", mistakes[made].write(t))
	case !hangs && state != doctest.Healthy:
		t.Fatalf("nothing is known of a lab that is %q", state)
	}
	r := start(t, free(t), args...)
	r.open(t)
	end = func() { r.stop(t) }
	if hangs {
		family := processes(t, r.cmd.Process.Pid)
		i := slices.IndexFunc(family, func(p process) bool { return len(p.args) > 1 && p.args[1] == "roller" })
		if i < 0 {
			t.Fatalf("no process of the dice roller is among %v", family)
		}
		signal := func(s syscall.Signal) {
			if err := syscall.Kill(family[i].pid, s); err != nil {
				t.Fatal(err)
			}
		}
		signal(syscall.SIGSTOP)
		end = func() { signal(syscall.SIGCONT); r.stop(t) }
	}
	bin, err := filepath.Abs(filepath.Dir(*program))
	if err != nil {
		t.Fatal(err)
	}
	lab = doctest.Lab{
		Ports: map[string]string{}, Flags: map[string][]string{"verify": append(r.verifyFlags(), "--timeout", "30s")}, Dir: t.TempDir(), Patience: 3 * patience,
		Path: bin, Env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.url(native.OTLPHTTP)},
	}
	for port, place := range map[string]string{
		contract.PortFrontend: "frontend", contract.PortRoller: "roller", contract.PortExplorer: "explorer",
		contract.PortPrometheus: native.Prometheus, contract.PortLoki: native.Loki, contract.PortTempo: native.Tempo,
	} {
		if _, lab.Ports[port], err = net.SplitHostPort(r.addresses[place]); err != nil {
			t.Fatal(err)
		}
	}
	return lab, end
}
