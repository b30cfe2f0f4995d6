//go:build stack

package stacktest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"dicelab/internal/lab/native"
	"dicelab/internal/verify"
	"dicelab/stack"
)

// verified is what came of "dicelab verify --json".
type verified struct {
	Mode    string
	Results []struct{ Name, Outcome, Why string }
	status  int
}

// verify checks the lab.
func (r *running) verify(t *testing.T, more ...string) (v verified) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), *program, append([]string{"verify", "--json", "--frontend-url", r.url("frontend"), "--roller-url", r.url("roller"),
		"--prometheus-url", r.url(native.Prometheus), "--loki-url", r.url(native.Loki), "--tempo-url", r.url(native.Tempo), "--alloy-url", r.url(native.Alloy)}, more...)...)
	cmd.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT="+r.url(native.OTLPHTTP))
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	since := time.Now()
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		v.status, err = exit.ExitCode(), nil
	}
	if err = errors.Join(err, json.Unmarshal(out.Bytes(), &v)); err != nil {
		t.Fatalf("%v; stdout:\n%s\nstderr:\n%s", err, &out, &log)
	}
	t.Logf("verified in %.1f s", time.Since(since).Seconds())
	return v
}

// failsIn holds that exactly these rows fail, and that one says so.
func (v verified) failsIn(t *testing.T, want []string, row, says string) {
	t.Helper()
	var failed []string
	for _, r := range v.Results {
		if r.Outcome == string(verify.Fail) {
			failed = append(failed, r.Name)
			t.Logf("%s: %s", r.Name, r.Why)
		}
		if r.Name == row && !strings.Contains(r.Why, says) {
			t.Errorf("%s says %q, not %q", row, r.Why, says)
		}
	}
	if diff := gocmp.Diff(want, failed); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
}

// quick are flags of a lab whose rolls take no time, half of the risky ones
// failing.
func quick(t *testing.T, more ...string) []string {
	return append([]string{"--data", t.TempDir(), "--max-delay", "10ms", "--error-rate", "0.5"}, more...)
}

// On the real servers all holds but what asks for Grafana.
func TestVerifyHolds(t *testing.T) {
	lab := start(t, free(t), quick(t)...)
	lab.open(t)
	v := lab.verify(t)
	v.failsIn(t, nil, "", "")
	var idle []string
	for _, r := range v.Results {
		if r.Outcome == string(verify.NotApplicable) {
			idle = append(idle, r.Name)
		}
	}
	if diff := gocmp.Diff([]string{"traffic-dependencies", "dashboard-in-grafana"}, idle); diff != "" || v.Mode != string(verify.Native) || v.status != 0 {
		t.Errorf("mode %s, exit status %d, not applicable (-want +got):\n%s", v.Mode, v.status, diff)
	}
	lab.stop(t)
}

// A broken configuration of a server is caught: exactly the rows fail that should.
func TestVerifyCatchesConfigurations(t *testing.T) {
	for _, test := range []struct {
		name, file, from, to string
		want                 []string
		row, says            string
	}{
		{"Alloy drops a label", "alloy/config.alloy", `["container_name", "service_name", "job", "level"]`, `["service_name", "job", "level"]`,
			[]string{"frontend-logs", "backend-logs", "log-labels"}, "backend-logs", `container_name="dice-roller-stage2"`},
		{"Alloy drops the trace ID", "alloy/config.alloy", `values = {trace_id = "", span_id = ""}`, `values = {span_id = ""}`,
			[]string{"frontend-span-logs", "frontend-logs-match", "backend-span-logs", "backend-logs-match", "logs-same-trace", "link-trace-to-logs", "link-log-to-trace"},
			"frontend-span-logs", "but does not find them by it: what ships them does not make it structured metadata"},
		{"a target down", "prometheus/prometheus.yml", "- job_name: dice-roller\n", "- job_name: dice-roller\n    metrics_path: /metric\n",
			[]string{"targets-up", "backend-metrics-stored", "exemplar-to-trace", "backend-panels-data"}, "targets-up", "dice-roller at "},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, stack.Configs); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, test.file)
			text, err := os.ReadFile(path)
			if err != nil || !bytes.Contains(text, []byte(test.from)) {
				t.Fatalf("%s does not have %s (%v)", test.file, test.from, err)
			}
			if err := os.WriteFile(path, bytes.Replace(text, []byte(test.from), []byte(test.to), 1), 0o600); err != nil {
				t.Fatal(err)
			}
			lab := start(t, free(t), quick(t, "--stack-config", dir)...)
			lab.open(t)
			lab.verify(t, "--timeout", "30s").failsIn(t, test.want, test.row, test.says)
			lab.stop(t)
		})
	}
}
