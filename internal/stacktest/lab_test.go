//go:build stack

// Package stacktest tests the real stack from end to end: the lab's own program
// with the five servers, as a person starts it, read through their public APIs.
// "make test-stack" runs it; it needs the servers (stack/README.md) and Linux, whose
// /proc it reads.
//
// Tests wait for what must come by looking again and again, and say how long it
// took (-v). No test fails for being slow, but for what has not come within
// patience.
package stacktest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/lab/native"
	"dicelab/internal/lab/servers"
	"dicelab/internal/porttest"
	"dicelab/internal/query"
	"dicelab/internal/wait"
)

// patience bounds every wait of a test; it measures nothing.
const patience = time.Minute

var (
	program = flag.String("dicelab", "../../bin/dicelab", "the program under test")
	dir     = flag.String("servers", "", "the directory of the servers, before PATH")
)

// find finds the servers once: it starts each to ask for its version.
var find = sync.OnceValues(func() (map[string]string, error) {
	found, err := servers.Find(context.Background(), servers.Places{Dir: *dir, Path: os.Getenv("PATH")})
	return servers.Paths(found), errors.Join(err, servers.Unusable(found))
})

// programs returns the paths of the servers' programs by component.
func programs(t *testing.T) map[string]string {
	t.Helper()
	paths, err := find()
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// addresses returns free addresses on loopback, by the place's name.
type addresses map[string]string

// free finds an address for every place of a lab.
func free(t *testing.T) addresses {
	t.Helper()
	places := []string{"frontend", "roller", "explorer"}
	for _, p := range native.Places() {
		places = append(places, p.Name)
	}
	out := addresses{}
	for i, addr := range porttest.Addresses(t, len(places)) {
		out[places[i]] = addr
	}
	return out
}

func (a addresses) flags() (flags []string) {
	for place, addr := range a {
		flags = append(flags, "--"+place+"-addr="+addr)
	}
	return flags
}

func (a addresses) url(place string) string { return "http://" + a[place] }

// running is a lab.
type running struct {
	addresses
	cmd    *exec.Cmd
	stdout *output
	stderr *output
	ended  chan struct{} // closed when it has ended
}

// start starts "dicelab up --stack=native".
func start(t *testing.T, at addresses, args ...string) *running {
	t.Helper()
	r := &running{addresses: at, stdout: newOutput(), stderr: newOutput(), ended: make(chan struct{})}
	r.cmd = exec.Command(*program, slices.Concat([]string{"up", "--stack=native", "--servers", *dir}, at.flags(), args)...)
	r.cmd.Stdout, r.cmd.Stderr = r.stdout, r.stderr
	if err := r.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v (make build makes it)", *program, err)
	}
	go func() {
		_ = r.cmd.Wait() // how it ended stands in its ProcessState
		close(r.ended)
	}()
	t.Cleanup(func() {
		select {
		case <-r.ended:
		default:
			_ = r.cmd.Process.Kill() // its children end with it
			<-r.ended
		}
		if t.Failed() {
			t.Logf("stdout:\n%s\nstderr:\n%s", r.stdout, r.stderr)
		}
	})
	return r
}

// open waits until the lab is open.
func (r *running) open(t *testing.T) {
	t.Helper()
	r.stdout.until(t, "Ctrl-C stops", r.ended)
}

// stop interrupts the lab and returns its exit status.
func (r *running) stop(t *testing.T) int {
	t.Helper()
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	return r.wait(t)
}

// wait returns the exit status of a lab that ends.
func (r *running) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-r.ended:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("the lab has not ended within %v", patience)
		return 0
	}
}

// readers are the clients of the three query APIs.
type readers struct {
	prometheus *query.Prometheus
	tempo      *query.Tempo
	loki       *query.Loki
}

func (a addresses) readers(t *testing.T) readers {
	t.Helper()
	config := func(place string) query.Config { return query.Config{URL: a.url(place)} }
	prometheus, err1 := query.NewPrometheus(config(native.Prometheus))
	tempo, err2 := query.NewTempo(config(native.Tempo))
	loki, err3 := query.NewLoki(config(native.Loki))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return readers{prometheus, tempo, loki}
}

// roll makes one roll through the front end, within a trace if one is given, and
// returns the trace's ID.
func roll(ctx context.Context, frontend, die, traceparent string) (string, error) {
	form := url.Values{"die": {die}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, frontend+"/roll", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if traceparent != "" {
		req.Header.Set(contract.HeaderTraceparent, traceparent)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return "", err
	}
	var answer struct {
		TraceID string `json:"trace_id"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("rolling: %s %s (%v)", resp.Status, body, err)
	}
	return answer.TraceID, nil
}

// until looks until what has come, and says how long that took since a moment.
func until(t *testing.T, what string, since time.Time, look func(ctx context.Context) (problem string, err error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := wait.Until(ctx, func(ctx context.Context) error {
		problem, err := look(ctx)
		if err == nil && problem != "" {
			err = errors.New(problem)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s: not within %v: %v", what, patience, err)
	}
	t.Logf("%-60s %6d ms", what, time.Since(since).Milliseconds())
}

// output collects output and lets a test wait for a text in it.
type output struct {
	mu     sync.Mutex
	buf    bytes.Buffer
	change chan struct{}
}

func newOutput() *output { return &output{change: make(chan struct{}, 1)} }

func (s *output) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.change <- struct{}{}:
	default:
	}
	return s.buf.Write(b)
}

func (s *output) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func (s *output) lines() (lines []string) {
	for sc := bufio.NewScanner(strings.NewReader(s.String())); sc.Scan(); {
		lines = append(lines, sc.Text())
	}
	return lines
}

func (s *output) until(t *testing.T, text string, ended <-chan struct{}) {
	t.Helper()
	deadline := time.After(patience)
	for !strings.Contains(s.String(), text) {
		select {
		case <-s.change:
		case <-ended:
			t.Fatalf("the lab ended before it said %q", text)
		case <-deadline:
			t.Fatalf("the lab has not said %q within %v", text, patience)
		}
	}
}

// kill ends one server of the lab as the kernel would.
func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
