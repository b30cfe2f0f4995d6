package traffic_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/traffic"
)

var update = flag.Bool("update", false, "rewrite what the reports in testdata look like")

func ms(n float64) traffic.Seconds { return traffic.Seconds(n * float64(time.Millisecond)) }

// loaded returns the report of a run at a rate, which dropped spans.
func loaded() traffic.Report {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	slow := traffic.Roll{Number: 7, Die: "fair", Value: 3, Outcome: "200", Start: at, Latency: ms(1234),
		TraceID: "0af7651916cd43dd8448eb211c80319c", Link: "http://localhost:8100/traces/0af7651916cd43dd8448eb211c80319c"}
	failed := traffic.Roll{Number: 9, Die: "risky", Outcome: "502", Error: "It broke.", Start: at, Latency: ms(0.25),
		TraceID: "b7ad6b71692033310af7651916cd43dd"}
	silent := traffic.Roll{Number: 10, Die: "risky", Outcome: "unreachable", Error: "no answer", Start: at, Latency: ms(61000)}
	return traffic.Report{
		Target: traffic.Frontend, URL: "http://localhost:8102/roll", Seed: 42, Start: at, Sending: ms(30000), Offered: 200, Achieved: 199.5,
		Late: ms(3.25), Rolls: 6000, Failed: 301, Outcomes: map[string]int{"200": 5699, "502": 300, "unreachable": 1},
		Latency:   traffic.Latency{Min: ms(0.25), Mean: ms(501.5), P50: ms(500), P90: ms(900), P95: ms(950), P99: ms(990), Max: ms(61000)},
		Histogram: []traffic.Bucket{{0, 0}, {ms(100), 1000}, {ms(200), 0}, {ms(500), 4999}, {ms(1000), 1}, {ms(2000), 0}},
		Slowest:   []traffic.Roll{silent, slow}, Failures: []traffic.Roll{silent, failed},
		Dropped:     map[string]int{"queue_full": 12, "export_failed": 3},
		Connections: 12, ConnectionLimit: 10000, FileLimit: 1048576,
	}
}

// empty returns the report of users who were stopped before they rolled.
func empty() traffic.Report {
	return traffic.Report{Target: traffic.Roller, URL: "http://localhost:8101/roll", Seed: 7, Sending: ms(250), ConnectionLimit: 10, FileLimit: 1024}
}

func TestReportAsText(t *testing.T) {
	for name, r := range map[string]traffic.Report{"loaded": loaded(), "empty": empty()} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := r.Text(&out); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", out.Bytes())
		})
	}
}

func TestReportAsJSON(t *testing.T) {
	text, err := json.MarshalIndent(loaded(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "loaded.json", append(text, '\n'))
	if diff := cmp.Diff(loaded(), decode[traffic.Report](t, text)); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got); write it anew with -update:\n%s", file, diff)
	}
}

// Progress stays on the last line, below the log, and is taken away at the end.
func TestTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		term := traffic.NewTerminal(&out)
		write := func(line string) {
			if n, err := term.Write([]byte(line)); err != nil || n != len(line) {
				t.Errorf("wrote %d of %q: %v", n, line, err)
			}
		}
		states := []traffic.Progress{
			{Elapsed: 500 * time.Millisecond, Left: 29500 * time.Millisecond, Rolls: 100, UnderWay: 12, P95: 250 * time.Millisecond},
			{Elapsed: time.Second, Left: -1, Rolls: 300, Failed: 30, UnderWay: 3, P95: 1250 * time.Millisecond},
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
		defer cancel()
		shown := make(chan error, 1)
		next := 0
		go func() {
			shown <- term.Show(ctx, func() traffic.Progress { next++; return states[next-1] })
		}()
		write("first\n")
		time.Sleep(600 * time.Millisecond) // of the bubble's clock
		write("second \x1b[2J\u009b\n")
		if err := <-shown; err != nil {
			t.Error(err)
		}
		write("third\n")
		const erase = "\r\x1b[K"
		line := "1s  200 rolls/s  12 under way  p95 250.0 ms  errors 0.0 %  30s left"
		want := "first\n" + erase + line + erase + `second \u001b[2J\u009b` + "\n" + line +
			erase + "1s  400 rolls/s  3 under way  p95 1.25 s  errors 10.0 %" + erase + "third\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("terminal (-want +got):\n%s", diff)
		}
	})
}

// A terminal that cannot be written to ends with an error, not in silence.
func TestTerminalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := traffic.NewTerminal(broken{}).Show(t.Context(), func() traffic.Progress { return traffic.Progress{} })
		if !errors.Is(err, errBroken) || !strings.HasPrefix(err.Error(), "showing progress: ") {
			t.Errorf("error %v", err)
		}
		if err := loaded().Text(broken{}); !errors.Is(err, errBroken) {
			t.Errorf("error %v", err)
		}
	})
}

var errBroken = errors.New("broken pipe")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

// What a run shows of itself while it is under way.
func TestProgress(t *testing.T) {
	s := serve(t, nil)
	b := start(t, traffic.Frontend, s, nil)
	if p := b.Progress(); p != (traffic.Progress{Left: -1}) {
		t.Errorf("before the run: %+v", p)
	}
	b.load("1000/s", 50*time.Millisecond)
	p := b.Progress()
	if p.Rolls != 50 || p.Failed != 0 || p.UnderWay != 0 || p.Left != 0 || p.P95 <= 0 || p.Elapsed < 50*time.Millisecond-time.Millisecond {
		t.Errorf("after the run: %+v", p)
	}
}
