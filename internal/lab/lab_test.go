package lab_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"dicelab/internal/lab"
	"dicelab/internal/lab/child"
)

// fake returns a part that notes what is done with it and runs until it is stopped.
// Functions that fail are put around it by the tests.
func fake(j *journal, name string, service bool) lab.Part {
	note := func(what string) func(context.Context) error {
		return func(context.Context) error { j.add(what + " " + name); return nil }
	}
	stopped := make(chan struct{})
	p := lab.Part{
		Name: name, Service: service,
		Start: note("start"),
		Run:   func() error { <-stopped; return nil },
		Stop:  func(context.Context) error { j.add("stop " + name); close(stopped); return nil },
		Kill:  func() { j.add("kill " + name); close(stopped) },
	}
	if service {
		p.Drain = note("drain")
	} else {
		p.Collect = note("collect")
	}
	return p
}

// Places in whole.
const (
	store = iota
	prometheus
	roller
	frontend
	explorer
)

func whole(j *journal) []lab.Part {
	return []lab.Part{
		store:      fake(j, "store", false),
		prometheus: fake(j, "prometheus", false),
		roller:     fake(j, "dice-roller", true),
		frontend:   fake(j, "streamlit-frontend", true),
		explorer:   fake(j, "explorer", false),
	}
}

func startOrder() []string {
	return []string{"start store", "start prometheus", "start dice-roller", "start streamlit-frontend", "start explorer"}
}

func stopOrder() []string {
	return []string{
		"drain streamlit-frontend", "drain dice-roller",
		"collect explorer", "collect prometheus", "collect store",
		"stop streamlit-frontend", "stop dice-roller", "stop explorer", "stop prometheus", "stop store",
	}
}

var errBroken = errors.New("broken")

// after makes a function of a part fail once it has done its work.
func after(f func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error { return errors.Join(f(ctx), errBroken) }
}

func TestOrder(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(cancel func(), signals chan<- os.Signal)
	}{
		{"interrupted", func(_ func(), signals chan<- os.Signal) { signals <- os.Interrupt }},
		{"terminated", func(_ func(), signals chan<- os.Signal) { signals <- syscall.SIGTERM }},
		{"context ended", func(cancel func(), _ chan<- os.Signal) { cancel() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := &journal{}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			signals := make(chan os.Signal, 1)
			l := lab.Lab{Parts: whole(j), Opened: func() { j.add("opened"); tt.end(cancel, signals) }}
			if err := l.Run(ctx, signals); err != nil {
				t.Errorf("Run = %v", err)
			}
			want := slices.Concat(startOrder(), []string{"opened"}, stopOrder())
			if diff := cmp.Diff(want, j.all()); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPartThatDoesNotStart(t *testing.T) {
	j := &journal{}
	parts := whole(j)
	parts[roller].Start = func(context.Context) error { return errBroken }
	l := lab.Lab{Parts: parts}
	if err := l.Run(t.Context(), nil); !errors.Is(err, errBroken) || err.Error() != "broken" {
		t.Errorf("Run = %v", err)
	}
	want := []string{"start store", "start prometheus", "collect prometheus", "collect store", "stop prometheus", "stop store"}
	if diff := cmp.Diff(want, j.all()); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestAPartThatEndsByItself(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"with an error", errBroken, "running prometheus: broken"},
		{"with a context's error", context.Canceled, "running prometheus: context canceled"},
		{"without an error", nil, "prometheus ended without being asked to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := &journal{}
			parts := whole(j)
			opened := make(chan struct{})
			parts[prometheus].Run = func() error { <-opened; return tt.err }
			l := lab.Lab{Parts: parts, Opened: func() { close(opened) }}
			err := l.Run(t.Context(), nil)
			if got := fmt.Sprint(err); got != tt.want {
				t.Errorf("Run = %q, want %q", got, tt.want)
			}
			if code := lab.ExitCode(err); code != lab.ExitFailed {
				t.Errorf("exit code %d", code)
			}
			if diff := cmp.Diff(slices.Concat(startOrder(), stopOrder()), j.all()); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryErrorOfStoppingIsTold(t *testing.T) {
	j := &journal{}
	parts := whole(j)
	parts[frontend].Drain = after(parts[frontend].Drain)
	parts[prometheus].Collect = after(parts[prometheus].Collect)
	parts[explorer].Stop = after(parts[explorer].Stop)
	run := parts[store].Run
	parts[store].Run = func() error { return errors.Join(run(), errBroken) }
	signals := make(chan os.Signal, 1)
	l := lab.Lab{Parts: parts, Opened: func() { signals <- os.Interrupt }}
	want := "draining streamlit-frontend: broken\nreading the last values for prometheus: broken\n" +
		"stopping explorer: broken\nstopping store: broken"
	if got := fmt.Sprint(l.Run(t.Context(), signals)); got != want {
		t.Errorf("Run = %q\nwant  %q", got, want)
	}
	if diff := cmp.Diff(slices.Concat(startOrder(), stopOrder()), j.all()); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestAStepThatHangsIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		parts := whole(j)
		hang := make(chan struct{})
		defer close(hang)
		parts[frontend].Drain = func(context.Context) error { <-hang; return nil } // heeds nothing
		parts[roller].Drain = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		signals := make(chan os.Signal, 1)
		l := lab.Lab{Parts: parts, Grace: 3 * time.Second, Opened: func() { signals <- os.Interrupt }}
		want := "draining streamlit-frontend: not done within 3s\ndraining dice-roller: context deadline exceeded"
		if got := fmt.Sprint(l.Run(t.Context(), signals)); got != want {
			t.Errorf("Run = %q\nwant  %q", got, want)
		}
		if diff := cmp.Diff(slices.Concat(startOrder(), stopOrder()[2:]), j.all()); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestInterruptedWhileStarting(t *testing.T) {
	j := &journal{}
	parts := whole(j)
	signals := make(chan os.Signal, 1)
	parts[prometheus].Start = func(ctx context.Context) error {
		signals <- os.Interrupt
		<-ctx.Done()
		return ctx.Err()
	}
	l := lab.Lab{Parts: parts}
	if err := l.Run(t.Context(), signals); err != nil {
		t.Errorf("Run = %v", err)
	}
	if diff := cmp.Diff([]string{"start store", "collect store", "stop store"}, j.all()); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestTheSecondSignalKills(t *testing.T) {
	for _, tt := range []struct {
		name string
		hang func(parts []lab.Part, signals chan<- os.Signal)
		want []string
	}{
		{name: "while stopping",
			hang: func(parts []lab.Part, signals chan<- os.Signal) {
				parts[roller].Drain = func(ctx context.Context) error { signals <- os.Interrupt; <-ctx.Done(); return nil }
			},
			want: append(startOrder(), "drain streamlit-frontend",
				"kill store", "kill prometheus", "kill dice-roller", "kill streamlit-frontend", "kill explorer")},
		{name: "while starting",
			hang: func(parts []lab.Part, signals chan<- os.Signal) {
				stuck := parts[prometheus].Run
				parts[prometheus].Start = func(context.Context) error {
					signals <- os.Interrupt
					signals <- os.Interrupt
					return stuck() // until it is killed
				}
			},
			want: []string{"start store", "kill prometheus", "kill store"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := &journal{}
				parts := whole(j)
				signals := make(chan os.Signal)
				tt.hang(parts, signals)
				l := lab.Lab{Parts: parts, Opened: func() { signals <- os.Interrupt }}
				since := time.Now()
				if err := l.Run(t.Context(), signals); !errors.Is(err, lab.ErrKilled) || err.Error() != lab.ErrKilled.Error() {
					t.Errorf("Run = %v", err)
				}
				if waited := time.Since(since); waited != 0 { // of the bubble's clock
					t.Errorf("it took %v", waited)
				}
				if diff := cmp.Diff(tt.want, j.all()); diff != "" {
					t.Errorf("order (-want +got):\n%s", diff)
				}
				time.Sleep(lab.DefaultGrace) // the bubble's clock: what was left behind ends
			})
		})
	}
}

func TestSignals(t *testing.T) {
	signals, stop := lab.Signals()
	defer stop()
	for _, want := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if err := syscall.Kill(os.Getpid(), want); err != nil {
			t.Fatal(err)
		}
		if got := <-signals; got != want {
			t.Errorf("received %v, sent %v", got, want)
		}
	}
}

// service returns a real child process of a lab, and its base URL.
func service(t *testing.T, name string, j *journal, report *lab.Report, policy child.Policy) (lab.Part, *child.Child) {
	t.Helper()
	listeners, err := lab.Listen(t.Context(), lab.Address{Name: name, Addr: "127.0.0.1:0", Owner: name, Flag: "--addr"})
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + listeners[name].Addr().String()
	c, err := child.New(child.Config{
		Name: name, Path: self, Listener: listeners[name], ReadyURL: base + "/readyz",
		// By default the race detector's runtime sleeps a second before each exit.
		Env: lab.Environ(append(os.Environ(), envRole+"=serve", "GORACE=atexit_sleep_ms=0"), name, lab.OTLP{}),
		Stdout: func(r io.Reader) error {
			s := bufio.NewScanner(r)
			for s.Scan() {
				j.add(s.Text())
			}
			return s.Err()
		},
		Notify: report.Children(), Policy: policy,
	})
	if err != nil {
		t.Fatal(err)
	}
	return lab.ServicePart(name, base, c), c
}

// The whole way with real processes: both are up, one is killed and comes back,
// the last scrape finds both drained but answering, their last lines arrive
// before the store closes.
func TestServices(t *testing.T) {
	j, out := &journal{}, newOutput()
	report := lab.NewReport(out, false)
	roller, rollerChild := service(t, "dice-roller", j, report, child.Policy{})
	frontend, _ := service(t, "streamlit-frontend", j, report, child.Policy{})
	store := fake(j, "store", false)
	store.Collect = func(ctx context.Context) error {
		for _, p := range []lab.Part{roller, frontend} {
			j.add(p.Name + " /readyz " + get(t, p.URL+"/readyz"))
			j.add(p.Name + " /metrics " + get(t, p.URL+"/metrics"))
		}
		return nil
	}
	signals := make(chan os.Signal, 1)
	result := make(chan error, 1)
	l := lab.Lab{Parts: []lab.Part{store, roller, frontend}, Report: report}
	go func() { result <- l.Run(t.Context(), signals) }()
	out.until(t, "Ctrl-C stops; again kills.")
	if err := syscall.Kill(rollerChild.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	out.until(t, "dice-roller ended (signal: killed); restarting in 100 ms\n")
	out.until(t, "dice-roller ready again (pid ")
	signals <- os.Interrupt
	if err := <-result; err != nil {
		t.Errorf("Run = %v", err)
	}
	want := []string{
		"start store", "dice-roller started", "streamlit-frontend started", "dice-roller started",
		"dice-roller /readyz 503 drained", "dice-roller /metrics 200 rolls_total 7",
		"streamlit-frontend /readyz 503 drained", "streamlit-frontend /metrics 200 rolls_total 7",
		"streamlit-frontend ended", "dice-roller ended", "stop store",
	}
	if diff := cmp.Diff(want, j.all()); diff != "" {
		t.Errorf("journal (-want +got):\n%s\n%s", diff, out)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get(url)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(string(b)))
}

func TestATelemetryServerThatDiesEndsTheLab(t *testing.T) {
	j := &journal{}
	tempo, c := service(t, "tempo", j, lab.NewReport(io.Discard, false), child.Once())
	tempo.Service = false
	l := lab.Lab{Parts: []lab.Part{fake(j, "store", false), tempo}, Opened: func() {
		if err := syscall.Kill(c.Pid(), syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}}
	err := l.Run(t.Context(), nil)
	want := "tempo ended (signal: killed); its last lines:\n  listening"
	if got := fmt.Sprint(err); got != want {
		t.Errorf("Run = %q\nwant  %q", got, want)
	}
	if code := lab.ExitCode(err); code != lab.ExitFailed {
		t.Errorf("exit code %d", code)
	}
}

func TestServerPart(t *testing.T) {
	listeners, err := lab.Listen(t.Context(), lab.Address{Addr: "127.0.0.1:0", Owner: "the explorer", Flag: "--explorer-addr"})
	if err != nil {
		t.Fatal(err)
	}
	p := lab.ServerPart("explorer", listeners[""], func() http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	})
	signals := make(chan os.Signal, 1)
	var answer string
	l := lab.Lab{Parts: []lab.Part{p}, Opened: func() {
		answer = get(t, strings.Replace(p.URL, "localhost", "127.0.0.1", 1))
		signals <- os.Interrupt
	}}
	if err := l.Run(t.Context(), signals); err != nil {
		t.Errorf("Run = %v", err)
	}
	if answer != "200 hello" {
		t.Errorf("answer %q", answer)
	}
}

func TestGRPCPart(t *testing.T) {
	listeners, err := lab.Listen(t.Context(), lab.Address{Addr: "127.0.0.1:0", Owner: "OTLP", Flag: "--otlp-grpc-addr"})
	if err != nil {
		t.Fatal(err)
	}
	p := lab.GRPCPart("otlp grpc", listeners[""], func() http.Handler {
		s := grpc.NewServer()
		healthpb.RegisterHealthServer(s, health.NewServer())
		return s
	})
	signals := make(chan os.Signal, 1)
	var answer string
	l := lab.Lab{Parts: []lab.Part{p}, Opened: func() {
		answer = healthOf(t, listeners[""].Addr().String())
		signals <- os.Interrupt
	}}
	if err := l.Run(t.Context(), signals); err != nil {
		t.Errorf("Run = %v", err)
	}
	if answer != "SERVING" {
		t.Errorf("answer %q", answer)
	}
}

func healthOf(t *testing.T, addr string) string {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Error(err)
		return ""
	}
	defer conn.Close()
	resp, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Error(err)
	}
	return resp.GetStatus().String()
}
