package lab_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/lab"
	"dicelab/internal/lab/child"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What a person sees of a whole run, on the clock of a synctest bubble.
func TestReport(t *testing.T) {
	for _, tt := range []struct {
		name   string
		colour bool
		fails  bool
	}{
		{name: "plain"},
		{name: "colour", colour: true},
		{name: "failed", fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			synctest.Test(t, func(t *testing.T) { reportOfARun(&out, tt.colour, tt.fails) })
			golden := filepath.Join("testdata", "report_"+tt.name+".txt")
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}

func reportOfARun(out *bytes.Buffer, colour, fails bool) {
	report := lab.NewReport(out, colour)
	takes := func(d time.Duration) func(context.Context) error {
		return func(context.Context) error { time.Sleep(d); return nil } // of the bubble
	}
	parts := []lab.Part{
		{Name: "store", Start: takes(12 * time.Millisecond), Stop: takes(3 * time.Millisecond)},
		{Name: "prometheus", URL: "http://localhost:9090", Start: takes(85 * time.Millisecond), Stop: takes(20 * time.Millisecond)},
		{Name: "dice-roller", URL: "http://localhost:8101", Service: true, Start: takes(60 * time.Millisecond), Stop: takes(1001 * time.Millisecond)},
		{Name: "streamlit-frontend", URL: "http://localhost:8102", Service: true, Start: takes(64 * time.Millisecond), Stop: takes(9 * time.Millisecond)},
		{Name: "explorer", URL: "http://localhost:8100", Start: takes(200 * time.Microsecond)},
	}
	if fails {
		parts[3].Start = func(context.Context) error { return errors.New("no luck") }
	}
	signals := make(chan os.Signal, 1)
	report.Title("v0.1.0", ".dicelab")
	report.Note("Faults: slow=2s\n\x1b[2J\u202e")
	l := lab.Lab{Parts: parts, Report: report, Opened: func() {
		report.Links(lab.Link{Label: "Roll a die", URL: "http://localhost:8102"}, lab.Link{Label: "Explore", URL: "http://localhost:8100"})
		notify := report.Children()
		notify(child.Event{Name: "dice-roller", Pid: 1, Ready: true}) // already printed
		notify(child.Event{Name: "dice-roller", Pid: 1, Err: errors.New("signal: killed"), RestartIn: 100 * time.Millisecond})
		notify(child.Event{Name: "dice-roller", Pid: 2, Ready: true})
		signals <- os.Interrupt
	}}
	_ = l.Run(context.Background(), signals)
}

func TestDuration(t *testing.T) {
	for _, tt := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0 ms"}, {time.Microsecond, "<1 ms"}, {time.Millisecond, "1 ms"}, {999 * time.Millisecond, "999 ms"},
		{time.Second, "1.00 s"}, {90 * time.Second, "90.00 s"},
	} {
		if got := lab.Duration(tt.d); got != tt.want {
			t.Errorf("Duration(%v) = %q, want %q", tt.d, got, tt.want)
		}
	}
}

func TestColour(t *testing.T) {
	f, err := os.Open(os.DevNull) // a character device, but no terminal
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if lab.Colour(f, func(string) string { return "" }) {
		t.Error("colour for " + os.DevNull)
	}
}

func TestAReportThatCannotBeWritten(t *testing.T) {
	l := lab.Lab{Report: lab.NewReport(brokenWriter{}, false)}
	if got, want := fmt.Sprint(l.Run(t.Context(), signalled(os.Interrupt))), "writing the report: terminal gone"; got != want {
		t.Errorf("Run = %q, want %q", got, want)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("terminal gone") }

func signalled(s os.Signal) chan os.Signal {
	ch := make(chan os.Signal, 1)
	ch <- s
	return ch
}
