package composetest_test

import (
	"encoding/json"
	"fmt"
	"go/version"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"
	"github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/stack"
)

// Names of Compose services that are no service of the contract and no server of
// the stack.
const (
	probe    = "probe"    // brings the program that checks health
	explorer = "explorer" // shows what the stack has
)

// Ports inside the containers, as the original demonstration had them.
const (
	frontendPort = "8501"
	rollerPort   = "8000"
	trafficPort  = "8103"
)

// Run together or each alone, the files make one project on one network.
func TestOneProject(t *testing.T) {
	files := both(t)
	whole := read(t, filepath.Join(root, "compose.yaml"))
	want := []include{{Path: []string{"deploy/compose/stack.yaml", "deploy/compose/services.yaml", "deploy/compose/order.yaml"}}}
	if diff := cmp.Diff(want, whole.Include); diff != "" {
		t.Errorf("included (-want +got):\n%s", diff)
	}
	if len(whole.Services) > 0 {
		t.Error("compose.yaml has services of its own: a file that is run alone would lack them")
	}
	for name, f := range files {
		if f.Name != whole.Name {
			t.Errorf("%s.yaml is of project %q, want %q", name, f.Name, whole.Name)
		}
		if diff := cmp.Diff(map[string]network{"monitoring": {Name: "monitoring"}}, f.Networks); diff != "" {
			t.Errorf("networks of %s.yaml (-want +got):\n%s", name, diff)
		}
	}
	image := files["stack"].Services[probe].Build
	for name, s := range files["services"].Services {
		if diff := cmp.Diff(image, s.Build); diff != "" {
			t.Errorf("%s builds another image than %s (-want +got):\n%s", name, probe, diff)
		}
	}
}

// The services and their names are the contract's.
func TestNames(t *testing.T) {
	files := both(t)
	want := append([]string{probe}, serverNames()...)
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(maps.Keys(files["stack"].Services))); diff != "" {
		t.Errorf("services of stack.yaml (-want +got):\n%s", diff)
	}
	names := map[string]string{
		contract.ServiceFrontend: contract.ContainerName(contract.ServiceFrontend),
		contract.ServiceRoller:   contract.ContainerName(contract.ServiceRoller),
		contract.ServiceTraffic:  contract.ContainerName(contract.ServiceTraffic),
		explorer:                 "",
	}
	got := map[string]string{}
	for name, s := range files["services"].Services {
		got[name] = s.ContainerName
		if logs := slices.Contains(s.Command, "--log-dir"); logs != (s.ContainerName != "") {
			t.Errorf("%s: that Alloy reads its log lines is %v", name, logs)
		}
		if traffic := slices.Contains(s.Profiles, "traffic"); traffic != (name == contract.ServiceTraffic) {
			t.Errorf("%s: that it is of the profile traffic is %v", name, traffic)
		}
	}
	if diff := cmp.Diff(names, got); diff != "" {
		t.Errorf("names of the containers of services.yaml (-want +got):\n%s", diff)
	}
}

func serverNames() (names []string) {
	for _, c := range stack.Images() {
		names = append(names, c.Name)
	}
	return names
}

// digestOf returns the variable part of an image: the digest of the table, which the
// environment can replace, as where a registry of one's own has another.
func digestOf(c stack.Component) string {
	return "${" + digestVariable(c) + "-" + digest(c) + "}"
}

func digestVariable(c stack.Component) string {
	return "DICELAB_" + strings.ToUpper(strings.ReplaceAll(c.Name, "-", "_")) + "_DIGEST"
}

// digest returns the end of a pinned image's name.
func digest(c stack.Component) string {
	if c.Digest == "" {
		return ""
	}
	return "@" + c.Digest
}

// The servers are those of the table stack.Components, in its versions and with its readiness URLs.
func TestServers(t *testing.T) {
	services := read(t, stackFile()).Services
	for _, c := range stack.Images() {
		t.Run(c.Name, func(t *testing.T) {
			s := services[c.Name]
			if want := c.Image + ":" + c.Tag + digestOf(c); s.Image != want {
				t.Errorf("image %s, want %s", s.Image, want)
			}
			if diff := cmp.Diff(checked("/probe/dicelab", c.ReadyURL()), s.Healthcheck.Test); diff != "" {
				t.Errorf("health check (-want +got):\n%s", diff)
			}
			mounted := map[string]bool{}
			for _, m := range s.Volumes {
				mounted[filepath.Join("deploy", "compose", m.Source)] = true
			}
			entries, err := stack.Configs.ReadDir(c.Name)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if path := filepath.Join("stack", c.Name, e.Name()); !mounted[path] {
					t.Errorf("%s is not mounted", path)
				}
			}
		})
	}
}

// checked returns the test of a container's health.
func checked(program, url string) []string { return []string{"CMD", program, "health", url} }

func TestServicesHealth(t *testing.T) {
	for name, url := range map[string]string{
		contract.ServiceFrontend: "http://127.0.0.1:" + frontendPort + "/readyz",
		contract.ServiceRoller:   "http://127.0.0.1:" + rollerPort + "/readyz",
		contract.ServiceTraffic:  "http://127.0.0.1:" + trafficPort + "/readyz",
		explorer:                 "http://127.0.0.1:" + contract.PortExplorer + "/assets/theme.css",
	} {
		got := read(t, servicesFile()).Services[name].Healthcheck.Test
		if diff := cmp.Diff(checked("/usr/local/bin/dicelab", url), got); diff != "" {
			t.Errorf("health check of %s (-want +got):\n%s", name, diff)
		}
	}
}

// The ports are published on loopback, under the numbers that they have in every
// mode, and nothing else is.
func TestPublishedPorts(t *testing.T) {
	publish := func(variable, number, inside string) string {
		return fmt.Sprintf("127.0.0.1:${DICELAB_%s_PORT:-%s}:%s", variable, number, inside)
	}
	want := map[string][]string{
		stack.Prometheus:         {publish("PROMETHEUS", contract.PortPrometheus, contract.PortPrometheus)},
		stack.Tempo:              {publish("TEMPO", contract.PortTempo, contract.PortTempo)},
		stack.Loki:               {publish("LOKI", contract.PortLoki, contract.PortLoki)},
		stack.Alloy:              {publish("ALLOY", stack.PortAlloy, stack.PortAlloy)},
		stack.Grafana:            {publish("GRAFANA", stack.PortGrafana, stack.PortGrafana)},
		stack.Collector:          {publish("OTLP_GRPC", contract.PortOTLPGRPC, contract.PortOTLPGRPC), publish("OTLP_HTTP", contract.PortOTLPHTTP, contract.PortOTLPHTTP)},
		contract.ServiceFrontend: {publish("FRONTEND", contract.PortFrontend, frontendPort)},
		contract.ServiceRoller:   {publish("ROLLER", contract.PortRoller, rollerPort)},
		explorer:                 {publish("EXPLORER", contract.PortExplorer, contract.PortExplorer)},
	}
	got := map[string][]string{}
	for _, f := range both(t) {
		for name, s := range f.Services {
			if s.Ports != nil {
				got[name] = s.Ports
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("published ports (-want +got):\n%s", diff)
	}
}

// Every container is locked up and comes back.
func TestEveryContainer(t *testing.T) {
	for name, f := range both(t) {
		for service, s := range f.Services {
			t.Run(name+"/"+service, func(t *testing.T) {
				type facts struct {
					ReadOnly             bool
					CapDrop, SecurityOpt []string
					Networks             []string
					Restart, LogDriver   string
					Checked, Bounded     bool
				}
				want := facts{
					ReadOnly: true, CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges:true"},
					Networks: []string{"monitoring"}, Restart: "unless-stopped", LogDriver: "json-file", Checked: true, Bounded: true,
				}
				if service == probe { // it ends at once and needs no network
					want.Networks, want.Restart, want.Checked = nil, "no", false
				}
				got := facts{
					ReadOnly: s.ReadOnly, CapDrop: s.CapDrop, SecurityOpt: s.SecurityOpt, Networks: s.Networks, Restart: s.Restart,
					LogDriver: s.Logging.Driver, Checked: s.Healthcheck != nil, Bounded: s.Logging.Options["max-size"] != "" && s.Logging.Options["max-file"] != "",
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				// The Go runtime keeps away from the limit: what it would take is collected
				// before the kernel ends the container.
				limit, err := humanize.ParseBytes(strings.Replace(s.MemLimit, "m", "MiB", 1))
				if err != nil || limit == 0 {
					t.Fatalf("memory limit %q: %v", s.MemLimit, err)
				}
				if service == probe {
					return
				}
				soft, err := humanize.ParseBytes(s.Environment["GOMEMLIMIT"])
				if err != nil || soft < limit/2 || soft > limit*9/10 {
					t.Errorf("GOMEMLIMIT %q with a memory limit of %s (%v): want half to nine tenths of it", s.Environment["GOMEMLIMIT"], s.MemLimit, err)
				}
			})
		}
	}
}

// What is mounted is there, and what is not a volume is not written to.
func TestMounts(t *testing.T) {
	for name, f := range both(t) {
		for service, s := range f.Services {
			for _, m := range s.Volumes {
				_, named := f.Volumes[m.Source]
				switch {
				case m.Type == "volume" && !named:
					t.Errorf("%s: volume %s is not declared in %s.yaml", service, m.Source, name)
				case m.Type == "bind" && !m.ReadOnly:
					t.Errorf("%s may write to %s", service, m.Source)
				case m.Type == "bind" && !strings.HasPrefix(m.Source, "$"):
					if _, err := os.Stat(filepath.Join(root, "deploy", "compose", m.Source)); err != nil {
						t.Errorf("%s: %v", service, err)
					}
				}
			}
		}
	}
}

// The services write their log lines where Alloy reads them, and nothing else of
// the machine is open to Alloy.
func TestLogs(t *testing.T) {
	const logs = "/var/log/dicelab"
	alloy := read(t, stackFile()).Services[stack.Alloy]
	want := map[string]bool{"probe": true, "alloy-storage": false, "logs": true}
	for _, m := range alloy.Volumes {
		if m.Type == "bind" {
			if !strings.HasPrefix(m.Source, "../../stack/alloy/") {
				t.Errorf("Alloy sees %s of the machine", m.Source)
			}
			continue
		}
		if readOnly, known := want[m.Source]; !known || readOnly != m.ReadOnly {
			t.Errorf("volume %s of Alloy is read-only: %v", m.Source, m.ReadOnly)
		}
		if m.Source == "logs" && m.Target != alloy.Environment["DICELAB_LOGS"] {
			t.Errorf("the log lines are at %s, Alloy reads %s", m.Target, alloy.Environment["DICELAB_LOGS"])
		}
	}
	for name, s := range read(t, servicesFile()).Services {
		if i := slices.Index(s.Command, "--log-dir"); i >= 0 && s.Command[i+1] != logs {
			t.Errorf("%s writes its log lines to %s", name, s.Command[i+1])
		}
		for _, m := range s.Volumes {
			if m.Source != "logs" || m.Target != logs || m.ReadOnly {
				t.Errorf("%s mounts %+v", name, m)
			}
		}
	}
}

// Where the lab runs as a whole, a service waits until what takes its telemetry,
// and what it asks, is healthy.
func TestOrder(t *testing.T) {
	whole := map[string]service{}
	for _, f := range both(t) {
		maps.Copy(whole, f.Services)
	}
	order := read(t, orderFile())
	for name, s := range order.Services {
		if diff := cmp.Diff(service{DependsOn: s.DependsOn}, s); diff != "" {
			t.Errorf("order.yaml says more of %s than what it waits for (-want +got):\n%s", name, diff)
		}
	}
	for name, want := range map[string][]string{
		contract.ServiceRoller:   {stack.Alloy, stack.Collector},
		contract.ServiceFrontend: {stack.Alloy, contract.ServiceRoller, stack.Collector},
		contract.ServiceTraffic:  {stack.Alloy, stack.Collector, contract.ServiceFrontend},
		explorer:                 {stack.Loki, stack.Prometheus, stack.Tempo},
		stack.Grafana:            {stack.Loki, stack.Prometheus, stack.Tempo},
	} {
		var got []string
		for _, waits := range []map[string]dependency{whole[name].DependsOn, order.Services[name].DependsOn} {
			for on, d := range waits {
				if d.Condition == "service_healthy" && whole[on].Healthcheck != nil {
					got = append(got, on)
				}
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s waits for the health of (-want +got):\n%s", name, diff)
		}
	}
}

// Prometheus scrapes the services where they listen.
func TestTargets(t *testing.T) {
	for service, port := range map[string]string{contract.ServiceFrontend: frontendPort, contract.ServiceRoller: rollerPort} {
		text, err := os.ReadFile(filepath.Join(root, "deploy", "compose", "prometheus", "targets", service+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var got []map[string][]string
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		want := []map[string][]string{{"targets": {service + ":" + port}}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("targets of %s (-want +got):\n%s", service, diff)
		}
	}
}

// Through a published port a service answers to its names on the network, by which
// the others address it, and to no other name.
func TestAllowedHosts(t *testing.T) {
	services := read(t, servicesFile()).Services
	allowed := map[string]string{}
	for name, s := range services {
		want := []string{name}
		if s.ContainerName != "" {
			want = append(want, s.ContainerName)
		}
		var got []string
		for i, word := range s.Command {
			if word == "--allow-host" {
				got = append(got, s.Command[i+1])
				allowed[s.Command[i+1]] = name
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s answers to (-want +got):\n%s", name, diff)
		}
	}
	for name, s := range services {
		for _, word := range s.Command {
			u, err := url.Parse(word)
			if err != nil || u.Host == "" {
				continue
			}
			if _, ours := services[u.Hostname()]; ours && allowed[u.Hostname()] == "" {
				t.Errorf("%s addresses %s, which does not answer to that name", name, word)
			}
		}
	}
}

// The explorer's checklist looks at the parts of the lab where they are inside
// the network, and its pages lead browsers to what is published.
func TestExplorerReachesAll(t *testing.T) {
	s := read(t, servicesFile()).Services[explorer]
	want := words{
		"explore", "--addr", "0.0.0.0:" + contract.PortExplorer, "--allow-host", explorer, "--roll-link", "http://localhost:${DICELAB_FRONTEND_PORT:-" + contract.PortFrontend + "}",
		"--prometheus-url", "http://prometheus:" + contract.PortPrometheus, "--loki-url", "http://loki:" + contract.PortLoki, "--tempo-url", "http://tempo:" + contract.PortTempo,
		"--frontend-url", "http://" + contract.ServiceFrontend + ":" + frontendPort, "--roller-url", "http://" + contract.ServiceRoller + ":" + rollerPort,
		"--alloy-url", "http://alloy:" + stack.PortAlloy, "--grafana-url", "http://grafana:3000", "--mode", "compose", "${DICELAB_EXPLORER_FLAGS:-}",
	}
	if diff := cmp.Diff(want, s.Command); diff != "" {
		t.Errorf("command of the explorer (-want +got):\n%s", diff)
	}
	if to, services := s.Environment["OTEL_EXPORTER_OTLP_ENDPOINT"], read(t, servicesFile()).Services[contract.ServiceTraffic].Environment["OTEL_EXPORTER_OTLP_ENDPOINT"]; to == "" || to != services {
		t.Errorf("the traffic generator of the checklist sends its spans to %q, that of the lab to %q", to, services)
	}
}

// The image is built with a Go that the module accepts.
func TestBuilder(t *testing.T) {
	dockerfile, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	builder := regexp.MustCompile(`(?m)^ARG BUILDER=golang:([0-9.]+)$`).FindSubmatch(dockerfile)
	required := regexp.MustCompile(`(?m)^go ([0-9.]+)$`).FindSubmatch(mod)
	if builder == nil || required == nil {
		t.Fatalf("the Dockerfile names the builder %q, go.mod the Go version %q", builder, required)
	}
	if version.Compare("go"+string(builder[1]), "go"+string(required[1])) < 0 {
		t.Errorf("the builder is of Go %s; go.mod wants %s", builder[1], required[1])
	}
}
