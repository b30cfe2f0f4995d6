package embedded_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"dicelab/internal/embedded"
	"dicelab/internal/embedded/embeddedtest"
	"dicelab/internal/embedded/store"
	"dicelab/internal/web"
)

// stackDir names the data directory in which a copy of this test serves the
// store's part of the stack, until its standard input ends or it is killed.
const stackDir = "DICELAB_TEST_STACK_DIR"

// stackMetrics is set if the copy serves the metrics' part, too.
const stackMetrics = "DICELAB_TEST_STACK_METRICS"

func TestMain(m *testing.M) {
	if dir := os.Getenv(stackDir); dir != "" {
		if err := serveStack(dir, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m, embeddedtest.EngineGoroutines()...)
}

// addresses are the addresses that a stack prints when it serves.
type addresses struct{ OTLP, GRPC, Tempo, Loki, Prometheus string }

// serveStack serves until commands ends. A command is a line: "limit N" bounds the size of
// files to N bytes, or lifts the bound if N is 0; "memory" asks for the number of bytes that
// the Go runtime has from the system. Each is answered with a line.
func serveStack(dir string, commands io.Reader, out io.Writer) error {
	// A write beyond the bound is an error then, as on a full disk, and not the end
	// of the process.
	signal.Ignore(syscall.SIGXFSZ)
	ctx := context.Background()
	stack := embedded.New(embedded.Options{Dir: dir, Store: store.Options{Fail: func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}}})
	if err := stack.OpenStore(ctx); err != nil {
		return err
	}
	prometheus := http.NotFoundHandler()
	if os.Getenv(stackMetrics) != "" {
		if err := stack.OpenMetrics(ctx); err != nil {
			return err
		}
		prometheus = stack.Prometheus()
	}
	at, stop, err := listen(ctx, stack, prometheus)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(at); err != nil {
		return err
	}
	for scanner := bufio.NewScanner(commands); scanner.Scan(); {
		answer, err := command(scanner.Text())
		if err != nil {
			return err
		}
		fmt.Fprintln(out, answer)
	}
	return errors.Join(stop(), stack.CloseStore(ctx))
}

func command(text string) (answer uint64, err error) {
	name, number, _ := strings.Cut(text, " ")
	if name == "memory" {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.Sys, nil
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return 0, err
	}
	if _, err := fmt.Sscan(number, &limit.Cur); err != nil {
		return 0, err
	}
	if limit.Cur == 0 {
		limit.Cur = limit.Max
	}
	return limit.Cur, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
}

// listen serves the APIs of a stack on free ports.
func listen(ctx context.Context, stack *embedded.Stack, prometheus http.Handler) (at addresses, stop func() error, err error) {
	var stops []func() error
	stop = func() error {
		var errs []error
		for _, s := range stops {
			errs = append(errs, s())
		}
		return errors.Join(errs...)
	}
	for _, s := range []struct {
		url       *string
		prefix    string
		newServer func(net.Listener, http.Handler) *web.Server
		handler   http.Handler
	}{
		{&at.OTLP, "http://", web.NewServer, stack.Receiver()}, {&at.GRPC, "", web.NewHTTP2Server, stack.GRPC()},
		{&at.Tempo, "http://", web.NewServer, stack.Tempo()}, {&at.Loki, "http://", web.NewServer, stack.Loki()},
		{&at.Prometheus, "http://", web.NewServer, prometheus},
	} {
		l, err := web.Listen(ctx, "127.0.0.1:0")
		if err != nil {
			return at, stop, err
		}
		server := s.newServer(l, s.handler)
		*s.url = s.prefix + l.Addr().String()
		served := make(chan error, 1)
		go func() { served <- server.Serve() }()
		stops = append(stops, func() error { return errors.Join(server.Shutdown(ctx), <-served) })
	}
	return at, stop, nil
}

// child is a copy of this test that serves a stack.
type child struct {
	addresses
	t      *testing.T
	cmd    *exec.Cmd
	input  io.WriteCloser
	lines  *bufio.Scanner
	stderr bytes.Buffer

	end sync.Once
}

// startChild returns a child that serves.
func startChild(t *testing.T, dir string) *child {
	t.Helper()
	c := launch(t, dir)
	if !c.serves() {
		t.Fatalf("the child printed %q, %v: %s", c.lines.Text(), c.lines.Err(), c.stderr.String())
	}
	return c
}

func launch(t *testing.T, dir string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), stackDir+"="+dir)
	c.cmd.Stderr = &c.stderr
	var err error
	if c.input, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.lines = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	return c
}

// serves waits until the child serves, and returns false if it ends before.
func (c *child) serves() bool {
	return c.lines.Scan() && json.Unmarshal(c.lines.Bytes(), &c.addresses) == nil
}

// ask sends a command and returns the answer.
func (c *child) ask(command string) (answer uint64) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.input, command); err != nil {
		c.t.Fatal(err)
	}
	if !c.lines.Scan() {
		c.t.Fatalf("the child ended at %q: %v", command, c.lines.Err())
	}
	if _, err := fmt.Sscan(c.lines.Text(), &answer); err != nil {
		c.t.Fatal(err)
	}
	return answer
}

// stop ends the child in good order.
func (c *child) stop() {
	c.t.Helper()
	c.end.Do(func() {
		if err := errors.Join(c.input.Close(), c.cmd.Wait()); err != nil {
			c.t.Errorf("the child ended with %v: %s", err, c.stderr.String())
		}
	})
}

// wait waits until the child has ended by itself, and returns its standard error and
// its exit status.
func (c *child) wait() (stderr string, status int) {
	c.end.Do(func() { _ = c.cmd.Wait() }) // its status says how it ended
	return c.stderr.String(), c.cmd.ProcessState.ExitCode()
}

// kill ends the child as kill -9 does, at any point.
func (c *child) kill() {
	c.end.Do(func() {
		_ = c.cmd.Process.Kill() // it may have ended
		_ = c.cmd.Wait()         // says that it was killed
	})
}
