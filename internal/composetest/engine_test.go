//go:build compose

package composetest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dicelab/internal/porttest"
)

// try runs a command in the repository and returns what it prints to standard
// output. An error says what it printed to the other.
func try(ctx context.Context, in io.Reader, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin = root, append(os.Environ(), env...), in
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), errors.Join(err, errors.New(tail(stderr.String(), 60)))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// tail returns the last lines of a text.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := try(t.Context(), nil, nil, append([]string{"docker"}, args...)...)
	if err != nil {
		t.Fatalf("docker %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// testProject is the Compose project of the test: its volumes are not those of a
// lab in use.
const testProject = "dicelab-test"

// project is the lab in containers.
type project struct {
	env     []string          // published ports, and what the image is built with
	at      map[string]string // URLs, by the published port's name
	missing []string          // services that cannot be run
}

// newProject chooses free ports.
func newProject(t *testing.T, env ...string) *project {
	t.Helper()
	p := &project{env: env, at: map[string]string{}}
	places := []string{"PROMETHEUS", "TEMPO", "LOKI", "ALLOY", "OTLP_GRPC", "OTLP_HTTP", "FRONTEND", "ROLLER", "EXPLORER", "GRAFANA"}
	for i, addr := range porttest.Addresses(t, len(places)) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		p.at[places[i]] = "http://" + addr
		p.env = append(p.env, "DICELAB_"+places[i]+"_PORT="+port)
	}
	return p
}

// the files of a lab, for Compose.
func whole() []string         { return []string{"compose.yaml"} }
func stackAlone() []string    { return []string{filepath.Join("deploy", "compose", "stack.yaml")} }
func servicesAlone() []string { return []string{filepath.Join("deploy", "compose", "services.yaml")} }

// try runs Compose over files of the lab.
func (p *project) try(ctx context.Context, files []string, args ...string) (string, error) {
	command := append(strings.Fields(*compose), "--project-name", testProject, "--progress", "plain")
	for _, f := range files {
		command = append(command, "--file", f)
	}
	return try(ctx, nil, p.env, append(command, args...)...)
}

func (p *project) run(t *testing.T, files []string, args ...string) string {
	t.Helper()
	since := time.Now()
	out, err := p.try(t.Context(), files, args...)
	if err != nil {
		t.Fatalf("docker compose %s: %v", strings.Join(args, " "), err)
	}
	t.Logf("%-60s %6.1f s", "docker compose "+args[0]+" over "+files[0], time.Since(since).Seconds())
	return out
}

// container finds the container of a Compose service.
func (p *project) container(t *testing.T, service string) string {
	t.Helper()
	return docker(t, "ps", "--all", "--quiet", "--no-trunc",
		"--filter", "label=com.docker.compose.project="+testProject, "--filter", "label=com.docker.compose.service="+service,
		"--filter", "label=com.docker.compose.oneoff=False") // what Compose has started
}
