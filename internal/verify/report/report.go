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
	Options
	out   io.Writer
	err   error
	width int // of the longest name
	group string
}

// New makes a report.
func New(out io.Writer, o Options) *Report { return &Report{Options: o, out: out} }

// Begin says what is checked.
func (r *Report) Begin(s verify.Start) {
	for _, row := range s.Rows {
		r.width = max(r.width, utf8.RuneCountInString(row.Name))
	}
	r.line("%s  %s: %s", r.paint(bold, "dicelab verify "+r.Version), s.Mode, s.ModeWhy)
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
		r.line("")
		r.line("%s", r.paint(bold, res.Group))
	}
	mark, text := r.paint(green, markPass), res.Evidence
	switch res.Outcome {
	case verify.Fail:
		mark, text = r.paint(red, markFail), res.Why
		if res.BlockedBy != "" {
			text += " (see " + res.BlockedBy + ")"
		}
	case verify.NotApplicable:
		mark, text = r.paint(dim, markNone), res.Why
	}
	r.line("  %s %s  %s", mark, pad(res.Name, r.width), text)
	if res.Outcome == verify.Fail && res.BlockedBy == "" {
		r.failure(res)
	}
	if r.Verbose {
		r.details(res)
	}
}

// indent stands before what belongs to a line.
const indent = "      "

func (r *Report) failure(res verify.Result) {
	if res.Box != "" && !r.Verbose {
		r.line("%sbox:      %s", indent, res.Box)
	}
	if !r.Verbose {
		r.line("%sexpected: %s", indent, res.Expects)
	}
	if res.Reproduce != "" {
		r.line("%sto see it: %s", indent, res.Reproduce)
	}
}

func (r *Report) details(res verify.Result) {
	if res.Box != "" {
		r.line("%sbox:      %s", indent, res.Box)
	}
	r.line("%sdoes:     %s", indent, res.Does)
	r.line("%sexpected: %s", indent, res.Expects)
	for _, e := range res.Exchanges {
		r.line("%s$ %s", indent, e.Command)
		status := "no answer"
		if e.Status != 0 {
			status = fmt.Sprint(e.Status)
		}
		answer := strings.Join(strings.Fields(e.Answer), " ")
		if cut := cutAt(answer, mostAnswer); cut != answer || e.Cut {
			answer = cut + " …"
		}
		r.line("%s%s %s", indent, status, answer)
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
	r.line("")
	if rep.Failed > 0 {
		var causes []string
		for _, res := range rep.Results {
			if res.Outcome == verify.Fail && res.BlockedBy == "" {
				causes = append(causes, res.Name)
			}
		}
		r.line("%s", r.paint(red, "Failed: "+strings.Join(causes, ", ")))
	}
	r.line("%d hold, %d fail, %d not applicable; %d rolls; %.1f s", rep.Passed, rep.Failed, rep.NotApplicable, rep.Rolls, time.Duration(rep.Took).Seconds())
}

// Err is the first failure to write.
func (r *Report) Err() error {
	if r.err != nil {
		return fmt.Errorf("writing the report: %w", r.err)
	}
	return nil
}

func (r *Report) line(format string, args ...any) {
	if r.err == nil {
		_, r.err = io.WriteString(r.out, strings.TrimRight(fmt.Sprintf(format, args...), " ")+"\n")
	}
}

// ECMA-48 SGR sequences.
const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	reset = "\x1b[0m"
)

func (r *Report) paint(colour, text string) string {
	if !r.Colour {
		return text
	}
	return colour + text + reset
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}
