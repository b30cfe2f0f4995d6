//go:build stack

package stacktest_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dicelab/internal/contract"
	"dicelab/internal/contract/golden"
	"dicelab/internal/lab"
	"dicelab/internal/lab/native"
	"dicelab/internal/query"
	"dicelab/stack"
)

const (
	outage   = 30 * time.Second // how long Tempo and Loki are away
	before   = 3 * time.Second  // of traffic, and after
	interval = 50 * time.Millisecond
)

// servers is the stack without the lab that ends when a server does.
type fiveServers struct {
	addresses
	stack *native.Stack
	parts map[string]lab.Part
}

// startServers prepares the five. Without targets Prometheus scrapes the two
// services.
func startServers(t *testing.T, configs fs.FS, targets ...native.Target) *fiveServers {
	t.Helper()
	s := &fiveServers{addresses: free(t), parts: map[string]lab.Part{}}
	if len(targets) == 0 {
		targets = []native.Target{
			{Job: contract.ServiceFrontend, Address: s.addresses["frontend"]}, {Job: contract.ServiceRoller, Address: s.addresses["roller"]},
		}
	}
	listeners := map[string]*net.TCPListener{}
	for _, p := range native.Places() {
		l, err := net.Listen("tcp", s.addresses[p.Name])
		if err != nil {
			t.Fatal(err)
		}
		listeners[p.Name] = l.(*net.TCPListener)
	}
	var err error
	s.stack, err = native.New(native.Options{
		Dir: t.TempDir(), Configs: configs, Listeners: listeners, Programs: programs(t), Targets: targets,
		Guard: []string{*program, "guard"}, Env: os.Environ(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stack.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *fiveServers) start(t *testing.T, component string) {
	t.Helper()
	p, err := s.stack.Part(component)
	if err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%-15s ready after %5d ms", component, time.Since(since).Milliseconds())
	s.parts[component] = p
	t.Cleanup(p.Kill)
}

func (s *fiveServers) stop(t *testing.T, component string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	since := time.Now()
	if err := s.parts[component].Stop(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("%-15s stopped after %5d ms", component, time.Since(since).Milliseconds())
}

// service runs one of the two services, its output in the spool.
func (s *fiveServers) service(t *testing.T, name, command string, args ...string) {
	t.Helper()
	cmd := exec.Command(*program, append([]string{command, "--addr", s.addresses[command]}, args...)...)
	cmd.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT="+s.url(native.OTLPHTTP))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() { read <- s.stack.Spool().Read(name, out) }()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := errors.Join(<-read, cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
	until(t, name+" ready", time.Now(), func(ctx context.Context) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url(command)+"/readyz", nil)
		if err != nil {
			return "", err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		if resp.StatusCode != http.StatusOK {
			return resp.Status, resp.Body.Close()
		}
		return "", resp.Body.Close()
	})
}

// Tempo and Loki are away for half a minute under traffic. What was sent then
// is all there afterwards.
func TestNothingIsLostWhileTempoAndLokiAreAway(t *testing.T) {
	t.Parallel()
	s := startServers(t, stack.Configs)
	for _, name := range []string{stack.Prometheus, stack.Tempo, stack.Collector, stack.Loki, stack.Alloy} {
		s.start(t, name)
	}
	s.service(t, contract.ServiceRoller, "roller", "--max-delay", "0s", "--error-rate", "0")
	s.service(t, contract.ServiceFrontend, "frontend", "--roller-url", s.url("roller"))

	ids, finish := traffic(t, s.url("frontend"))
	<-time.After(before)
	s.stop(t, stack.Tempo)
	s.stop(t, stack.Loki)
	<-time.After(outage)
	s.start(t, stack.Tempo)
	s.start(t, stack.Loki)
	<-time.After(before)
	finish()
	since := time.Now()

	want, err := golden.Load(golden.Success)
	if err != nil {
		t.Fatal(err)
	}
	r := s.readers(t)
	spans := len(*ids) * len(want.Spans)
	t.Logf("%d rolls, %d spans, %d log lines sent", len(*ids), spans, s.written(t))
	stored := map[string]int{} // spans by trace
	until(t, fmt.Sprintf("%d spans stored", spans), since, func(ctx context.Context) (string, error) {
		total, lacking := 0, []string{}
		for i, id := range *ids {
			if stored[id] < len(want.Spans) {
				trace, err := r.tempo.Trace(ctx, id)
				if err != nil && !errors.Is(err, query.ErrNotFound) {
					return "", err
				}
				if err == nil {
					stored[id] = len(trace.Spans)
				}
			}
			if stored[id] != len(want.Spans) {
				lacking = append(lacking, fmt.Sprintf("roll %d has %d in %s", i, stored[id], id))
			}
			total += stored[id]
		}
		if total != spans {
			return fmt.Sprintf("%d of %d spans: %v", total, spans, lacking[:min(10, len(lacking))]), nil
		}
		return "", nil
	})
	until(t, "every log line stored, once", since, func(ctx context.Context) (string, error) {
		result, err := r.loki.QueryRange(ctx, query.LogQuery{
			LogQL: `sum(count_over_time({` + contract.StreamJob + `=~".+"}[1h]))`, Start: time.Now().Add(-time.Second), End: time.Now(), Step: time.Second,
		})
		if err != nil || len(result.Series) == 0 {
			return "no lines", err
		}
		if got, want := result.Series[0].Last(), s.written(t); got != float64(want) {
			return fmt.Sprintf("%v of %d lines", got, want), nil
		}
		return "", nil
	})
	for _, name := range []string{stack.Alloy, stack.Loki, stack.Collector, stack.Tempo, stack.Prometheus} {
		s.stop(t, name)
	}
}

// traffic rolls at a steady rate until finish is called, which returns when every
// roll has been answered.
func traffic(t *testing.T, frontend string) (ids *[]string, finish func()) {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		stop = make(chan struct{})
	)
	ids = &[]string{}
	wg.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			wg.Go(func() {
				id, err := roll(context.Background(), frontend, contract.DieRisky, "")
				if err != nil {
					t.Errorf("a roll failed while telemetry was away: %v", err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				*ids = append(*ids, id)
			})
		}
	})
	return ids, func() { close(stop); wg.Wait() }
}

// written counts the lines in the spool's files.
func (s *fiveServers) written(t *testing.T) (lines int) {
	t.Helper()
	err := filepath.WalkDir(s.stack.Spool().Dir(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		lines += strings.Count(string(text), "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// What cannot start says why, in one line that names the server.
func TestRefusals(t *testing.T) {
	t.Parallel()
	t.Run("port taken", func(t *testing.T) {
		at := free(t)
		l, err := net.Listen("tcp", at[native.TempoOTLP])
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		lab := start(t, at, "--data", t.TempDir())
		_, port, _ := net.SplitHostPort(at[native.TempoOTLP])
		if status := lab.wait(t); status != 2 {
			t.Errorf("exit status %d, want 2", status)
		}
		want := "dicelab: error: port " + port + " is taken: Tempo's OTLP receiver wants it; free it or move Tempo's OTLP receiver with --tempo-otlp-addr\n"
		if got := lab.stderr.String(); got != want {
			t.Errorf("stderr %q\nwant   %q", got, want)
		}
	})
	for _, c := range stack.Components() {
		t.Run("corrupt configuration of "+c.Name, func(t *testing.T) {
			configs := t.TempDir()
			if err := os.CopyFS(configs, stack.Configs); err != nil {
				t.Fatal(err)
			}
			files, err := filepath.Glob(filepath.Join(configs, c.Name, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if err := os.WriteFile(file, []byte("this: is: [not a configuration\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := startServers(t, os.DirFS(configs))
			p, err := s.stack.Part(c.Name)
			if err != nil {
				t.Fatal(err)
			}
			err = p.Start(t.Context())
			if err == nil {
				t.Fatal("it started")
			}
			t.Log(err)
			if !strings.HasPrefix(err.Error(), c.Name+" ended (exit status ") {
				t.Errorf("error %v does not name %s first", err, c.Name)
			}
			if !strings.Contains(err.Error(), "config") {
				t.Errorf("error does not say that the configuration is wrong: %v", err)
			}
			if n := strings.Count(err.Error(), "\n"); n < 1 || n > 3 {
				t.Errorf("error of %d lines: %v", n+1, err)
			}
		})
	}
}
