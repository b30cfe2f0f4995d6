package main_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"dicelab/internal/contract"
	"dicelab/internal/lab"
)

const (
	refused   = "refused"
	blackHole = "black hole"
)

// nowhere returns the places for traces that lose them.
func nowhere(t *testing.T) map[string]string {
	t.Helper()
	hole, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts connections, and no program reads from them
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hole.Close(); err != nil {
			t.Error(err)
		}
	})
	return map[string]string{
		refused:   "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", // tcpmux: no program listens
		blackHole: "OTEL_EXPORTER_OTLP_ENDPOINT=http://" + hole.Addr().String(),
	}
}

// A place for traces that is gone, or does not answer, costs the traces and
// nothing else: rolls work, and lost spans are counted, each once.
func TestLostSpansAreCounted(t *testing.T) {
	for name, endpoint := range nowhere(t) {
		for _, protocol := range []string{"http/protobuf", "grpc"} {
			t.Run(name+" over "+protocol, func(t *testing.T) {
				t.Parallel()
				l := startLab(t, t.TempDir(), []string{
					endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol,
					"OTEL_BSP_EXPORT_TIMEOUT=500", // milliseconds; by default a batch is tried again for 30 s
				}, "--max-delay", "0s")
				const rolls = 20
				for range rolls {
					if a := l.roll(t, contract.DieFair); a.Status != http.StatusOK || a.TraceID == "" {
						t.Errorf("answer %+v", a)
					}
				}
				for service, spans := range map[string]int{contract.ServiceFrontend: 3, contract.ServiceRoller: 2} {
					l.value(t, fmt.Sprintf("%s{job=%q,%s=%q}", contract.MetricSpansDropped, service,
						contract.LabelReason, contract.ReasonExportFailed), float64(rolls*spans))
				}
				l.stop(t)
			})
		}
	}
}

// A lab whose last spans cannot be delivered ends within its grace period, although the export
// would retry for an hour, and reports the spans as lost.
func TestLostSpansDoNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	const hour = "3600000" // milliseconds
	l := startLab(t, t.TempDir(), []string{nowhere(t)[blackHole], "OTEL_BSP_EXPORT_TIMEOUT=" + hour, "OTEL_EXPORTER_OTLP_TIMEOUT=" + hour},
		"--max-delay", "0s")
	if a := l.roll(t, contract.DieFair); a.Status != http.StatusOK {
		t.Errorf("answer %+v", a)
	}
	l.signal(t, syscall.SIGINT)
	if code := l.wait(t); code != lab.ExitFailed {
		t.Errorf("exit status %d", code)
	}
	for _, service := range contract.Services() {
		want := fmt.Sprintf("dicelab: error: stopping %s: %[1]s ended (exit status 1); its last lines:\n"+
			"  dicelab: error: sending the last spans: context deadline exceeded\n", service)
		if !strings.Contains(l.err.String(), want) {
			t.Errorf("stderr does not say %q:\n%s", want, l.err)
		}
	}
	if err := l.book.empty(); err != nil {
		t.Error(err)
	}
}
