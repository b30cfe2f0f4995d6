package otlp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"dicelab/internal/contract"
	"dicelab/internal/embedded/intake"
	"dicelab/internal/embedded/otlp"
	"dicelab/internal/web"
)

// serve serves OTLP/gRPC and returns its address.
func serve(t *testing.T, s otlp.Spans, opts otlp.Options) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := web.NewHTTP2Server(ln, otlp.New(s, opts).GRPC())
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// announce begins n calls on one connection. Each announces a message of 16 MiB, and ten
// bytes of it arrive.
func announce(t *testing.T, addr string, n int) {
	t.Helper()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: &protocols}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		for range n {
			<-ended
		}
		client.CloseIdleConnections()
	})
	for range n {
		body, w := io.Pipe()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+coltracepb.TraceService_Export_FullMethodName, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/grpc")
		go func() {
			defer func() { ended <- struct{}{} }()
			if res, err := client.Do(req); err == nil { // it ends with the test
				_ = res.Body.Close()
			}
		}()
		if _, err := w.Write(append([]byte{0, 1, 0, 0, 0}, make([]byte, 10)...)); err != nil {
			t.Fatal(err)
		}
	}
}

// Exports that are announced and do not arrive do not lock out other senders.
func TestSilentStreams(t *testing.T) {
	conn := connect(t, &fakeStore{}, otlp.Options{Budget: intake.NewBudget(4 << 20), Receive: time.Hour})
	for range 4 {
		announce(t, conn.Target(), 100)
	}
	for range 20 {
		if _, err := coltracepb.NewTraceServiceClient(conn).Export(t.Context(), &coltracepb.ExportTraceServiceRequest{ResourceSpans: exampleSpans()}); err != nil {
			t.Fatal(err)
		}
	}
}

// If others have reserved everything that they may, the lab's own exports are accepted.
func TestOwnServicesHaveAReserve(t *testing.T) {
	budget := intake.NewBudget(1 << 20)
	client := dial(t, &fakeStore{}, otlp.Options{Budget: budget, OwnKey: "secret"})
	if err := budget.Reserve(false).Resize(1<<20 - 1<<16); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]codes.Code{"secret": codes.OK, "guessed": codes.Unavailable, "": codes.Unavailable} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), contract.HeaderOwnKey, key)
		if _, err := client.Export(ctx, &coltracepb.ExportTraceServiceRequest{ResourceSpans: exampleSpans()}); status.Code(err) != want {
			t.Errorf("with the key %q: %v, want %v", key, err, want)
		}
	}
}
