package main_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"dicelab/internal/contract"
	"dicelab/internal/doctest"
	"dicelab/internal/verify"
)

// troubleshooting is the document whose commands are run here on the embedded
// stack and on services that run alone, in internal/stacktest on the real servers,
// and in internal/composetest in containers.
const troubleshooting = "../../docs/troubleshooting.md"

// Ports without a listener (tcpmux, compressnet).
const (
	closed     = "1"
	closedOTLP = "2"
)

// Ports that the document shows for a server that is not there.
const (
	noTempo = "3299"
	noOTLP  = "4319"
)

// Every command of the document prints what it shows, with the fault in place
// that its section is about.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	if err := doctest.Tools(); err != nil {
		t.Fatal(err)
	}
	blocks, err := doctest.Read(troubleshooting)
	if err != nil {
		t.Fatal(err)
	}
	for _, scene := range doctest.Scenes(blocks, doctest.Embedded) {
		t.Run(scene.State, func(t *testing.T) {
			t.Parallel()
			lab := documented(t, scene.State)
			for _, b := range scene.Blocks {
				if err := lab.Run(t.Context(), b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, scene := range doctest.Scenes(blocks, doctest.Alone) {
		for _, b := range scene.Blocks { // each begins with nothing
			t.Run(scene.State, func(t *testing.T) {
				t.Parallel()
				if err := nothing(t).Run(t.Context(), b); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// Every row of the checklist stands in the document's table of causes.
func TestTroubleshootingNamesEveryRow(t *testing.T) {
	text, err := os.ReadFile(troubleshooting)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, line := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllStringSubmatch(string(text), -1) {
		for name := range strings.SplitSeq(line[1], ", ") {
			names = append(names, strings.ReplaceAll(regexp.QuoteMeta(strings.Trim(name, "`")), "…", ".+"))
		}
	}
	known := regexp.MustCompile("^(" + strings.Join(names, "|") + ")$")
	for _, row := range verify.Table() {
		if !known.MatchString(row.Name) {
			t.Errorf("%s does not say what a failure of %s means", troubleshooting, row.Name)
		}
	}
}

// documented starts a lab with which something is the matter.
func documented(t *testing.T, state string) doctest.Lab {
	t.Helper()
	if state == "port 8102 is taken" {
		return portTaken(t)
	}
	dir, args, env := t.TempDir(), quickDice(), []string(nil)
	fault, faulty := strings.CutPrefix(state, "fault ")
	switch {
	case faulty:
		args = append(args, "--fault", fault)
	case strings.HasPrefix(state, "OTEL_"):
		env = []string{strings.Replace(state, noOTLP, closedOTLP, 1)}
	case state != doctest.Healthy && state != "dice-roller hangs":
		t.Fatalf("nothing is known of a lab that is %q", state)
	}
	l := startLab(t, dir, env, args...)
	if state == "dice-roller hangs" {
		l.signalService(t, rollerCommand, syscall.SIGSTOP)
	}
	lab := doctest.Lab{
		Ports: map[string]string{noTempo: closed, noOTLP: closedOTLP},
		Flags: map[string][]string{"verify": append(l.verifyArgs(t)[1:], "--timeout", brokenTime), "up": labArgs(dir)[1:]},
		Names: map[string]string{dir: ".dicelab"}, Dir: t.TempDir(), Patience: patience,
		Env: []string{envBook + "=" + string(l.book), "OTEL_EXPORTER_OTLP_ENDPOINT=" + l.url(t, "otlp http")},
	}
	for port, part := range map[string]string{
		contract.PortFrontend: contract.ServiceFrontend, contract.PortRoller: contract.ServiceRoller, contract.PortExplorer: "explorer",
		contract.PortPrometheus: "prometheus", contract.PortLoki: "loki", contract.PortTempo: "tempo",
	} {
		_, lab.Ports[port], _ = strings.Cut(strings.TrimPrefix(l.url(t, part), "http://"), ":")
	}
	edited(t, lab.Dir)
	return lab
}

// edited lays out copies of the folder stack into which a mistake was edited.
func edited(t *testing.T, dir string) {
	t.Helper()
	for name, made := range map[string]string{
		"my-dashboard": misspell(t, "grafana/dashboards/stage2-dashboard.json", `increase(dice_roll_value_bucket{die_type=\"fair\"`, `increase(dice_role_value_bucket{die_type=\"fair\"`),
		"my-links":     misspell(t, "grafana/provisioning/datasources/dicelab.yaml", "matcherRegex: ^trace_id$$", "matcherRegex: ^traceID$$"),
	} {
		if err := os.Symlink(made, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// portTaken returns a machine on which another program's server has the front end's
// port.
func portTaken(t *testing.T) doctest.Lab {
	t.Helper()
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	_, port, err := net.SplitHostPort(other.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return doctest.Lab{
		Ports: map[string]string{contract.PortFrontend: port}, Patience: patience, Env: []string{envBook + "=" + t.TempDir()},
		Flags: map[string][]string{"up": append(labArgs(t.TempDir())[1:], "--frontend-addr", "127.0.0.1:"+port)}, Dir: t.TempDir(),
	}
}

// nothing returns a machine on which no lab runs. What a block starts ends with the
// test.
func nothing(t *testing.T) doctest.Lab {
	t.Helper()
	pages := book(t.TempDir())
	t.Cleanup(func() {
		if err := errors.Join(pages.kill(), within(patience, pages.empty)); err != nil {
			t.Error(err)
		}
	})
	lab := doctest.Lab{
		Ports: map[string]string{contract.PortOTLPHTTP: closedOTLP, contract.PortTempo: closed}, Dir: t.TempDir(), Patience: patience,
		Env: []string{envBook + "=" + string(pages), "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:" + closedOTLP},
	}
	var listeners []net.Listener
	for _, port := range []string{contract.PortFrontend, contract.PortRoller} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		if _, lab.Ports[port], err = net.SplitHostPort(l.Addr().String()); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range listeners { // another program could take one; the block would show it
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	frontend, roller := "http://localhost:"+lab.Ports[contract.PortFrontend], "http://localhost:"+lab.Ports[contract.PortRoller]
	unreachable := "http://localhost:" + closed
	lab.Flags = map[string][]string{
		"frontend": {"--addr", "127.0.0.1:" + lab.Ports[contract.PortFrontend], "--roller-url", roller},
		"roller":   {"--addr", "127.0.0.1:" + lab.Ports[contract.PortRoller], "--max-delay", "10ms"},
		"verify": {"--frontend-url", frontend, "--roller-url", roller, "--tempo-url", unreachable, "--loki-url", unreachable, "--prometheus-url", unreachable,
			"--alloy-url", unreachable, "--timeout", brokenTime},
	}
	return lab
}
