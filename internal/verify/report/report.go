// Package report writes what package verify finds for people: groups of lines,
// one line a check, and a summary.
//
// Colour and marks say the same; a line that is read aloud or copied loses
// nothing. Evidence stands on the line. A failure also has the command that
// reproduces it.
package report

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"dicelab/internal/terminal"
	"dicelab/internal/verify"
)

// Options say how a report looks.
type Options struct {
	Colour  bool // for a terminal
	Verbose bool // with the requests and answers of every check
	Version string
}

// Report writes to one writer. It is not safe for concurrent use.
type Report struct {
	*terminal.Printer
	verbose bool
	version string
	width   int // of the longest name
	group   string
}

// New returns a report to out, which is to write bytes as they come.
func New(out io.Writer, o Options) *Report {
	return &Report{Printer: terminal.NewPrinter(out, o.Colour), verbose: o.Verbose, version: o.Version}
}

// Begin says what is checked.
func (r *Report) Begin(s verify.Start) {
	for _, row := range s.Rows {
		r.width = max(r.width, utf8.RuneCountInString(row.Name))
	}
	r.Line("%s  %s: %s", r.Paint(terminal.Bold, "dicelab verify "+r.version), s.Mode, s.ModeWhy)
}

// The marks of the outcomes.
const (
	markPass = "✓"
	markFail = "✗"
	markNone = "–"
)

// Result writes one line, below the name of its group, and what belongs to it.
func (r *Report) Result(res verify.Result) {
	if res.Group != r.group {
		r.group = res.Group
		r.Line("")
		r.Line("%s", r.Paint(terminal.Bold, res.Group))
	}
	mark, text := r.Paint(terminal.Green, markPass), res.Evidence
	switch res.Outcome {
	case verify.Fail:
		mark, text = r.Paint(terminal.Red, markFail), res.Why
		if res.BlockedBy != "" {
			text += " (see " + res.BlockedBy + ")"
		}
	case verify.NotApplicable:
		mark, text = r.Paint(terminal.Dim, markNone), res.Why
	}
	r.Line("  %s %s  %s", mark, pad(res.Name, r.width), text)
	if res.Outcome == verify.Fail && res.BlockedBy == "" {
		r.failure(res)
	}
	if r.verbose {
		r.details(res)
	}
}

// indent stands before what belongs to a line.
const indent = "      "

func (r *Report) failure(res verify.Result) {
	if res.Box != "" && !r.verbose {
		r.Line("%sbox:      %s", indent, res.Box)
	}
	if !r.verbose {
		r.Line("%sexpected: %s", indent, res.Expects)
	}
	if res.Reproduce != "" {
		r.Line("%sto see it: %s", indent, res.Reproduce)
	}
}

func (r *Report) details(res verify.Result) {
	if res.Box != "" {
		r.Line("%sbox:      %s", indent, res.Box)
	}
	r.Line("%sdoes:     %s", indent, res.Does)
	r.Line("%sexpected: %s", indent, res.Expects)
	for _, e := range res.Exchanges {
		r.Line("%s$ %s", indent, e.Command)
		status := "no answer"
		if e.Status != 0 {
			status = fmt.Sprint(e.Status)
		}
		answer := strings.Join(strings.Fields(e.Answer), " ")
		if cut := cutAt(answer, mostAnswer); cut != answer || e.Cut {
			answer = cut + " …"
		}
		r.Line("%s%s %s", indent, status, answer)
	}
}

// mostAnswer bounds what is shown of an answer, in bytes; --json has more.
const mostAnswer = 600

func cutAt(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// End writes the summary.
func (r *Report) End(rep verify.Report) {
	r.Line("")
	if rep.Failed > 0 {
		var causes []string
		for _, res := range rep.Results {
			if res.Outcome == verify.Fail && res.BlockedBy == "" {
				causes = append(causes, res.Name)
			}
		}
		r.Line("%s", r.Paint(terminal.Red, "Failed: "+strings.Join(causes, ", ")))
	}
	r.Line("%d hold, %d fail, %d not applicable; %d rolls; %.1f s", rep.Passed, rep.Failed, rep.NotApplicable, rep.Rolls, time.Duration(rep.Took).Seconds())
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}
