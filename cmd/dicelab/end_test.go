package main_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
)

// The commands that up runs as processes of their own.
const (
	rollerCommand   = "roller"
	frontendCommand = "frontend"
)

// slowRolls switches the fault "slow" on in the roller, for longer than any test
// waits. It is gone when the roller is started again.
func (l *running) slowRolls(t *testing.T) {
	t.Helper()
	resp, err := l.client.PostForm(l.url(t, contract.ServiceRoller)+"/faults", url.Values{"enable": {"slow=1m"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("switching slow on: %s", resp.Status)
	}
}

// rolling starts a roll and returns when the roller has it.
func (l *running) rolling(t *testing.T) <-chan answer {
	t.Helper()
	answers := make(chan answer, 1)
	go func() {
		a, err := l.tryRoll(contract.DieFair)
		if err != nil {
			t.Error(err)
		}
		answers <- a
	}()
	l.lines(t, fmt.Sprintf("{%s=%q} |= %q", contract.StreamService, contract.ServiceRoller, contract.MsgRollReceived), 1)
	return answers
}

func receive(t *testing.T, answers <-chan answer) answer {
	t.Helper()
	select {
	case a := <-answers:
		return a
	case <-time.After(patience):
		t.Fatalf("no answer within %v", patience)
		return answer{}
	}
}

// checkFailed checks the front end's telemetry of a roll for which the roller sent no response.
func (l *running) checkFailed(t *testing.T, a answer, status int, errorType string) {
	t.Helper()
	if a.Status != status || a.TraceID == "" || a.Detail == "" {
		t.Errorf("answer %+v, want status %d with a trace ID and what to do", a, status)
	}
	trace := l.trace(t, a.TraceID, 3)
	click := named(trace, contract.SpanButtonClick)
	if got := click.Attributes.Text(contract.AttrErrorType); got != errorType {
		t.Errorf("%s of %s = %q, want %q", contract.AttrErrorType, click.Name, got, errorType)
	}
	if got := click.Attributes.Get(contract.AttrBackendStatusCode); got != nil {
		t.Errorf("%s = %v, want none", contract.AttrBackendStatusCode, got)
	}
	if got, want := named(trace, contract.SpanFrontendRoll).Attributes.Text("http.response.status_code"), fmt.Sprint(status); got != want {
		t.Errorf("status of %s = %s, want %s", contract.SpanFrontendRoll, got, want)
	}
	lines := l.lines(t, fmt.Sprintf("{%s=%q} |= %q | %s=%q", contract.StreamService, contract.ServiceFrontend,
		contract.MsgBackendFailed, contract.FieldTraceID, a.TraceID), 1)
	if got, want := lines[0].Field(contract.FieldStatus)+lines[0].Field(contract.FieldBackendStatus), fmt.Sprint(status); got != want {
		t.Errorf("statuses of the line %s: %s, want %s", lines[0].Text, got, want)
	}
	l.value(t, fmt.Sprintf("sum(%s{%s=%q})", contract.MetricBackendRequests, contract.LabelStatusCode, fmt.Sprint(status)), 1)
	l.value(t, fmt.Sprintf("sum(%s{job=%q,%s=%q})", contract.MetricHTTPRequests, contract.ServiceFrontend, contract.LabelStatus, "5xx"), 1)
}

// works waits for a roll that brings a value, and for both services' spans of it.
func (l *running) works(t *testing.T) {
	t.Helper()
	var a answer
	eventually(t, "rolling", func() (err error) {
		if a, err = l.tryRoll(contract.DieFair); err == nil && a.Status != http.StatusOK {
			err = fmt.Errorf("answer %+v", a)
		}
		return err
	})
	l.trace(t, a.TraceID, 5)
}

func TestKilledRollerIsStartedAgain(t *testing.T) {
	t.Parallel()
	l := startLab(t, t.TempDir(), nil, "--max-delay", "0s", "--fault-switches", "--roll-timeout", "1m")
	l.slowRolls(t)
	answers := l.rolling(t)
	first := l.signalService(t, rollerCommand, syscall.SIGKILL)
	l.checkFailed(t, receive(t, answers), http.StatusServiceUnavailable, contract.ErrorTypeUnreachable)
	eventually(t, "waiting for the next roller", func() error { return l.out.shows(contract.ServiceRoller + " ready again") })
	if err := l.out.shows(contract.ServiceRoller + " ended (signal: killed); restarting in 100 ms\n"); err != nil {
		t.Error(err)
	}
	if second, err := l.book.pid(rollerCommand); err != nil || second == first {
		t.Errorf("the roller has process ID %d, the first had %d: %v", second, first, err)
	}
	l.works(t)
	l.stop(t)
}

func TestHungRollerIsGivenUp(t *testing.T) {
	t.Parallel()
	l := startLab(t, t.TempDir(), nil, "--max-delay", "0s", "--roll-timeout", "3s")
	l.signalService(t, rollerCommand, syscall.SIGSTOP)
	l.checkFailed(t, l.roll(t, contract.DieFair), http.StatusGatewayTimeout, contract.ErrorTypeTimeout)
	l.signalService(t, rollerCommand, syscall.SIGCONT)
	l.works(t)
	l.stop(t)
}

// orphanLimit is the time within which the children of a killed lab end, with slack for a busy
// machine.
const orphanLimit = 2*time.Second + 8*time.Second

func TestKilledLabLeavesNoOrphan(t *testing.T) {
	for _, tt := range []struct {
		name string
		hang bool
	}{
		{"idle", false},
		{"with a roller that hangs", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := startLab(t, t.TempDir(), nil)
			if tt.hang {
				l.signalService(t, rollerCommand, syscall.SIGSTOP)
			}
			for _, command := range []string{"up", rollerCommand, frontendCommand} {
				if _, err := l.book.pid(command); err != nil {
					t.Error(err)
				}
			}
			l.signal(t, syscall.SIGKILL)
			l.wait(t)
			if err := within(orphanLimit, l.book.empty); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSecondInterruptKills(t *testing.T) {
	t.Parallel()
	l := startLab(t, t.TempDir(), nil)
	l.signalService(t, rollerCommand, syscall.SIGSTOP) // the first would wait for it
	l.signal(t, syscall.SIGINT)
	eventually(t, "waiting for the stop to begin", func() error { return l.out.shows("Stopping; Ctrl-C kills.\n") })
	l.signal(t, syscall.SIGINT)
	if code := l.wait(t); code != lab.ExitFailed {
		t.Errorf("exit status %d", code)
	}
	if got, want := l.err.String(), "dicelab: error: "+lab.ErrKilled.Error()+"\n"; got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}
	if err := within(orphanLimit, l.book.empty); err != nil {
		t.Error(err)
	}
}

// What was rolled a moment before Ctrl-C is there when the lab runs again.
func TestTelemetryOutlivesTheLab(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	yesterday := startLab(t, dir, nil, "--max-delay", "0s")
	var rolls []answer
	for range 5 {
		rolls = append(rolls, yesterday.roll(t, contract.DieFair))
	}
	yesterday.stop(t)

	today := startLab(t, dir, nil, "--max-delay", "0s")
	for _, a := range rolls {
		if trace := today.trace(t, a.TraceID, 5); len(trace.Spans) != 5 {
			t.Errorf("%d spans of %s", len(trace.Spans), a.TraceID)
		}
		for _, service := range contract.Services() {
			if lines := today.lines(t, fmt.Sprintf("{%s=%q} | %s=%q", contract.StreamService, service, contract.FieldTraceID, a.TraceID), 2); len(lines) != 2 {
				t.Errorf("%d lines of %s by %s", len(lines), a.TraceID, service)
			}
		}
	}
	// A counter keeps its latest exemplar until it is scraped.
	today.exemplar(t, contract.MetricButtonClicks, rolls[len(rolls)-1].TraceID)
	for _, name := range []string{contract.MetricButtonClicks, contract.MetricBackendRequests, contract.MetricDiceRolls} {
		today.value(t, fmt.Sprintf("sum(max_over_time(%s[1h]))", name), float64(len(rolls)))
	}
	// So are the metrics made from spans, even those of calls that begin a trace: the stack would
	// wait for their other side longer than the lab ran.
	for promQL, n := range map[string]int{
		contract.MetricSpanCalls: 5, contract.MetricGraphRequests + `{client="user"}`: 1, contract.MetricGraphRequests + `{client!="user"}`: 1,
	} {
		today.value(t, fmt.Sprintf("sum(max_over_time(%s[1h]))", promQL), float64(n*len(rolls)))
	}
	today.works(t)
	today.stop(t)
}

func TestADataDirectoryServesOneLab(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := startLab(t, dir, nil)
	second := exec.Command("dicelab", labArgs(dir)...)
	second.Env = append(os.Environ(), envBook+"="+t.TempDir())
	text, err := second.CombinedOutput()
	want := fmt.Sprintf("dicelab: error: data directory %s is in use by another lab (pid %d): stop that one; choose another with --data\n",
		dir, l.cmd.Process.Pid)
	if code := second.ProcessState.ExitCode(); code != lab.ExitUsage || string(text) != want {
		t.Errorf("exit status %d (%v) with %q, want %q", code, err, text, want)
	}
	l.works(t) // the first did not notice
	l.stop(t)
}

// Without a stack of its own the lab is both services and the explorer, which
// says what it cannot reach.
func TestWithoutAStack(t *testing.T) {
	t.Parallel()
	const unreachable = "http://127.0.0.1:1" // tcpmux
	l := startLabArgs(t, nil, "up", "--stack=none", "--data", t.TempDir(), "--max-delay", "0s",
		"--frontend-addr", "127.0.0.1:0", "--roller-addr", "127.0.0.1:0", "--explorer-addr", "127.0.0.1:0",
		"--tempo-url", unreachable, "--loki-url", unreachable, "--prometheus-url", unreachable)
	if a := l.roll(t, contract.DieFair); a.Status != http.StatusOK {
		t.Errorf("answer %+v", a)
	}
	if len(l.urls) != 3 {
		t.Errorf("parts %v, want three", l.urls)
	}
	if _, body := l.get(t, l.url(t, "explorer")+"/traces"); !strings.Contains(body, unreachable) {
		t.Errorf("the explorer does not name %s:\n%s", unreachable, body)
	}
	l.signal(t, syscall.SIGTERM)
	if code := l.wait(t); code != lab.ExitOK {
		t.Errorf("exit status %d", code)
	}
}
