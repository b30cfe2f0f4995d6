//go:build stack

package stacktest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"dicelab/internal/checklist"
	"dicelab/internal/lab/native"
	"dicelab/stack"
)

// verified is the decoded output of "dicelab verify --format json".
type verified struct {
	Mode    string
	Results []struct{ Name, Outcome, Why string }
	status  int
}

// verifyFlags lead to the lab.
func (r *running) verifyFlags() []string {
	return []string{"--frontend-url", r.url("frontend"), "--roller-url", r.url("roller"), "--prometheus-url", r.url(native.Prometheus),
		"--loki-url", r.url(native.Loki), "--tempo-url", r.url(native.Tempo), "--alloy-url", r.url(native.Alloy)}
}

// verify checks the lab.
func (r *running) verify(t *testing.T, more ...string) (v verified) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), *program, slices.Concat([]string{"verify", "--format", "json"}, r.verifyFlags(), more)...)
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

// failsIn checks that exactly these rows fail, and that the message of row contains says.
func (v verified) failsIn(t *testing.T, want []string, row, says string) {
	t.Helper()
	var failed []string
	for _, r := range v.Results {
		if r.Outcome == string(checklist.Fail) {
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

// quick returns flags of a lab whose rolls take no time, half of the risky ones
// failing.
func quick(t *testing.T, more ...string) []string {
	return append([]string{"--data", t.TempDir(), "--max-delay", "10ms", "--error-rate", "0.5"}, more...)
}

// onPage checks the lab as the explorer's page Checklist does.
func (r *running) onPage(t *testing.T) (v verified) {
	t.Helper()
	page, err := http.PostForm(r.url("explorer")+"/checklist", nil)
	if err == nil {
		err = page.Body.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	for running := true; running && t.Context().Err() == nil; time.Sleep(time.Second) {
		part, err := http.Get(r.url("explorer") + "/checklist?part=run")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(part.Body)
		if err = errors.Join(err, part.Body.Close()); err != nil {
			t.Fatal(err)
		}
		running = bytes.Contains(text, []byte("data-again"))
	}
	report, err := http.Get(r.url("explorer") + "/checklist/report.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(json.NewDecoder(report.Body).Decode(&v), report.Body.Close()); err != nil || report.StatusCode != http.StatusOK {
		t.Fatalf("the report answers %d, %v", report.StatusCode, err)
	}
	return v
}

// On the real servers all holds but what asks for Grafana, on the command line and
// on the explorer's page.
func TestVerifyHolds(t *testing.T) {
	t.Parallel()
	lab := start(t, free(t), quick(t)...)
	lab.open(t)
	lab.verify(t).holds(t)
	lab.onPage(t).holds(t)
	lab.stop(t)
}

func (v verified) holds(t *testing.T) {
	t.Helper()
	v.failsIn(t, nil, "", "")
	var idle []string
	for _, r := range v.Results {
		if r.Outcome == string(checklist.NotApplicable) {
			idle = append(idle, r.Name)
		}
	}
	if diff := gocmp.Diff([]string{"traffic-dependencies", "dashboard-in-grafana"}, idle); diff != "" || v.Mode != string(checklist.Native) || v.status != 0 {
		t.Errorf("mode %s, exit status %d, not applicable (-want +got):\n%s", v.Mode, v.status, diff)
	}
}

// mistake is one in a server's configuration.
type mistake struct{ name, file, from, to string }

var (
	withoutLabel = mistake{"Alloy makes no label of container_name", "alloy/config.alloy",
		`["container_name", "service_name", "job", "level"]`, `["service_name", "job", "level"]`}
	withoutMetadata = mistake{"Alloy makes no metadata of trace_id", "alloy/config.alloy",
		`values = {trace_id = "", span_id = ""}`, `values = {span_id = ""}`}
	wrongPath = mistake{"Prometheus asks for /metric", "prometheus/prometheus.yml",
		"- job_name: dice-roller\n", "- job_name: dice-roller\n    metrics_path: /metric\n"}
)

// write writes configurations with the mistake in them.
func (m mistake) write(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, stack.Configs); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, m.file)
	text, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(text, []byte(m.from)) {
		t.Fatalf("%s does not have %s (%v)", m.file, m.from, err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte(m.from), []byte(m.to), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A broken configuration of a server is caught: exactly the rows fail that should.
func TestVerifyCatchesConfigurations(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		mistake
		want      []string
		row, says string
	}{
		{withoutLabel, []string{"frontend-logs", "backend-logs", "log-labels"}, "backend-logs", `container_name="dice-roller-stage2"`},
		{withoutMetadata, []string{"frontend-span-logs", "frontend-logs-match", "backend-span-logs", "backend-logs-match", "logs-same-trace", "link-trace-to-logs", "link-log-to-trace"},
			"frontend-span-logs", "but does not find them by it: what ships them does not make it structured metadata"},
		{wrongPath, []string{"targets-up", "backend-metrics-stored", "exemplar-to-trace", "backend-panels-data"}, "targets-up", "dice-roller at "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := test.write(t)
			lab := start(t, free(t), quick(t, "--stack-config", dir)...)
			lab.open(t)
			lab.verify(t, "--timeout", "30s").failsIn(t, test.want, test.row, test.says)
			lab.stop(t)
		})
	}
}
