package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	gocmpopts "github.com/google/go-cmp/cmp/cmpopts"

	"dicelab/internal/checklist"
	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/stack"
)

// verified is the decoded output of "dicelab verify --format json".
type verified struct {
	report struct {
		Mode    string
		Results []result
	}
	status int
}

type result struct {
	Name, Outcome, Why, Evidence string
	BlockedBy                    string `json:"blocked_by"`
}

// failures returns the names of the rows that failed, in the order of the table.
func (v verified) failures() (names []string) {
	for _, r := range v.report.Results {
		if r.Outcome == string(checklist.Fail) {
			names = append(names, r.Name)
		}
	}
	return names
}

// causes returns the failures that do not follow from another's.
func (v verified) causes() (names []string) {
	for _, r := range v.report.Results {
		if r.Outcome == string(checklist.Fail) && r.BlockedBy == "" {
			names = append(names, r.Name)
		}
	}
	return names
}

func (v verified) row(t *testing.T, name string) result {
	t.Helper()
	i := slices.IndexFunc(v.report.Results, func(r result) bool { return r.Name == name })
	if i < 0 {
		t.Fatalf("there is no row %s", name)
	}
	return v.report.Results[i]
}

// verifyArgs returns the flags that lead to the lab.
func (l *running) verifyArgs(t *testing.T, more ...string) []string {
	return append([]string{"verify", "--frontend-url", l.url(t, contract.ServiceFrontend), "--roller-url", l.url(t, contract.ServiceRoller),
		"--prometheus-url", l.url(t, "prometheus"), "--loki-url", l.url(t, "loki"), "--tempo-url", l.url(t, "tempo")}, more...)
}

// verify checks the lab.
func (l *running) verify(t *testing.T, more ...string) verified {
	t.Helper()
	text, status := l.verifyJSON(t, more...)
	v := verified{status: status}
	if err := json.Unmarshal(text, &v.report); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return v
}

// verifyJSON returns the output of "dicelab verify --format json" and its exit status.
func (l *running) verifyJSON(t *testing.T, more ...string) (text []byte, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "dicelab", l.verifyArgs(t, append([]string{"--format", "json"}, more...)...)...)
	cmd.Env = append(os.Environ(), envBook+"="+string(l.book), "OTEL_EXPORTER_OTLP_ENDPOINT="+l.url(t, "otlp http"))
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status, err = exit.ExitCode(), nil
	}
	if err != nil {
		t.Fatalf("%v; stdout:\n%s\nstderr:\n%s", err, &out, &log)
	}
	if log.Len() > 0 {
		t.Errorf("stderr: %s", &log)
	}
	return out.Bytes(), status
}

// failsIn checks that exactly the rows of want fail, in any order, and that the message of row
// contains says.
func (v verified) failsIn(t *testing.T, want []string, row, says string) {
	t.Helper()
	got := v.failures()
	sorted := func(names []string) []string { return slices.Sorted(slices.Values(names)) }
	if diff := gocmp.Diff(sorted(want), sorted(got)); diff != "" || v.status != lab.ExitFailed {
		t.Errorf("exit status %d, failures (-want +got):\n%s", v.status, diff)
		for _, name := range got {
			t.Logf("%s: %s", name, v.row(t, name).Why)
		}
	}
	if why := v.row(t, row).Why; !strings.Contains(why, says) {
		t.Errorf("%s says %q, not %q", row, why, says)
	}
}

// quickDice make rolls that take no time, half of the risky ones failing.
func quickDice() []string { return []string{"--max-delay", "10ms", "--error-rate", "0.5"} }

// On a healthy lab all holds that can; what is broken around it is caught.
func TestVerify(t *testing.T) {
	t.Parallel()
	l := startLab(t, t.TempDir(), nil, quickDice()...)
	t.Run("holds", func(t *testing.T) { l.holds(t) })
	t.Run("a panel with a misspelt metric", func(t *testing.T) {
		dir := misspell(t, "grafana/dashboards/stage2-dashboard.json", `increase(dice_roll_value_bucket{die_type=\"fair\"`, `increase(dice_role_value_bucket{die_type=\"fair\"`)
		v := l.verify(t, "--timeout", brokenTime, "--stack-config", dir)
		v.failsIn(t, []string{"backend-panels-data"}, "backend-panels-data", "dice_role_value_bucket")
	})
	t.Run("a link with a wrong regular expression", func(t *testing.T) {
		dir := misspell(t, "grafana/provisioning/datasources/dicelab.yaml", "matcherRegex: ^trace_id$$", "matcherRegex: ^traceID$$")
		v := l.verify(t, "--timeout", brokenTime, "--stack-config", dir)
		v.failsIn(t, []string{"link-log-to-trace"}, "link-log-to-trace", "no derived field for traces matches the line")
	})
	t.Run("an exemplar destination with a wrong label", func(t *testing.T) {
		dir := misspell(t, "grafana/provisioning/datasources/dicelab.yaml", "- name: trace_id", "- name: traceID")
		v := l.verify(t, "--timeout", brokenTime, "--stack-config", dir)
		v.failsIn(t, []string{"link-exemplar-to-trace"}, "link-exemplar-to-trace", "it has trace_id")
	})
	t.Run("Tempo away", func(t *testing.T) {
		v := l.verify(t, "--tempo-url", "http://127.0.0.1:1", "--mode", "embedded")
		for _, r := range v.report.Results {
			if r.Outcome == string(checklist.Fail) && (r.Name == "tempo-answers") == (r.BlockedBy == "tempo-answers") {
				t.Errorf("%s: %s (blocked by %q)", r.Name, r.Why, r.BlockedBy)
			}
		}
		if why := v.row(t, "tempo-answers").Why; !strings.Contains(why, "connection refused") || v.row(t, "span-tree").BlockedBy != "tempo-answers" {
			t.Errorf("tempo-answers: %s; span-tree: %+v", why, v.row(t, "span-tree"))
		}
	})
	t.Run("Tempo away, its own check not selected", func(t *testing.T) {
		v := l.verify(t, "--tempo-url", "http://127.0.0.1:1", "--mode", "embedded", "--only", "timing", "--only", "span-tree")
		for _, name := range []string{"timing", "span-tree"} {
			r := v.row(t, name)
			if !strings.Contains(r.Why, "; tempo-answers fails: ") || !strings.Contains(r.Why, "connection refused") || r.BlockedBy != "tempo-answers" {
				t.Errorf("%+v, want the cause", r)
			}
		}
		if len(v.report.Results) != 2 {
			t.Errorf("%d results, want only those that were asked for", len(v.report.Results))
		}
	})
	t.Run("others roll", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			var err error
			for err == nil && ctx.Err() == nil {
				_, err = l.tryRoll(contract.DieFair)
				time.Sleep(100 * time.Millisecond) // a few others, not a load
			}
			ended <- err
		}()
		v := l.verify(t, "--only", "counters-exact")
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if r := v.row(t, "counters-exact"); r.Outcome != string(checklist.NotApplicable) || !strings.Contains(r.Why, "others rolled at the same time") || v.status != lab.ExitOK {
			t.Errorf("%+v, exit status %d", r, v.status)
		}
	})
	t.Run("only", func(t *testing.T) {
		var names []string
		for _, r := range l.verify(t, "--only", "timing", "--only", "frontend-ui").report.Results {
			names = append(names, r.Name)
		}
		want := []string{"timing", "dropdown-offers-dice", "roll-button-works", "trace-id-displayed", "errors-displayed", "sidebar-shows-backend"}
		if diff := gocmp.Diff(want, names); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}

func (l *running) holds(t *testing.T) {
	v := l.verify(t)
	if failed := v.failures(); len(failed) > 0 || v.status != lab.ExitOK || v.report.Mode != "embedded" {
		t.Errorf("mode %s, exit status %d, failures:", v.report.Mode, v.status)
		for _, name := range failed {
			t.Errorf("%s: %s", name, v.row(t, name).Why)
		}
	}
	var idle []string
	for _, r := range v.report.Results {
		switch {
		case r.Outcome == string(checklist.NotApplicable):
			idle = append(idle, r.Name)
			if r.Why == "" {
				t.Errorf("%s does not say why it is not applicable", r.Name)
			}
		case r.Evidence == "":
			t.Errorf("%s holds without evidence", r.Name)
		}
	}
	if diff := gocmp.Diff([]string{"alloy-discovers", "traffic-dependencies", "dashboard-in-grafana"}, idle); diff != "" {
		t.Errorf("not applicable (-want +got):\n%s", diff)
	}
}

// brokenTime is the timeout for telemetry that a fault holds back. On the embedded stack, telemetry
// that does come arrives with the next scrape but one.
const brokenTime = "15s"

// misspell copies the folder stack and changes the first of some words in a file.
func misspell(t *testing.T, file, from, to string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, stack.Configs); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(from)) {
		t.Fatalf("%s has no %s", file, from)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte(from), []byte(to), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What is broken on purpose is caught: exactly the rows fail that should, and the
// message of one points at the cause.
func TestVerifyCatchesFaults(t *testing.T) {
	t.Parallel()
	// The dice roller's half of a roll is not in the roll's trace.
	apart := []string{"backend-traces-searchable", "two-service-trace", "same-trace-id", "timing", "span-tree", "failed-span-tree", "spans-from-both",
		"parent-child", "traceparent-propagated", "tracestate-arrives", "baggage-arrives", "backend-span-logs", "backend-logs-match", "log-to-trace",
		"status-agrees", "traffic-propagates", "backend-panels-data", "frontend-panels-data", "link-trace-to-logs", "link-trace-to-metrics", "link-service-map"}
	// Nor do its lines name it.
	elsewhere := slices.Concat(apart, []string{"logs-same-trace", "link-log-to-trace"})
	// The front end's half is not there, nor what it would be the parent of.
	halfTold := []string{"frontend-traces-searchable", "two-service-trace", "same-trace-id", "timing", "span-tree", "failed-span-tree", "spans-from-both",
		"parent-child", "traceparent-propagated", "caller-continued", "malformed-starts-anew", "frontend-span-logs", "frontend-logs-match", "log-to-trace",
		"status-agrees", "traffic-propagates", "backend-panels-data", "frontend-panels-data", "link-trace-to-logs", "link-trace-to-metrics", "link-service-map"}
	// A service's lines name no trace.
	unnamed := func(service string) []string {
		return []string{"logs-have-trace-context", service + "-span-logs", service + "-logs-match", "logs-same-trace", "log-to-trace",
			"status-agrees", "link-trace-to-logs", "link-log-to-trace"}
	}
	for _, test := range []struct {
		fault  string   // of up
		want   []string // the rows that fail
		causes []string // those that name a cause; nil: all
		row    string   // the one whose message is compared
		says   string   // a part of it
	}{
		{"streamlit-frontend:no-propagation", append(slices.Clone(elsewhere), "caller-continued", "unsampled-respected"),
			[]string{"spans-from-both", "unsampled-respected"}, "spans-from-both", "so the context does not reach it"},
		{"dice-roller:no-propagation", elsewhere, []string{"spans-from-both"}, "spans-from-both", "so the context does not reach it"},
		{"streamlit-frontend:no-export", halfTold, []string{"spans-from-both"}, "spans-from-both", "its spans are not exported, or do not arrive"},
		{"dice-roller:no-export", apart, []string{"spans-from-both"}, "spans-from-both", "its spans are not exported, or do not arrive"},
		{"dice-roller:log-without-trace", unnamed("backend"), []string{"logs-have-trace-context"}, "logs-have-trace-context", "lines of dice-roller have no trace_id"},
		{"streamlit-frontend:log-traceID", unnamed("frontend"), []string{"logs-have-trace-context"}, "logs-have-trace-context", "lines of streamlit-frontend spell trace_id traceID"},
		{"streamlit-frontend:status-200-on-error", []string{"status-agrees"}, nil, "status-agrees", "the answer has 200, its page has 502"},
		{"dice-roller:status-200-on-error", []string{"counters-exact", "failed-span-tree", "status-agrees"}, nil,
			"status-agrees", "its span has 500, its log line has 500, the front end's GET span has 200"},
		{"dice-roller:counter-stuck", []string{"counters-exact", "backend-metrics-stored", "backend-panels-data"}, []string{"counters-exact"},
			"counters-exact", `3 counters moved too little: dice_rolls_total{die_type="fair",result="success"} of dice-roller by 0, not by 4; `},
		{"streamlit-frontend:counter-stuck", []string{"counters-exact", "frontend-metrics-stored"}, []string{"counters-exact"},
			"counters-exact", "streamlit_button_clicks_total"},
		{"dice-roller:no-exemplars", []string{"exemplar-to-trace"}, nil, "exemplar-to-trace", `http_requests_total{job="dice-roller",handler="/roll"} has 0 exemplars`},
		{"dice-roller:clock-skew=10s", []string{"timing"}, nil, "timing", "the clock of dice-roller is ahead of the clock of streamlit-frontend"},
		{"streamlit-frontend:clock-skew=10s", []string{"timing"}, nil, "timing", "the clock of streamlit-frontend is ahead of the clock of dice-roller"},
	} {
		t.Run(test.fault, func(t *testing.T) {
			t.Parallel()
			l := startLab(t, t.TempDir(), nil, append(quickDice(), "--fault", test.fault)...)
			v := l.verify(t, "--timeout", brokenTime)
			v.failsIn(t, test.want, test.row, test.says)
			if test.causes == nil {
				test.causes = test.want
			}
			if diff := gocmp.Diff(test.causes, v.causes(), gocmpopts.SortSlices(strings.Compare)); diff != "" {
				t.Errorf("rows that name a cause (-want +got):\n%s", diff)
			}
		})
	}
}

// Of faults that chance decides about, which other rows fail depends on the rolls: one row
// fails always.
func TestVerifyCatchesFaultsOfChance(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ fault, row, says string }{
		{"streamlit-frontend:retry=2", "counters-exact", "counters moved too much, though there is no other roll"},
		{"streamlit-frontend:timeout=1ns", "roll-via-ui", "no roll brought a value: 30 rolls: 30 × Gateway Timeout 504"},
		{"dice-roller:fail-risky=100%", "roll-button-works", "no roll of the risky die brought a value"},
		{"dice-roller:fail-fair=100%", "roll-button-works", "no roll of the fair die brought a value"},
		{"dice-roller:drop-failed", "failed-span-tree", `dice-roller "GET /roll" is missing; dice-roller "roll" is missing`},
		{"streamlit-frontend:drop-failed", "failed-span-tree", `streamlit-frontend "roll_button_click" is missing`},
	} {
		t.Run(test.fault, func(t *testing.T) {
			t.Parallel()
			l := startLab(t, t.TempDir(), nil, append(quickDice(), "--fault", test.fault)...)
			v := l.verify(t, "--timeout", brokenTime, "--only", test.row)
			if r := v.row(t, test.row); r.Outcome != string(checklist.Fail) || !strings.Contains(r.Why, test.says) {
				t.Errorf("%s: %s, %s", test.row, r.Outcome, r.Why)
			}
		})
	}
}
