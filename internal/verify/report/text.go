package report

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"dicelab/internal/checklist"
	"dicelab/internal/terminal"
)

// text writes for people. Colour and marks say the same; a line that is read aloud or
// copied loses nothing.
type text struct {
	*terminal.Printer
	verbose bool
	version string
	width   int // of the longest name
	group   string
}

func newText(out io.Writer, o Options) *text {
	return &text{Printer: terminal.NewPrinter(out, o.Colour), verbose: o.Verbose, version: o.Version}
}

// Begin writes what is checked.
func (r *text) Begin(s checklist.Start) {
	for _, row := range s.Rows {
		r.width = max(r.width, utf8.RuneCountInString(row.Name))
	}
	r.Line("%s  servers: %s (%s)", r.Paint(terminal.Bold, "dicelab verify "+r.version), s.Mode, s.ModeWhy)
}

// Result writes one line, below the name of its group, and what belongs to it.
func (r *text) Result(res checklist.Result) {
	if res.Group != r.group {
		r.group = res.Group
		r.Line("")
		r.Line("%s", r.Paint(terminal.Bold, res.Group))
	}
	mark, line := r.Paint(terminal.Green, "✓"), res.Text()
	switch res.Outcome {
	case checklist.Fail:
		mark = r.Paint(terminal.Red, "✗")
	case checklist.NotApplicable:
		mark = r.Paint(terminal.Dim, "–")
	}
	if res.BlockedBy != "" {
		line += " (see " + res.BlockedBy + ")"
	}
	r.Line("  %s %s  %s", mark, pad(res.Name, r.width), line)
	if r.verbose {
		r.fact("does", res.Does)
		r.fact("by hand", res.Box)
	}
	if r.verbose || res.Cause() {
		r.fact("expected", res.Expects)
	}
	if res.Cause() {
		r.fact("to see it", res.Reproduce)
		r.fact("what to do", document+"#"+res.Help)
	}
	if r.verbose {
		for _, e := range res.Exchanges {
			r.exchange(e)
		}
	}
}

// indent stands before what belongs to a line.
const indent = "      "

func (r *text) fact(name, text string) {
	if text != "" {
		r.Line("%s%-11s %s", indent, name+":", text)
	}
}

// mostAnswer bounds what is shown of an answer, in bytes; JSON has more.
const mostAnswer = 600

func (r *text) exchange(e checklist.Exchange) {
	status := "no answer"
	if e.Status != 0 {
		status = fmt.Sprint(e.Status)
	}
	answer := strings.Join(strings.Fields(e.Answer), " ")
	if len(answer) > mostAnswer {
		answer, e.Cut = strings.ToValidUTF8(answer[:mostAnswer], ""), true
	}
	if e.Cut {
		answer += " …"
	}
	r.Line("%s$ %s", indent, e.Command)
	r.Line("%s%s %s", indent, status, answer)
}

// End writes the summary.
func (r *text) End(rep checklist.Report) error {
	r.Line("")
	if causes := rep.Causes(); len(causes) > 0 {
		r.Line("%s", r.Paint(terminal.Red, "Failed: "+strings.Join(causes, ", ")))
	}
	if len(rep.Faults) > 0 {
		r.Line("Faults on: %s. What each one does: docs/faults.md", strings.Join(rep.Faults, ", "))
	}
	r.Line("%d passed, %d failed, %d not applicable; %d rolls; %.1f s",
		rep.Passed, rep.Failed, rep.NotApplicable, rep.Rolls, time.Duration(rep.Took).Seconds())
	return r.Err()
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}
