package report_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dicelab/internal/verify"
	"dicelab/internal/verify/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

// run is a run with one of each kind of line.
func run() (verify.Start, verify.Report) {
	rows := []verify.Row{
		{Group: "Service Health", Name: "services-start", Box: "Both services start: `docker compose ps`", Does: "GET /readyz of both services", Expects: "200 from both"},
		{Group: "Service Health", Name: "tempo-answers", Does: "a search of Tempo", Expects: "an answer"},
		{Group: "Log Collection", Name: "alloy-discovers", Box: "Alloy discovering containers: http://localhost:12345", Does: "GET /api/v0/web/components of Alloy", Expects: "its source of lines is healthy"},
		{Group: "Distributed Tracing", Name: "timing", Does: "the roll's trace", Expects: "the dice roller's span within the front end's"},
	}
	refused := verify.Exchange{Request: "GET http://localhost:3200/api/search?limit=1&q=%7B%7D", Command: "curl -s -G http://localhost:3200/api/search --data-urlencode limit=1 --data-urlencode 'q={}'",
		Answer: "connect: connection refused"}
	ready := verify.Exchange{Request: "GET http://localhost:8102/readyz", Command: "curl -s http://localhost:8102/readyz", Status: 200, Answer: "ready\n", Cut: true}
	r := verify.Report{Mode: verify.Embedded, ModeWhy: "as it was called", Took: verify.Seconds(4210 * time.Millisecond), Rolls: 20, Passed: 1, Failed: 2, NotApplicable: 1,
		Results: []verify.Result{
			{Row: rows[0], Outcome: verify.Pass, Evidence: "both are ready", Reproduce: ready.Command, Exchanges: []verify.Exchange{ready}},
			{Row: rows[1], Outcome: verify.Fail, Why: "asking Tempo: connection refused", Reproduce: refused.Command, Exchanges: []verify.Exchange{refused}},
			{Row: rows[2], Outcome: verify.NotApplicable, Why: "the embedded stack has no Alloy"},
			{Row: rows[3], Outcome: verify.Fail, Why: "Tempo does not answer", BlockedBy: "tempo-answers"},
		}}
	return verify.Start{Mode: r.Mode, ModeWhy: r.ModeWhy, Rows: rows}, r
}

func TestReport(t *testing.T) {
	for _, test := range []struct {
		golden string
		report.Options
	}{
		{"plain.txt", report.Options{Version: "1.2.3"}},
		{"verbose.txt", report.Options{Version: "1.2.3", Verbose: true}},
		{"colour.txt", report.Options{Version: "1.2.3", Colour: true}},
	} {
		t.Run(test.golden, func(t *testing.T) {
			var out bytes.Buffer
			start, run := run()
			r := report.New(&out, test.Options)
			r.Begin(start)
			for _, result := range run.Results {
				r.Result(result)
			}
			r.End(run)
			if err := r.Err(); err != nil {
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

// brokenPipe refuses what is written.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }

var errBroken = errors.New("broken pipe")

func TestReportThatCannotBeWritten(t *testing.T) {
	r := report.New(brokenPipe{}, report.Options{})
	start, _ := run()
	r.Begin(start)
	if err := r.Err(); !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
}
