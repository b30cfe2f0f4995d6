// Package pockettest runs an embedded stack for the length of a test, behind HTTP
// as the lab serves it.
package pockettest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"dicelab/internal/pocket"
)

// Stack is where a stack is reached: base URLs of OTLP over HTTP and of the three
// query APIs.
type Stack struct {
	OTLP, Prometheus, Tempo, Loki string
}

// Start opens a stack in a directory of the test's own and serves it until the
// test ends.
func Start(t testing.TB, o pocket.Options) Stack {
	t.Helper()
	o.Dir = t.TempDir()
	stack := pocket.New(o)
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
	return Stack{serve(stack.Receiver()), serve(stack.Prometheus()), serve(stack.Tempo()), serve(stack.Loki())}
}
