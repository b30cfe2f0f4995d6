// Package embeddedtest runs an embedded stack for the length of a test, behind HTTP
// as the lab serves it.
package embeddedtest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"

	"dicelab/internal/embedded"
	"dicelab/internal/web"
)

// Stack holds the base URLs of a stack: of OTLP over HTTP and of the three query APIs.
type Stack struct {
	OTLP, Prometheus, Tempo, Loki string
	// ReadLog stores the lines that a service writes; see [embedded.Stack.ReadLog].
	ReadLog func(service string, r io.Reader) error
}

// Start opens a stack in o.Dir, or in a directory of the test's own if there is none,
// and serves it until the test ends.
func Start(t testing.TB, o embedded.Options) Stack {
	t.Helper()
	stack, _ := StartGRPC(t, o)
	return stack
}

// StartGRPC is Start that returns the address of OTLP over gRPC besides.
func StartGRPC(t testing.TB, o embedded.Options) (at Stack, grpc string) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	stack := embedded.New(o)
	open := func(open, stop func(context.Context) error) {
		t.Helper()
		if err := open(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	open(stack.OpenStore, stack.CloseStore)
	open(stack.OpenMetrics, stack.CloseMetrics)
	serve := func(h http.Handler) string {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		return server.URL
	}
	l, err := web.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := web.NewHTTP2Server(l, stack.GRPC())
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return Stack{serve(stack.Receiver()), serve(stack.Prometheus()), serve(stack.Tempo()), serve(stack.Loki()), stack.ReadLog}, l.Addr().String()
}

// EngineGoroutines are options of goleak that leave out the goroutines which the
// store's engine starts when the program starts, or once afterwards, and never ends.
func EngineGoroutines() []goleak.Option {
	const metrics, logs = "github.com/VictoriaMetrics/VictoriaMetrics/lib/", "github.com/VictoriaMetrics/VictoriaLogs/lib/"
	var options []goleak.Option
	for _, name := range []string{
		metrics + "fasttime.init.0.func1", metrics + "timeutil.init.0.func1", metrics + "bytesutil.newInternStringMap.func1",
		metrics + "blockcache.(*Cache).cleaner", metrics + "logger.newLogThrottler.func1",
		logs + "logstorage.init.0.func1", "github.com/VictoriaMetrics/metrics.summariesSwapCron",
	} {
		options = append(options, goleak.IgnoreAnyFunction(name))
	}
	return options
}
