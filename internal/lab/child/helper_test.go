package child_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dicelab/internal/lab/child"
)

// The test binary is also the program that the tests run as a child: helper
// names what it does. goleak runs after all tests.
func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		os.Exit(helper(role))
	}
	goleak.VerifyTestMain(m)
}

const (
	envRole  = "DICELAB_TEST_ROLE"
	envLocks = "DICELAB_TEST_LOCKS" // files that the parent role's children lock, separated by commas
	envLock  = "DICELAB_TEST_LOCK"
	// For the role guard: the role of the guarded program, and where it listens.
	envGuarded = "DICELAB_TEST_GUARDED"
	envAddr    = "DICELAB_TEST_ADDR"

	lastLine = "last line"
)

// patience bounds every wait of a test; it measures nothing.
const patience = 30 * time.Second

func helper(role string) int {
	switch role {
	case "usage":
		fmt.Fprintln(os.Stderr, "dicelab: error: no such flag")
		return 2
	case "crash":
		fmt.Fprintln(os.Stderr, "about to crash")
		return 1
	case "parent":
		return parent()
	case "guard":
		return guard()
	default:
		return serve(role)
	}
}

// guard runs this binary as a program that knows nothing of the wire.
func guard() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, _ = child.Watch(ctx, os.Getenv, os.Stdin)
	self, err := os.Executable()
	if err != nil {
		return 1
	}
	status, err := child.Guard(ctx, append(os.Environ(), envRole+"="+os.Getenv(envGuarded)), os.Stdout, os.Stderr, self)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// serve runs a service as cmd/dicelab builds one. Roles: "serve"; "stubborn", that
// does not heed its context; "grandchild", that leaves a process behind which
// holds its stdout open; "lingering", that closes its port but does not end;
// "unready", that never becomes ready; "failing", that ends with exit status 3.
func serve(role string) int {
	if path := os.Getenv(envLock); path != "" {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil || syscall.Flock(int(f.Fd()), syscall.LOCK_EX) != nil {
			return 1
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, gate := child.Watch(ctx, os.Getenv, os.Stdin)
	addr := os.Getenv(envAddr)
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := child.Listen(ctx, os.Getenv, addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if role == "unready" {
			http.Error(w, "warming up", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "rolls_total 1") })
	mux.HandleFunc("/roll", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Println("rolling")
		<-release
		fmt.Fprint(w, "6")
	})
	mux.HandleFunc("/release", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) { close(release) })
	server := &http.Server{Handler: gate.Wrap(mux), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	fmt.Println("started")
	fmt.Fprintln(os.Stderr, "listening")
	if role == "grandchild" {
		if _, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"},
			&os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}}); err != nil {
			return 1
		}
	}
	if role == "stubborn" {
		select {}
	}
	<-ctx.Done()
	_ = server.Shutdown(context.Background())
	<-served
	if cause := context.Cause(ctx); errors.Is(cause, child.ErrParentGone) {
		return 0
	}
	if role == "lingering" {
		fmt.Println("closed")
		select {}
	}
	fmt.Print(lastLine) // without a line end, as late as can be
	if role == "failing" {
		return 3
	}
	return 0
}

// parent returns a lab that has started a child in each of the orphan roles. It says
// so and waits to be killed.
func parent() int {
	for i, lock := range strings.Split(os.Getenv(envLocks), ",") {
		o := orphans()[i]
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return 1
		}
		cfg := config(o.role, l, nil)
		cfg.Env = append(cfg.Env, envLock+"="+lock, envGuarded+"="+o.guarded)
		if o.guarded != "" { // it opens its port itself
			cfg.Env = append(cfg.Env, envAddr+"="+l.Addr().String())
			cfg.Listener = nil
			l.Close()
		}
		c, err := child.New(cfg)
		if err != nil {
			return 1
		}
		if err := c.Start(context.Background()); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	fmt.Println("up")
	select {}
}

type orphan struct{ name, role, guarded string }

func orphans() []orphan {
	return []orphan{
		{name: "heeds its context", role: "serve"},
		{name: "does not", role: "stubborn"},
		{name: "guarded, heeds SIGTERM", role: "guard", guarded: "serve"},
		{name: "guarded, does not", role: "guard", guarded: "stubborn"},
	}
}

// config runs this binary in a role.
func config(role string, l *net.TCPListener, change func(*child.Config)) child.Config {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cfg := child.Config{
		// By default the race detector's runtime sleeps a second before each exit.
		Name: "dice-roller", Path: self, Env: append(os.Environ(), envRole+"="+role, "GORACE=atexit_sleep_ms=0"),
		Listener: l, ReadyURL: "http://" + l.Addr().String() + "/readyz",
		Stdout: func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err },
		Policy: child.Policy{First: time.Millisecond, Max: 4 * time.Millisecond, Limit: 5, Window: time.Hour},
	}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// recorder collects events and lines, and lets a test wait for one.
type recorder struct {
	mu     sync.Mutex
	change chan struct{}
	events []child.Event
	lines  []string
}

func newRecorder() *recorder { return &recorder{change: make(chan struct{}, 1)} }

func (r *recorder) changed(f func()) {
	r.mu.Lock()
	f()
	r.mu.Unlock()
	select {
	case r.change <- struct{}{}:
	default:
	}
}

func (r *recorder) notify(e child.Event) { r.changed(func() { r.events = append(r.events, e) }) }

func (r *recorder) read(from io.Reader) error {
	s := bufio.NewScanner(from)
	for s.Scan() {
		r.changed(func() { r.lines = append(r.lines, s.Text()) })
	}
	return s.Err()
}

// until waits until ok, called under the lock, says yes.
func (r *recorder) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		done := ok()
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-r.change:
		case <-deadline:
			t.Fatalf("waiting for %s: not within %v; lines %q, events %v", what, patience, r.lines, r.events)
		}
	}
}
