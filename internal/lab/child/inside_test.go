package child_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dicelab/internal/lab/child"
)

func none(string) string { return "" }

func TestWatchWithoutALab(t *testing.T) {
	ctx := t.Context()
	got, gate := child.Watch(ctx, none, strings.NewReader("")) // stdin is </dev/null
	if got != ctx || got.Err() != nil {
		t.Errorf("the context was changed: %v", got.Err())
	}
	if code := status(gate, "/roll"); code != http.StatusOK {
		t.Errorf("/roll = %d", code)
	}
}

func TestWatchRefusesAnUnknownOrder(t *testing.T) {
	in, orders := io.Pipe()
	ctx, _ := child.Watch(t.Context(), func(string) string { return "1" }, in)
	if _, err := io.WriteString(orders, "dance\n"); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if got, want := fmt.Sprint(context.Cause(ctx)), `reading orders: "dance" is none; this program and the lab differ in version`; got != want {
		t.Errorf("cause = %q, want %q", got, want)
	}
}

func TestListen(t *testing.T) {
	t.Run("without a lab", func(t *testing.T) {
		l, err := child.Listen(t.Context(), none, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if port := l.Addr().(*net.TCPAddr).Port; port == 0 {
			t.Error("the port is 0")
		}
	})
	for _, tt := range []struct{ name, value, want string }{
		{"not a number", "x", `taking over the listener: DICELAB_LISTEN_FD="x" is not a descriptor`},
		{"negative", "-1", `taking over the listener: DICELAB_LISTEN_FD="-1" is not a descriptor`},
		{"not open", "60000", "taking over the listener: descriptor 60000 of DICELAB_LISTEN_FD: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := child.Listen(t.Context(), func(string) string { return tt.value }, "127.0.0.1:0")
			if got := fmt.Sprint(err); !strings.HasPrefix(got, tt.want) {
				t.Errorf("Listen = %q, want %q…", got, tt.want)
			}
		})
	}
}

func status(gate *child.Gate, path string) int {
	rec := httptest.NewRecorder()
	gate.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	return rec.Code
}

func TestGate(t *testing.T) {
	for _, tt := range []struct {
		path         string
		open, closed int
	}{
		{"/roll", 200, 503},
		{"/", 200, 503},
		{"/readyz", 200, 503},
		{"/healthz", 200, 200},
		{"/metrics", 200, 200},
	} {
		t.Run(tt.path, func(t *testing.T) {
			gate := &child.Gate{}
			if got := status(gate, tt.path); got != tt.open {
				t.Errorf("open: %d, want %d", got, tt.open)
			}
			gate.Close()
			if got := status(gate, tt.path); got != tt.closed {
				t.Errorf("closed: %d, want %d", got, tt.closed)
			}
		})
	}
}
