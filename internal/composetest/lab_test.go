//go:build compose

package composetest_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/google/go-cmp/cmp"

	"dicelab/internal/checklist"
	"dicelab/internal/contract"
	"dicelab/stack"
)

var (
	compose = flag.String("compose", "docker compose", "the command of Docker Compose")
	dir     = flag.String("servers", "", "the directory of the servers' programs, before PATH, for images that cannot be pulled")
)

// patience bounds every wait of a test; it measures nothing.
const patience = 2 * time.Minute

// mostBytes is the largest allowed size of the compressed image.
const mostBytes = 60e6

// TestLab runs the lab in containers and the checklist over it, kills each of
// them, takes the lab down, and brings it up again file by file.
func TestLab(t *testing.T) {
	nobodyElse(t)
	env, missing := images(t)
	p := newProject(t, env...)
	p.missing = missing
	t.Cleanup(func() { p.remove(t) })

	p.run(t, whole(), "build", probe) // the image of all
	t.Run("image", image)
	t.Run("the same image again", func(t *testing.T) { again(t, p) })
	if t.Failed() {
		return
	}
	p.up(t, whole())
	t.Run("containers", func(t *testing.T) { containers(t, p) })

	// Before the checklist, for rates: a series of Tempo's that begins with all the
	// rolls in it has no rate yet.
	first := p.roll(t)
	t.Run("a roll arrives", func(t *testing.T) { p.arrives(t, first) })
	t.Run("checklist", func(t *testing.T) { verifies(t, p) })
	t.Run("troubleshooting", func(t *testing.T) { troubleshooting(t, p) })

	p.env = append(p.env, "COMPOSE_PROFILES=traffic")
	p.up(t, whole())
	t.Run("discovery", func(t *testing.T) { discovered(t, p) })
	t.Run("memory", func(t *testing.T) {
		t.Log("\n" + docker(t, "stats", "--no-stream", "--format", "{{.Name}}\t{{.MemUsage}}"))
	})
	for _, service := range p.services(t, whole()) {
		if service == probe {
			continue
		}
		t.Run("killed/"+service, func(t *testing.T) { comesBack(t, p, service) })
	}
	if t.Failed() {
		return
	}

	p.run(t, whole(), "down")
	p.up(t, stackAlone())
	p.up(t, servicesAlone())
	t.Run("yesterday's data is found again", func(t *testing.T) { p.arrives(t, first) })
	t.Run("a roll arrives in the lab that was put together", func(t *testing.T) { p.arrives(t, p.roll(t)) })
}

// nobodyElse fails if a lab runs in containers already: there is one network
// and one container of a name.
func nobodyElse(t *testing.T) {
	t.Helper()
	if names := docker(t, "ps", "--all", "--filter", "name=-stage2$", "--format", "{{.Names}}"); names != "" {
		t.Fatalf("a lab runs in containers: %s; make compose-down takes it down", strings.ReplaceAll(names, "\n", ", "))
	}
}

// remove takes the lab down and deletes what it has stored. If the test has failed, it prints the
// containers' output first.
func (p *project) remove(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if t.Failed() {
		out, err := p.try(ctx, whole(), "ps", "--all")
		t.Logf("%s %v", out, err)
		out, err = p.try(ctx, whole(), "logs", "--no-color", "--tail", "30")
		t.Logf("%s %v", out, err)
	}
	if _, err := p.try(ctx, whole(), "down", "--volumes", "--remove-orphans"); err != nil {
		t.Errorf("taking the lab down: %v", err)
	}
}

// up starts the services of files, and waits until they are healthy.
func (p *project) up(t *testing.T, files []string) {
	t.Helper()
	p.run(t, files, append([]string{"up", "--detach", "--wait"}, p.services(t, files)...)...)
}

// services lists the Compose services of files that can be run.
func (p *project) services(t *testing.T, files []string) []string {
	t.Helper()
	out, err := p.try(t.Context(), files, "config", "--services")
	if err != nil {
		t.Fatal(err)
	}
	names := slices.DeleteFunc(strings.Fields(out), func(name string) bool { return slices.Contains(p.missing, name) })
	slices.Sort(names)
	return names
}

// golang returns the image that the Dockerfile builds with.
func golang(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^ARG BUILDER=(\S+)$`).FindSubmatch(text)
	if m == nil {
		t.Fatal("the Dockerfile names no BUILDER")
	}
	return string(m[1])
}

// image checks the image: not run by root, small, and with a program that runs.
func image(t *testing.T) {
	if user := docker(t, "image", "inspect", "--format", "{{.Config.User}}", "dicelab"); user != "65532:65532" {
		t.Errorf("user %q", user)
	}
	t.Log(docker(t, "run", "--rm", "--read-only", "--cap-drop", "ALL", "--network", "none", "dicelab", "version"))
	const licences = "/usr/share/licenses/dicelab/"
	for file, want := range map[string]string{"LICENSE": "Apache License", "THIRD-PARTY": "github.com/prometheus/prometheus v"} {
		if text := fileOf(t, "dicelab", licences+file); !strings.Contains(text, want) {
			t.Errorf("%s does not have %q: %.200s", licences+file, want, text)
		}
	}
	save := exec.CommandContext(t.Context(), "docker", "save", "dicelab")
	tar, err := save.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := save.Start(); err != nil {
		t.Fatal(err)
	}
	var packed counter
	zip := gzip.NewWriter(&packed)
	_, err = io.Copy(zip, tar)
	if err := errors.Join(err, zip.Close(), save.Wait()); err != nil {
		t.Fatal(err)
	}
	t.Logf("compressed %s", humanize.Bytes(uint64(packed)))
	if packed > mostBytes {
		t.Errorf("the image has %s compressed, more than %s", humanize.Bytes(uint64(packed)), humanize.Bytes(mostBytes))
	}
}

// fileOf reads a file of an image, which need not have a program that could.
func fileOf(t *testing.T, image, path string) string {
	t.Helper()
	container := docker(t, "create", image)
	defer docker(t, "rm", container)
	text, err := try(t.Context(), nil, nil, "docker", "cp", container+":"+path, "-")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// again builds the image anew and checks that its files are the same bit for bit. The compiler and
// the module cache of the first build are kept. The second build has no proxy, which makes it a
// build of its own, so it can fetch nothing.
func again(t *testing.T, p *project) {
	const layers = "{{json .RootFS.Layers}}"
	first := docker(t, "image", "inspect", "--format", layers, "dicelab")
	other := *p
	other.env = append(slices.Clip(p.env), "GOPROXY=off")
	other.run(t, whole(), "build", probe)
	if second := docker(t, "image", "inspect", "--format", layers, "dicelab"); second != first {
		t.Errorf("layers of the first build %s, of the second %s", first, second)
	}
}

// verifies runs "dicelab verify" from the image. Without Grafana, the check that needs it is
// reported as not applicable.
func verifies(t *testing.T, p *project) {
	grafana, idle := p.at["GRAFANA"], []string{"traffic-dependencies"}
	if slices.Contains(p.missing, stack.Grafana) {
		grafana, idle = "", append(idle, "dashboard-in-grafana")
	}
	out, err := try(t.Context(), nil, nil, "docker", "run", "--rm", "--network", "host", "--env", "OTEL_EXPORTER_OTLP_ENDPOINT="+p.at["OTLP_HTTP"],
		"dicelab", "verify", "--format", "json", "--mode", string(checklist.Compose), "--timeout", "1m",
		"--frontend-url", p.at["FRONTEND"], "--roller-url", p.at["ROLLER"], "--prometheus-url", p.at["PROMETHEUS"],
		"--loki-url", p.at["LOKI"], "--tempo-url", p.at["TEMPO"], "--alloy-url", p.at["ALLOY"], "--grafana-url", grafana)
	var report struct {
		Passed        int
		Failed        int
		NotApplicable int     `json:"not_applicable"`
		Took          float64 `json:"took_seconds"`
		Results       []struct {
			Name, Evidence, Why string
			Outcome             checklist.Outcome
		}
	}
	if bad := json.Unmarshal([]byte(out), &report); bad != nil {
		t.Fatalf("reading the report: %v; %v\n%s", bad, err, out)
	}
	found := map[checklist.Outcome][]string{}
	for _, r := range report.Results {
		t.Logf("%-15s %-28s %s%s", r.Outcome, r.Name, r.Evidence, r.Why)
		found[r.Outcome] = append(found[r.Outcome], r.Name)
	}
	if diff := cmp.Diff(idle, found[checklist.NotApplicable]); diff != "" || len(found[checklist.Fail]) > 0 || err != nil {
		t.Errorf("failed checks: %v; %v; not applicable (-want +got):\n%s", found[checklist.Fail], err, diff)
	}
	t.Logf("%d hold, %d fail, %d not applicable; %.1f s", report.Passed, report.Failed, report.NotApplicable, report.Took)
}

// counter counts what is written to it.
type counter uint64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// containers checks that everybody is healthy.
func containers(t *testing.T, p *project) {
	want, got := map[string]string{}, map[string]string{}
	for _, service := range p.services(t, whole()) {
		want[service] = "running healthy"
		got[service] = docker(t, "inspect", "--format", `{{.State.Status}}{{if .State.Health}} {{.State.Health.Status}}{{else}} {{.State.ExitCode}}{{end}}`, p.container(t, service))
	}
	want[probe] = "exited 0"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// discovered checks that Alloy reads the services' log lines, and labels them.
func discovered(t *testing.T, p *project) {
	r := p.readers(t)
	services := append(contract.Services(), contract.ServiceTraffic)
	var names []string
	for _, s := range services {
		names = append(names, contract.ContainerName(s))
	}
	slices.Sort(services)
	slices.Sort(names)
	until(t, "Alloy reads the output of the three services", time.Now(), func(ctx context.Context) (string, error) {
		text, err := get(ctx, p.at["ALLOY"]+"/api/v0/web/components/discovery.relabel.services")
		var got []string
		for _, m := range regexp.MustCompile(`"key":"container_name","value":{"type":"string","value":"([^"]+)"`).FindAllStringSubmatch(text, -1) {
			got = append(got, m[1])
		}
		slices.Sort(got) // a service has a target for each of its files
		return cmp.Diff(names, slices.Compact(got)), err
	})
	want := map[string][]string{contract.StreamContainer: names, contract.StreamService: services, contract.StreamJob: services}
	until(t, "the labels of the stored lines", time.Now(), func(ctx context.Context) (string, error) {
		labels, err := r.loki.Labels(ctx, time.Now().Add(-time.Hour), time.Now())
		if err != nil {
			return "", err
		}
		got := map[string][]string{}
		for _, l := range labels {
			if l == contract.StreamLevel {
				continue
			}
			if got[l], err = r.loki.LabelValues(ctx, l, time.Now().Add(-time.Hour), time.Now()); err != nil {
				return "", err
			}
		}
		return cmp.Diff(want, got), nil
	})
}

// comesBack kills a container's process, as a crash would, and waits until the
// container is healthy again and a roll leaves behind what it should. (What
// "docker kill" kills Docker takes for stopped, and does not start again.)
func comesBack(t *testing.T, p *project, service string) {
	id := p.container(t, service)
	state := strings.Fields(docker(t, "inspect", "--format", "{{.State.Pid}} {{.RestartCount}}", id))
	pid, err1 := strconv.Atoi(state[0])
	before, err2 := strconv.Atoi(state[1])
	if err := errors.Join(err1, err2); err != nil || pid == 0 {
		t.Fatalf("%s: %v, %v", service, state, err)
	}
	since := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("killing a process of Docker's: %v (only root may)", err)
	}
	until(t, service+" is back", since, func(ctx context.Context) (string, error) {
		out, err := try(ctx, nil, nil, "docker", "inspect", "--format", "{{.RestartCount}} {{.State.Health.Status}}", id)
		if err != nil {
			return "", err
		}
		if want := fmt.Sprintf("%d healthy", before+1); out != want {
			return fmt.Sprintf("restarts and health: %s, want %s", out, want), nil
		}
		return "", nil
	})
	p.arrives(t, p.roll(t))
}
