package child_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/lab/child"
)

func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newChild(t *testing.T, role string, change func(*child.Config)) (*child.Child, string) {
	t.Helper()
	l := listen(t)
	base := "http://" + l.Addr().String()
	c, err := child.New(config(role, l, change))
	if err != nil {
		t.Fatal(err)
	}
	return c, base
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, c *child.Child) {
	t.Helper()
	if err := c.Start(within(t)); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestStopReadsOutputToItsEnd(t *testing.T) {
	rec := newRecorder()
	var stderr bytes.Buffer
	c, _ := newChild(t, "serve", func(cfg *child.Config) { cfg.Stdout, cfg.Stderr = rec.read, &stderr })
	start(t, c)
	if err := c.Stop(within(t)); err != nil {
		t.Errorf("Stop = %v", err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("Wait = %v", err)
	}
	if diff := cmp.Diff([]string{"started", lastLine}, rec.lines); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
	if got, want := stderr.String(), "dice-roller: listening\n"; got != want {
		t.Errorf("stderr = %q, want %q", got, want)
	}
}

func TestStopFreesThePort(t *testing.T) {
	c, base := newChild(t, "serve", nil)
	start(t, c)
	if err := c.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	l.Close()
}

func TestKilledChildIsReadyAgainOnItsPort(t *testing.T) {
	rec := newRecorder()
	c, base := newChild(t, "serve", func(cfg *child.Config) { cfg.Stdout, cfg.Notify = rec.read, rec.notify })
	start(t, c)
	first := c.Pid()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	rec.until(t, "the second readiness", func() bool { return len(rec.events) == 3 })
	second := c.Pid()
	if second == first || second == 0 {
		t.Errorf("pid = %d, the first was %d", second, first)
	}
	if status, body := get(t, base+"/metrics"); status != http.StatusOK || body != "rolls_total 1\n" {
		t.Errorf("/metrics = %d %q", status, body)
	}
	if err := c.Stop(within(t)); err != nil {
		t.Error(err)
	}
	ended := rec.events[1]
	want := []child.Event{
		{Name: "dice-roller", Pid: first, Ready: true},
		{Name: "dice-roller", Pid: first, Err: ended.Err, RestartIn: time.Millisecond},
		{Name: "dice-roller", Pid: second, Ready: true},
	}
	if !slices.Equal(rec.events, want) {
		t.Errorf("events = %v, want %v", rec.events, want)
	}
	if got, want := fmt.Sprint(ended.Err), "signal: killed"; got != want {
		t.Errorf("reason = %q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{"started", "started", lastLine}, rec.lines); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
}

func TestCallersWaitWhileAChildIsReplaced(t *testing.T) {
	c, base := newChild(t, "serve", func(cfg *child.Config) { cfg.Policy.First = 50 * time.Millisecond })
	start(t, c)
	if err := syscall.Kill(c.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// A request may be cut off if it reached the dying process. One that is
	// refused means that the port was closed in between.
	for range 20 {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(base + "/metrics")
		if errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal("connection refused")
		}
		if err == nil {
			resp.Body.Close()
		}
	}
	if err := c.Stop(within(t)); err != nil {
		t.Error(err)
	}
}

func TestStart(t *testing.T) {
	for _, tt := range []struct {
		name, role string
		change     func(*child.Config)
		restarts   int
		want       string
	}{
		{name: "crash loop", role: "crash", restarts: 5,
			want: "dice-roller ended (exit status 1) again after 5 restarts; its last lines:\n  about to crash"},
		{name: "usage error is not repeated", role: "usage",
			want: "dice-roller ended (exit status 2); its last lines:\n  dicelab: error: no such flag"},
		{name: "no restart allowed", role: "crash", change: func(c *child.Config) { c.Policy = child.Once() },
			want: "dice-roller ended (exit status 1); its last lines:\n  about to crash"},
		{name: "never ready", role: "unready",
			change: func(c *child.Config) { c.Policy, c.ReadyTimeout = child.Once(), 1500*time.Millisecond },
			want:   `dice-roller ended (not ready within 1.5s: URL/readyz answered 503 "warming up"); its last lines:` + "\n  listening"},
		{name: "no such program", role: "serve", change: func(c *child.Config) { c.Path = "/nonexistent" },
			want: "starting dice-roller: fork/exec /nonexistent: no such file or directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := newRecorder()
			c, base := newChild(t, tt.role, func(cfg *child.Config) {
				cfg.Notify = rec.notify
				if tt.change != nil {
					tt.change(cfg)
				}
			})
			err := c.Start(within(t))
			if got := strings.ReplaceAll(fmt.Sprint(err), base, "URL"); got != tt.want {
				t.Errorf("Start = %q\nwant    %q", got, tt.want)
			}
			if len(rec.events) != tt.restarts {
				t.Errorf("%d restarts were reported, want %d: %v", len(rec.events), tt.restarts, rec.events)
			}
			if waited := c.Wait(); fmt.Sprint(waited) != fmt.Sprint(err) {
				t.Errorf("Wait = %v, Start = %v", waited, err)
			}
			if err := c.Stop(within(t)); err != nil {
				t.Errorf("Stop of what has ended = %v", err)
			}
		})
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	rec := newRecorder()
	c, _ := newChild(t, "unready", func(cfg *child.Config) { cfg.Stdout = rec.read })
	ctx, cancel := context.WithCancelCause(context.Background())
	result := make(chan error, 1)
	go func() { result <- c.Start(ctx) }()
	rec.until(t, "its first line", func() bool { return len(rec.lines) == 1 })
	why := errors.New("asked to end")
	cancel(why)
	if err := <-result; !errors.Is(err, why) {
		t.Errorf("Start = %v, want %v", err, why)
	}
	if c.Pid() != 0 {
		t.Error("a process is left")
	}
}

func TestStopKillsTheStubborn(t *testing.T) {
	c, _ := newChild(t, "stubborn", nil)
	start(t, c)
	// The stubborn helper ends on SIGTERM only through its context, which it
	// does not heed.
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err := c.Stop(ctx)
	if got, want := fmt.Sprint(err), "it did not end in time and was killed"; got != want {
		t.Errorf("Stop = %q, want %q", got, want)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("Wait = %v", err)
	}
}

// While a child takes its time to end, callers are refused. They would hang if
// the lab kept the port open.
func TestAStoppingChildRefusesConnections(t *testing.T) {
	rec := newRecorder()
	c, base := newChild(t, "lingering", func(cfg *child.Config) { cfg.Stdout = rec.read })
	start(t, c)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- c.Stop(ctx) }()
	rec.until(t, "the child to close its port", func() bool { return slices.Contains(rec.lines, "closed") })
	if conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialling = %v, %v", conn, err)
	}
	cancel()
	if err := <-stopped; err == nil {
		t.Error("Stop does not report that it had to kill")
	}
}

func TestStopTellsOfAFailure(t *testing.T) {
	c, _ := newChild(t, "failing", nil)
	start(t, c)
	if got, want := fmt.Sprint(c.Stop(within(t))), "dice-roller ended (exit status 3); its last lines:\n  listening"; got != want {
		t.Errorf("Stop = %q, want %q", got, want)
	}
}

func TestKill(t *testing.T) {
	c, _ := newChild(t, "stubborn", nil)
	start(t, c)
	c.Kill()
	if err := c.Wait(); err != nil {
		t.Errorf("Wait = %v", err)
	}
}

func TestAGrandchildGoesWithItsGroup(t *testing.T) {
	rec := newRecorder()
	c, _ := newChild(t, "grandchild", func(cfg *child.Config) { cfg.Stdout = rec.read })
	start(t, c)
	if err := c.Stop(within(t)); err != nil { // returns only when stdout has ended
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"started", lastLine}, rec.lines); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
}

func TestAConsumerThatFailsEndsTheChild(t *testing.T) {
	broken := errors.New("disk full")
	c, _ := newChild(t, "serve", func(cfg *child.Config) {
		cfg.Stdout = func(r io.Reader) error {
			_, err := r.Read(make([]byte, 1))
			return errors.Join(err, broken)
		}
	})
	started := c.Start(within(t)) // it may be ready before it fails, or not
	err := c.Wait()
	if !errors.Is(err, broken) || (started != nil && !errors.Is(started, broken)) {
		t.Errorf("Start = %v, Wait = %v", started, err)
	}
}

func TestDrainLetsWorkFinishAndMetricsBeRead(t *testing.T) {
	rec := newRecorder()
	c, base := newChild(t, "serve", func(cfg *child.Config) { cfg.Stdout = rec.read })
	start(t, c)
	rolled := make(chan string, 1)
	go func() {
		resp, err := http.Get(base + "/roll")
		if err != nil {
			rolled <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		rolled <- string(b)
	}()
	rec.until(t, "the roll", func() bool { return slices.Contains(rec.lines, "rolling") })
	drained := make(chan error, 1)
	go func() { drained <- c.Drain(within(t)) }()
	deadline := time.Now().Add(patience)
	for body := ""; body != "draining\n"; _, body = get(t, base+"/readyz") {
		if time.Now().After(deadline) {
			t.Fatalf("/readyz = %q", body)
		}
	}
	if status, body := get(t, base+"/roll"); status != http.StatusServiceUnavailable {
		t.Errorf("new work while draining = %d %q", status, body)
	}
	select {
	case err := <-drained:
		t.Fatalf("Drain = %v while a roll is under way", err)
	default:
	}
	get(t, base+"/healthz") // lets the roll go on
	if err := <-drained; err != nil {
		t.Errorf("Drain = %v", err)
	}
	if got := <-rolled; got != "6" {
		t.Errorf("the roll under way = %q", got)
	}
	if status, body := get(t, base+"/metrics"); status != http.StatusOK || body != "rolls_total 1\n" {
		t.Errorf("/metrics of a drained service = %d %q", status, body)
	}
	if err := c.Stop(within(t)); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestDrainOfWhatDoesNotEnd(t *testing.T) {
	rec := newRecorder()
	c, base := newChild(t, "serve", func(cfg *child.Config) { cfg.Stdout = rec.read })
	start(t, c)
	rolled := make(chan error, 1)
	go func() {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(base + "/roll")
		if err == nil {
			err = resp.Body.Close()
		}
		rolled <- err
	}()
	rec.until(t, "the roll", func() bool { return slices.Contains(rec.lines, "rolling") })
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		deadline := time.Now().Add(patience)
		for body := ""; body != "draining\n" && time.Now().Before(deadline); _, body = get(t, base+"/readyz") {
		}
		cancel(errors.New("no more time"))
	}()
	if got := fmt.Sprint(c.Drain(ctx)); !strings.HasPrefix(got, "no more time: ") {
		t.Errorf("Drain = %q", got)
	}
	c.Kill()
	if err := c.Wait(); err != nil {
		t.Errorf("Wait = %v", err)
	}
	if err := <-rolled; err == nil {
		t.Error("the roll was answered by a killed service")
	}
}

func TestDrainOfWhatDoesNotRun(t *testing.T) {
	c, _ := newChild(t, "crash", nil)
	if err := c.Start(within(t)); err == nil {
		t.Fatal("it started")
	}
	if err := c.Drain(within(t)); err != nil {
		t.Errorf("Drain = %v", err)
	}
}

// No orphan is left when the lab is killed with -9, whether it heeds that its
// stdin closes or not.
func TestKilledParentLeavesNoOrphan(t *testing.T) {
	dir := t.TempDir()
	var locks []string
	for i := range orphans() {
		locks = append(locks, filepath.Join(dir, fmt.Sprint(i)))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envRole+"=parent", envLocks+"="+strings.Join(locks, ","))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len("up\n"))
	if _, err := io.ReadFull(out, first); err != nil || string(first) != "up\n" {
		t.Fatalf("the parent said %q, %v", first, err)
	}
	for _, lock := range locks {
		if free(t, lock) {
			t.Fatalf("no child holds %s", lock)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	_ = cmd.Wait() // "signal: killed"
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for left := len(locks); left > 0; <-tick.C {
		for i, lock := range locks {
			if lock == "" || !free(t, lock) {
				continue
			}
			t.Logf("%s: gone after %v", orphans()[i].name, time.Since(killed).Round(time.Millisecond))
			locks[i] = ""
			left--
		}
		if time.Since(killed) > patience {
			t.Fatalf("%d children outlive their parent", left)
		}
	}
}

// free reports whether no process holds the lock. A lock ends with its process, even if the process
// is not reaped.
func free(t *testing.T, path string) bool {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	good := func() child.Config { return config("serve", listen(t), nil) }
	for _, tt := range []struct {
		name   string
		change func(*child.Config)
		want   string
	}{
		{"name", func(c *child.Config) { c.Name = "" }, `configuring child "": its name is missing`},
		{"path", func(c *child.Config) { c.Path = "" }, `configuring child "dice-roller": its path is missing`},
		{"ready URL", func(c *child.Config) { c.ReadyURL = "/readyz" }, `configuring child "dice-roller": ready URL "/readyz" is not absolute`},
		{"stdout", func(c *child.Config) { c.Stdout = nil }, `configuring child "dice-roller": no reader of its stdout`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good()
			tt.change(&cfg)
			_, err := child.New(cfg)
			if got := fmt.Sprint(err); got != tt.want {
				t.Errorf("New = %q, want %q", got, tt.want)
			}
			if err := cfg.Listener.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the listener was left open: %v", err)
			}
		})
	}
}

func TestStopBeforeStart(t *testing.T) {
	c, base := newChild(t, "serve", nil)
	if err := c.Stop(within(t)); err != nil {
		t.Error(err)
	}
	l, err := net.Listen("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	l.Close()
}
