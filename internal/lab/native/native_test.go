package native_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"dicelab/internal/lab"
	"dicelab/internal/lab/child"
	"dicelab/internal/lab/native"
	"dicelab/stack"
)

// The test binary is also the guard, and the server that it guards.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "guard":
			os.Exit(guard(os.Args[2:]))
		case "server":
			os.Exit(server())
		}
	}
	goleak.VerifyTestMain(m)
}

func guard(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, _ = child.Watch(ctx, os.Getenv, os.Stdin)
	self, err := os.Executable()
	if err != nil {
		return 1
	}
	// args[0] is the "binary" of the component; its name alone matters here.
	env := append(os.Environ(), "FAKE="+args[0], "GORACE=atexit_sleep_ms=0")
	status, err := child.Guard(ctx, env, os.Stdout, os.Stderr, self, "server")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// server plays any of the five: at the first address of its component it answers
// every path with 200 and what answer says; "broken" says why it does not start.
func server() int {
	name := os.Getenv("FAKE")
	fmt.Fprintln(os.Stderr, "level=info msg=starting")
	if name == "broken" {
		fmt.Fprintln(os.Stderr, "level=error msg=\"parsing config: line 3\"\nUsage of server:\n  -h help")
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	at := map[string]string{
		native.Prometheus: "PROMETHEUS", native.Tempo: "TEMPO", stack.Collector: "COLLECTOR_METRICS",
		native.Loki: "LOKI", native.Alloy: "ALLOY",
	}[name]
	l, err := net.Listen("tcp", os.Getenv("DICELAB_"+at+"_ADDR"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var asked atomic.Int64
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == os.Getenv("FAKE_PATH") {
			io.WriteString(w, os.Getenv(fmt.Sprintf("FAKE_ANSWER_%d", min(asked.Add(1), 2))))
		}
	})}
	if name == stack.Collector { // its readiness has an address of its own
		ready, err := net.Listen("tcp", os.Getenv("DICELAB_COLLECTOR_HEALTH_ADDR"))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		go func() { _ = http.Serve(ready, s.Handler) }()
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	<-ctx.Done()
	_ = s.Shutdown(context.Background())
	<-served
	return 0
}

func listeners(t *testing.T) map[string]*net.TCPListener {
	t.Helper()
	out := map[string]*net.TCPListener{}
	for _, p := range native.Places() {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() }) // the stack closes it, too
		out[p.Name] = l
	}
	return out
}

// programs returns the names of the components: the guard alone looks at them.
func programs() map[string]string {
	out := map[string]string{}
	for _, c := range stack.Components() {
		out[c.Name] = c.Name
	}
	return out
}

func options(t *testing.T) native.Options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	configs := fstest.MapFS{}
	for _, name := range []string{native.Prometheus, native.Tempo, stack.Collector, native.Loki, native.Alloy} {
		configs[name+"/config.yml"] = &fstest.MapFile{Data: []byte("of " + name)}
	}
	return native.Options{
		Dir: t.TempDir(), Configs: configs, Listeners: listeners(t), Guard: []string{self, "guard"},
		// By default the race detector's runtime sleeps a second before each exit.
		Env:      append(os.Environ(), "GORACE=atexit_sleep_ms=0"),
		Targets:  []native.Target{{Job: "dice-roller", Address: "127.0.0.1:8101"}},
		Programs: programs(),
	}
}

func TestNewPreparesTheDirectories(t *testing.T) {
	o := options(t)
	stale := filepath.Join(o.Dir, "loki", "config", "old.yml")
	if err := errors.Join(os.MkdirAll(filepath.Dir(stale), 0o700), os.WriteFile(stale, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	s, err := native.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"config.yml": "of loki"}, read(t, filepath.Join(o.Dir, "loki", "config"))); diff != "" {
		t.Errorf("Loki's configuration (-want +got):\n%s", diff)
	}
	want := map[string]string{"dice-roller.json": `[{"targets":["127.0.0.1:8101"]}]`}
	if diff := cmp.Diff(want, read(t, filepath.Join(o.Dir, "prometheus", "config", "targets"))); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*native.Options)
		want   string
		code   int
	}{
		{name: "no program", code: lab.ExitFailed, change: func(o *native.Options) { delete(o.Programs, native.Loki) },
			want: "preparing the stack: no program of loki is given"},
		{name: "no listener", code: lab.ExitFailed, change: func(o *native.Options) { delete(o.Listeners, native.LokiGRPC) },
			want: "preparing the stack: no listener for Loki's gRPC (loki-grpc)"},
		{name: "no guard", code: lab.ExitFailed, change: func(o *native.Options) { o.Guard = nil },
			want: "preparing the stack: there is no guard to run the servers behind"},
		{name: "no configuration", code: lab.ExitFailed, change: func(o *native.Options) { o.Configs = fstest.MapFS{} },
			want: "preparing prometheus: its folder prometheus is missing among the configurations"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t)
			tt.change(&o)
			_, err := native.New(o)
			if got := fmt.Sprint(err); got != tt.want || lab.ExitCode(err) != tt.code {
				t.Errorf("New = %q, exit code %d\nwant  %q, exit code %d", got, lab.ExitCode(err), tt.want, tt.code)
			}
		})
	}
}

func TestEnv(t *testing.T) {
	got := native.Env(map[string]string{
		native.Tempo: "127.0.0.1:3200", native.LokiGRPC: "0.0.0.0:9097", native.Loki: "[::1]:3100",
	}, "/data/services")
	want := []string{
		"DICELAB_LOGS=/data/services",
		"DICELAB_TEMPO_HOST=127.0.0.1", "DICELAB_TEMPO_PORT=3200", "DICELAB_TEMPO_ADDR=127.0.0.1:3200",
		"DICELAB_LOKI_HOST=[::1]", "DICELAB_LOKI_PORT=3100", "DICELAB_LOKI_ADDR=[::1]:3100",
		"DICELAB_LOKI_GRPC_HOST=0.0.0.0", "DICELAB_LOKI_GRPC_PORT=9097", "DICELAB_LOKI_GRPC_ADDR=127.0.0.1:9097",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

// Every port of the stack's table has a place of its own, and every server a way
// to be started.
func TestPlaces(t *testing.T) {
	var want, got []string
	for _, c := range stack.Components() {
		for _, p := range c.Ports {
			want = append(want, p.Number)
		}
	}
	names := map[string]bool{}
	for _, p := range native.Places() {
		got = append(got, p.Port)
		if p.Name == "" || names[p.Name] || p.Owner == "" {
			t.Errorf("place %+v has no name of its own", p)
		}
		names[p.Name] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ports (-table +places):\n%s", diff)
	}
	s, err := native.New(options(t))
	if err != nil {
		t.Fatal(err)
	}
	parts, err := s.Parts()
	if err != nil {
		t.Fatal(err)
	}
	var started []string
	for _, p := range parts {
		started = append(started, p.Name)
	}
	order := []string{stack.Prometheus, stack.Tempo, stack.Collector, stack.Loki, stack.Alloy}
	if diff := cmp.Diff(order, started); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// part starts one server that plays the component.
func part(t *testing.T, o native.Options, name string) lab.Part {
	t.Helper()
	s, err := native.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	p, err := s.Part(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPart(t *testing.T) {
	o := options(t)
	p := part(t, o, native.Tempo)
	_, port, err := net.SplitHostPort(o.Listeners[native.Tempo].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "tempo" || p.URL != "http://localhost:"+port || p.Service {
		t.Errorf("part %q at %q, service %v", p.Name, p.URL, p.Service)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := p.Run(); err != nil {
		t.Errorf("Run = %v", err)
	}
	log := read(t, filepath.Join(o.Dir, "tempo", "log"))["000001.log"]
	if want := "tempo: level=info msg=starting\n"; log != want {
		t.Errorf("log %q, want %q", log, want)
	}
}

// A server, or the services, are asked to end when what they hold for others is delivered: at the
// first look it is not, at the second it is.
func TestSettling(t *testing.T) {
	target := func(scraped string) string {
		return `{"status":"success","data":{"activeTargets":[{"labels":{"job":"dice-roller"},"health":"up","lastScrape":"` + scraped + `"}]}}`
	}
	for _, tt := range []struct {
		name, component, path string
		first, second         string
		late                  string // the error where the second look never comes
	}{
		{name: "spans", component: stack.Collector, path: "/metrics",
			first: "otelcol_exporter_queue_size 3\n", second: "otelcol_exporter_queue_size 0\n",
			late: "3 batches of spans wait in the Collector for Tempo; they are sent at the next start"},
		{name: "unread lines", component: stack.Alloy, path: "/metrics",
			first:  "loki_source_file_read_lines_total 1\nloki_write_sent_entries_total 1\n",
			second: "loki_source_file_read_lines_total 2\nloki_write_sent_entries_total 2\n",
			late:   "of the services' lines 1 are unread by Alloy and 0 unsent; they are sent at the next start"},
		{name: "unsent lines", component: stack.Alloy, path: "/metrics",
			first:  "loki_source_file_read_lines_total 2\n",
			second: "loki_source_file_read_lines_total 2\nloki_write_sent_entries_total 1\nloki_write_dropped_entries_total 1\n",
			late:   "of the services' lines 0 are unread by Alloy and 2 unsent; they are sent at the next start"},
		{name: "the last scrape", component: stack.Prometheus, path: "/api/v1/targets",
			first: target("2000-01-01T00:00:00Z"), second: target("2100-01-01T00:00:00Z"),
			late: "dice-roller was not scraped once more"},
	} {
		for _, never := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, never %v", tt.name, never), func(t *testing.T) {
				t.Parallel() // it waits for what never comes
				o := options(t)
				second := tt.second
				if never {
					second = tt.first
				}
				o.Env = append(o.Env, "FAKE_PATH="+tt.path, "FAKE_ANSWER_1="+tt.first, "FAKE_ANSWER_2="+second)
				s, err := native.New(o)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				p, err := s.Part(tt.component)
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := s.Spool().Read("dice-roller", strings.NewReader("a\nb\n")); err != nil {
					t.Fatal(err)
				}
				step := p.Stop
				if p.Collect != nil {
					defer func() {
						if err := p.Stop(context.Background()); err != nil {
							t.Error(err)
						}
					}()
					step = p.Collect
				}
				err = step(context.Background())
				if !never && err != nil {
					t.Errorf("it was delivered, but: %v", err)
				}
				if want := "waited 5s, but " + tt.late; never && fmt.Sprint(err) != want {
					t.Errorf("%v\nwant %s", err, want)
				}
			})
		}
	}
}

func TestPartThatDoesNotStart(t *testing.T) {
	o := options(t)
	o.Programs[native.Loki] = "broken"
	err := part(t, o, native.Loki).Start(t.Context())
	want := "loki ended (exit status 1); its last lines:\n  level=error msg=\"parsing config: line 3\""
	if got := fmt.Sprint(err); got != want {
		t.Errorf("Start = %q\nwant    %q", got, want)
	}
}

func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		name        string
		lines, want []string
	}{
		{name: "no output"},
		{name: "no alarm", lines: []string{"a", "b", "", "c", "d"}, want: []string{"b", "c", "d"}},
		{name: "the alarms alone", lines: []string{"level=info a", "Error: bad", "  usage"}, want: []string{"Error: bad"}},
		{name: "warnings are no alarm", lines: []string{"level=warn a failed", "fatal: b", "level=info error"}, want: []string{"fatal: b"}},
		{name: "the last alarms", lines: []string{"error 1", "error 2", "error 3", "error 4"}, want: []string{"error 2", "error 3", "error 4"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := native.Explain(&child.EndedError{Name: "loki", Reason: errors.New("exit status 1"), Lines: tt.lines})
			ended, ok := errors.AsType[*child.EndedError](err)
			if !ok {
				t.Fatalf("Explain = %v", err)
			}
			if diff := cmp.Diff(tt.want, ended.Lines); diff != "" && len(tt.want)+len(ended.Lines) > 0 {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
	if err := native.Explain(context.Canceled); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "lines") {
		t.Errorf("another error became %v", err)
	}
}
