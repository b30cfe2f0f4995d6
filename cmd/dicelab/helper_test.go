package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
	"dicelab/internal/query"
	"dicelab/internal/wait"
)

// patience bounds every wait. It is long, for a busy machine under the race
// detector; waits look often.
const patience = 90 * time.Second

// eventually looks until there is no error.
func eventually(t *testing.T, what string, look func() error) {
	t.Helper()
	if err := within(patience, look); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func within(limit time.Duration, look func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := wait.Until(ctx, func(context.Context) error { return look() }); err != nil {
		return fmt.Errorf("not within %v: %w", limit, err)
	}
	return nil
}

// output is the output of a process.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *output) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *output) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// shows returns nil once text is in the output.
func (s *output) shows(text string) error {
	if !strings.Contains(s.String(), text) {
		return fmt.Errorf("%q is not in the output", text)
	}
	return nil
}

// labArgs returns the arguments of a lab that listens on free ports.
func labArgs(dir string, more ...string) []string {
	args := []string{"up", "--data", dir}
	for _, name := range []string{"frontend", "roller", "explorer", "prometheus", "loki", "tempo", "otlp-grpc", "otlp-http"} {
		args = append(args, "--"+name+"-addr", "127.0.0.1:0")
	}
	return append(args, more...)
}

// running is a "dicelab up" and what it started.
type running struct {
	book     book
	out, err *output
	urls     map[string]string // by part, as the report names it
	client   *http.Client

	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has been reaped
}

// partLine is a line of the report about a part that is ready at a URL.
var partLine = regexp.MustCompile(`(?m)^  (\S+(?: \S+)*) +ready .* (http://\S+)$`)

// startLab starts a lab and waits until it is open. env is added to the test's
// own environment. The lab ends with the test.
func startLab(t *testing.T, dir string, env []string, args ...string) *running {
	t.Helper()
	return startLabArgs(t, env, labArgs(dir, args...)...)
}

// startLabArgs is startLab with all arguments spelled out.
func startLabArgs(t *testing.T, env []string, args ...string) *running {
	t.Helper()
	l := &running{
		book: book(t.TempDir()), out: &output{}, err: &output{}, urls: map[string]string{},
		client: &http.Client{Transport: &http.Transport{}, Timeout: patience}, ended: make(chan struct{}),
	}
	l.cmd = exec.Command("dicelab", args...)
	l.cmd.Env = append(append(os.Environ(), envBook+"="+string(l.book)), env...)
	l.cmd.Stdout, l.cmd.Stderr = l.out, l.err
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C in the terminal of the tests must not reach the lab
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(l.ended)
		_ = l.cmd.Wait() // the tests look at ProcessState
	}()
	t.Cleanup(func() { l.cleanUp(t) })
	eventually(t, "opening the lab", func() error {
		if l.hasEnded() {
			t.Fatalf("the lab ended: %v", l.cmd.ProcessState)
		}
		return l.out.shows("Ctrl-C stops")
	})
	for _, m := range partLine.FindAllStringSubmatch(l.out.String(), -1) {
		l.urls[m[1]] = m[2]
	}
	return l
}

func (l *running) cleanUp(t *testing.T) {
	l.client.CloseIdleConnections()
	if !l.hasEnded() {
		l.signal(t, syscall.SIGKILL)
	}
	<-l.ended
	if err := errors.Join(l.book.kill(), within(patience, l.book.empty)); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", l.out, l.err)
	}
}

func (l *running) hasEnded() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

func (l *running) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := l.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

// wait waits for the end and returns the exit status.
func (l *running) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-l.ended:
	case <-time.After(patience):
		t.Fatalf("the lab did not end within %v", patience)
	}
	return l.cmd.ProcessState.ExitCode()
}

// stop ends the lab in order: it says nothing on stderr and leaves nothing.
func (l *running) stop(t *testing.T) {
	t.Helper()
	l.signal(t, os.Interrupt.(syscall.Signal))
	if code := l.wait(t); code != lab.ExitOK {
		t.Errorf("exit status %d", code)
	}
	if text := l.err.String(); text != "" {
		t.Errorf("stderr: %s", text)
	}
	if err := l.book.empty(); err != nil {
		t.Error(err)
	}
}

// signalService signals the process that runs a service.
func (l *running) signalService(t *testing.T, command string, s syscall.Signal) int {
	t.Helper()
	pid, err := l.book.pid(command)
	if err == nil {
		err = syscall.Kill(pid, s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func (l *running) url(t *testing.T, part string) string {
	t.Helper()
	u, ok := l.urls[part]
	if !ok {
		t.Fatalf("the report names no %q: %v", part, l.urls)
	}
	return u
}

// answer is the answer to a roll.
type answer struct {
	Status        int
	Traceresponse string

	Die         string `json:"die"`
	Roll        int    `json:"roll"`
	TraceID     string `json:"trace_id"`
	Traceparent string `json:"traceparent"`
	Detail      string `json:"detail"`
	Links       struct{ Trace, Logs string }
}

// roll rolls a die through the front end.
func (l *running) roll(t *testing.T, die string) answer {
	t.Helper()
	a, err := l.tryRoll(die)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (l *running) tryRoll(die string) (a answer, err error) {
	req, err := http.NewRequest(http.MethodPost, l.urls[contract.ServiceFrontend]+"/roll", strings.NewReader(url.Values{"die": {die}}.Encode()))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := l.client.Do(req)
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	a.Traceresponse = resp.Header.Get(contract.HeaderTraceresponse)
	err = json.NewDecoder(resp.Body).Decode(&a)
	a.Status = resp.StatusCode // "status" of a problem document is the same, and checked elsewhere
	return a, err
}

// get reads a page.
func (l *running) get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := l.client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (l *running) tempo(t *testing.T) *query.Tempo {
	t.Helper()
	c, err := query.NewTempo(query.Config{URL: l.url(t, "tempo")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (l *running) loki(t *testing.T) *query.Loki {
	t.Helper()
	c, err := query.NewLoki(query.Config{URL: l.url(t, "loki")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (l *running) prometheus(t *testing.T) *query.Prometheus {
	t.Helper()
	c, err := query.NewPrometheus(query.Config{URL: l.url(t, "prometheus")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// trace waits for a trace of n spans.
func (l *running) trace(t *testing.T, id string, n int) *query.Trace {
	t.Helper()
	var trace *query.Trace
	eventually(t, "reading the trace by its ID", func() (err error) {
		if trace, err = l.tempo(t).Trace(t.Context(), id); err != nil {
			return err
		}
		if len(trace.Spans) < n {
			return fmt.Errorf("%d spans", len(trace.Spans))
		}
		return nil
	})
	return trace
}

// lines waits for n lines, oldest first.
func (l *running) lines(t *testing.T, logQL string, n int) []query.LogLine {
	t.Helper()
	var lines []query.LogLine
	eventually(t, "reading "+logQL, func() error {
		now := time.Now()
		r, err := l.loki(t).QueryRange(t.Context(), query.LogQuery{LogQL: logQL, Start: now.Add(-time.Hour), End: now.Add(time.Hour)})
		if err != nil {
			return err
		}
		if lines = r.Lines; len(lines) < n {
			return fmt.Errorf("%d lines", len(lines))
		}
		return nil
	})
	slices.Reverse(lines)
	return lines
}

// value waits until a query has the one expected value.
func (l *running) value(t *testing.T, promQL string, want float64) {
	t.Helper()
	eventually(t, "asking Prometheus for "+promQL, func() error {
		r, err := l.prometheus(t).Query(t.Context(), promQL, time.Now())
		if err != nil {
			return err
		}
		if len(r.Series) != 1 {
			return fmt.Errorf("%d series", len(r.Series))
		}
		if got := r.Series[0].Last(); got != want {
			return fmt.Errorf("%v, want %v", got, want)
		}
		return nil
	})
}

// exemplar waits for an exemplar with the trace ID.
func (l *running) exemplar(t *testing.T, promQL, id string) {
	t.Helper()
	eventually(t, "asking Prometheus for exemplars of "+promQL, func() error {
		now := time.Now()
		found, err := l.prometheus(t).Exemplars(t.Context(), promQL, now.Add(-time.Hour), now.Add(time.Hour))
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(found, func(e query.Exemplar) bool { return e.TraceID == id }) {
			return fmt.Errorf("none with %s among %v", id, found)
		}
		return nil
	})
}
