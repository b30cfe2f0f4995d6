package report_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/checklist"
	"dicelab/internal/verify/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

// run is a run with one of each kind of line.
func run() (checklist.Start, checklist.Report) {
	rows := []checklist.Row{
		{Group: "Service Health", Name: "services-start", Box: "Both services start: `docker compose ps`", Does: "GET /readyz of both services", Expects: "200 from both", Help: "a"},
		{Group: "Service Health", Name: "tempo-answers", Does: "a search of Tempo", Expects: "an answer", Help: "a-server-does-not-answer"},
		{Group: "Log Collection", Name: "alloy-discovers", Box: "Alloy discovering containers: http://localhost:12345", Does: "GET /api/v0/web/components of Alloy", Expects: "its source of lines is healthy"},
		{Group: "Distributed Tracing", Name: "timing", Does: "the roll's trace", Expects: "the dice roller's span within the front end's"},
	}
	refused := checklist.Exchange{Request: "GET http://localhost:3200/api/search?limit=1&q=%7B%7D", Command: "curl -s -G http://localhost:3200/api/search --data-urlencode limit=1 --data-urlencode 'q={}'",
		Answer: "connect: connection refused"}
	ready := checklist.Exchange{Request: "GET http://localhost:8102/readyz", Command: "curl -s http://localhost:8102/readyz", Status: 200, Answer: "ready\n", Cut: true}
	r := checklist.Report{Mode: checklist.Embedded, ModeWhy: "as it was called", Faults: []string{"dice-roller:slow=2s", "streamlit-frontend:no-export"}, Took: checklist.Seconds(4210 * time.Millisecond), Rolls: 20, Passed: 1, Failed: 2, NotApplicable: 1,
		Results: []checklist.Result{
			{Row: rows[0], Outcome: checklist.Pass, Evidence: "both are ready", Reproduce: ready.Command, Exchanges: []checklist.Exchange{ready}},
			{Row: rows[1], Outcome: checklist.Fail, Why: "asking Tempo: connection refused", Reproduce: refused.Command, Exchanges: []checklist.Exchange{refused}},
			{Row: rows[2], Outcome: checklist.NotApplicable, Why: "the embedded stack has no Alloy"},
			{Row: rows[3], Outcome: checklist.Fail, Why: "Tempo does not answer", BlockedBy: "tempo-answers"},
		}}
	return checklist.Start{Mode: r.Mode, ModeWhy: r.ModeWhy, Rows: rows}, r
}

// output keeps what is written to it, as it comes.
type output struct{ bytes.Buffer }

func (o *output) Raw() io.Writer { return o }

func TestReport(t *testing.T) {
	for _, test := range []struct {
		golden, format string
		report.Options
	}{
		{"plain.txt", "text", report.Options{Version: "1.2.3"}},
		{"verbose.txt", "text", report.Options{Version: "1.2.3", Verbose: true}},
		{"colour.txt", "text", report.Options{Version: "1.2.3", Colour: true}},
		{"report.json", "json", report.Options{}},
		{"report.xml", "junit", report.Options{}},
	} {
		t.Run(test.golden, func(t *testing.T) {
			var out output
			start, run := run()
			r, err := report.New(test.format, &out, test.Options)
			if err != nil {
				t.Fatal(err)
			}
			r.Begin(start)
			for _, result := range run.Results {
				r.Result(result)
			}
			if err := r.End(run); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", test.golden)
			if *update {
				if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("report (-want +got); write it anew with -update:\n%s", diff)
			}
		})
	}
}

func TestFormats(t *testing.T) {
	_, err := report.New("html", &output{}, report.Options{})
	if err == nil || err.Error() != `there is no format "html": choose text, json, junit` {
		t.Errorf("error %v", err)
	}
}

// brokenPipe refuses what is written.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }
func (b brokenPipe) Raw() io.Writer          { return b }

var errBroken = errors.New("broken pipe")

func TestReportThatCannotBeWritten(t *testing.T) {
	for _, format := range report.Formats() {
		r, err := report.New(format, brokenPipe{}, report.Options{})
		if err != nil {
			t.Fatal(err)
		}
		start, run := run()
		r.Begin(start)
		if err := r.End(run); !errors.Is(err, errBroken) {
			t.Errorf("%s: error %v", format, err)
		}
	}
}
