package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"dicelab/internal/contract"
	"dicelab/internal/query"
	"dicelab/internal/traffic"
)

// spansARoll are those of a simulated roll: two of the generator's, three of the
// front end's, two of the roller's.
const spansARoll = 7

// traffic runs the generator against the lab and returns its report and its log.
func (l *running) traffic(t *testing.T, args ...string) (traffic.Report, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "dicelab", append([]string{"traffic", "--report", "json", "--frontend-url",
		l.url(t, contract.ServiceFrontend), "--trace-url", l.url(t, "explorer") + "/traces/{trace_id}"}, args...)...)
	cmd.Env = append(os.Environ(), envBook+"="+string(l.book), "OTEL_EXPORTER_OTLP_ENDPOINT="+l.url(t, "otlp http"))
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	var r traffic.Report
	if err = errors.Join(err, json.Unmarshal(out.Bytes(), &r)); err != nil {
		t.Fatalf("%v; stdout:\n%s\nstderr:\n%s", err, &out, &log)
	}
	return r, log.String()
}

// Every roll of simulated users is found by the ID that is reported, across
// three services, and the link leads to it.
func TestUsersAreFollowed(t *testing.T) {
	l := startLab(t, t.TempDir(), nil, "--max-delay", "10ms", "--error-rate", "0.5")
	r, log := l.traffic(t, "--users", "3", "--max-rolls-per-user", "4", "--think", "0s..50ms", "--seed", "5")
	if len(r.Slowest) == 0 || len(r.Failures) == 0 {
		t.Fatalf("nothing to follow in %+v", r)
	}
	for _, roll := range append(r.Slowest, r.Failures...) {
		services := map[string]int{}
		for _, s := range l.trace(t, roll.TraceID, spansARoll).Spans {
			services[s.Service]++
		}
		want := map[string]int{contract.ServiceTraffic: 2, contract.ServiceFrontend: 3, contract.ServiceRoller: 2}
		if diff := gocmp.Diff(want, services); diff != "" {
			t.Errorf("spans of %+v (-want +got):\n%s", roll, diff)
		}
		if n := strings.Count(log, roll.TraceID); n != 1 {
			t.Errorf("%d log lines of the generator have the trace ID of %+v", n, roll)
		}
		if status, page := l.get(t, roll.Link); status != 200 || !strings.Contains(page, contract.SpanSimulated) {
			t.Errorf("%s answered %d: %s", roll.Link, status, page)
		}
	}
	l.stop(t)
}

// What the report counts, the services count, and the store has.
func TestLoadIsCounted(t *testing.T) {
	l := startLab(t, t.TempDir(), nil, "--max-delay", "0s", "--error-rate", "0.25")
	r, _ := l.traffic(t, "--rate", "100/s", "--duration", "2s", "--seed", "5", "--log", "none")
	got := []int{r.Rolls, r.Outcomes["200"] + r.Outcomes["502"], r.Failed, len(r.Dropped)}
	if diff := gocmp.Diff([]int{200, 200, r.Outcomes["502"], 0}, got); diff != "" || r.Failed == 0 {
		t.Errorf("rolls, answers, failed, dropped spans (-want +got):\n%s", diff)
	}
	for sample, want := range map[string]int{
		contract.MetricButtonClicks:                            200,
		contract.MetricBackendRequests:                         200,
		contract.MetricDiceRolls:                               200,
		contract.MetricDiceRolls + `{result="error"}`:          r.Failed,
		contract.MetricHTTPRequests + `{handler="/roll"}`:      400, // of either service
		contract.MetricBackendRequests + `{status_code="200"}`: r.Outcomes["200"],
	} {
		l.value(t, "sum("+sample+")", float64(want))
	}
	eventually(t, "searching the traces", func() error {
		now := time.Now()
		found, err := l.tempo(t).Search(t.Context(), query.Search{Limit: 500, Start: now.Add(-time.Hour), End: now.Add(time.Minute),
			TraceQL: fmt.Sprintf("{resource.service.name=%q}", contract.ServiceTraffic)})
		if err != nil {
			return err
		}
		spans := map[int]int{}
		for _, f := range found.Traces {
			spans[f.Spans()]++
		}
		if diff := gocmp.Diff(map[int]int{spansARoll: 200}, spans); diff != "" {
			return fmt.Errorf("traces by number of spans (-want +got):\n%s", diff)
		}
		return nil
	})
	l.stop(t)
}

// A lab with traffic fills itself, and loses nothing when it stops.
func TestLabWithTraffic(t *testing.T) {
	dir := t.TempDir()
	l := startLab(t, dir, []string{"NUM_USERS=not for this one"}, "--traffic", "--fault-switches", "--max-delay", "10ms", "--error-rate", "0")
	line := l.lines(t, fmt.Sprintf("{%s=%q} |= %q", contract.StreamContainer, contract.ContainerName(contract.ServiceTraffic),
		contract.MsgSimulatedRoll), 1)[0]
	if got := []string{line.Labels[contract.StreamService], line.Labels[contract.StreamJob], line.Labels[contract.StreamLevel]}; !slices.Equal(got,
		[]string{contract.ServiceTraffic, contract.ServiceTraffic, contract.LevelInfo}) {
		t.Errorf("labels %v", line.Labels)
	}
	trace := l.trace(t, line.TraceID(), spansARoll)
	if root := named(trace, contract.SpanSimulated); root.SpanID != line.SpanID() || root.ParentID != "" || root.Service != contract.ServiceTraffic {
		t.Errorf("root %+v of line %v", root, line)
	}
	l.stop(t)

	again := startLab(t, dir, nil)
	ends := again.lines(t, fmt.Sprintf("{%s=%q} |= %q", contract.StreamService, contract.ServiceTraffic, contract.MsgTrafficFinished), 1)
	var end map[string]any
	if err := json.Unmarshal([]byte(ends[0].Text), &end); err != nil {
		t.Fatal(err)
	}
	rolls := again.lines(t, fmt.Sprintf("{%s=%q} |= %q", contract.StreamService, contract.ServiceTraffic, contract.MsgSimulatedRoll), 1)
	if end[contract.FieldRolls] != float64(len(rolls)) || end[contract.FieldFailed] != 0.0 {
		t.Errorf("the generator's last words are %v; %d rolls are stored", end, len(rolls))
	}
	for _, roll := range rolls {
		again.trace(t, roll.TraceID(), spansARoll)
	}
	again.stop(t)
}

// After Ctrl-C, rolls under way are finished and the report is printed.
func TestTrafficIsInterrupted(t *testing.T) {
	l := startLab(t, t.TempDir(), nil, "--max-delay", "10ms")
	cmd := exec.Command("dicelab", "traffic", "--report", "json", "--frontend-url", l.url(t, contract.ServiceFrontend), "--users", "2",
		"--think", "0s..10ms", "--forever")
	out, log := &output{}, &output{}
	cmd.Env = append(os.Environ(), envBook+"="+string(l.book), "OTEL_EXPORTER_OTLP_ENDPOINT="+l.url(t, "otlp http"))
	cmd.Stdout, cmd.Stderr = out, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "rolling", func() error { return log.shows(contract.MsgSimulatedRoll) })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v; stderr:\n%s", err, log)
	}
	var r traffic.Report
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	outcomes := 0
	for _, outcome := range slices.Collect(maps.Keys(r.Outcomes)) {
		outcomes += r.Outcomes[outcome]
	}
	if r.Rolls == 0 || outcomes != r.Rolls {
		t.Errorf("%d rolls, %d outcomes", r.Rolls, outcomes)
	}
	l.value(t, "sum("+contract.MetricButtonClicks+")", float64(r.Rolls))
	l.stop(t)
}
